"""Segmenting networks and their tokenizers from a folder or a hub id, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from insightedit.core.device import quiet, where
from insightedit.core.errors import BackendError, InputError, one_line
from insightedit.core.files import read_json
from insightedit.core.weights import find, loading, whole

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
ANOTHER = "Try another network"  # where one fails by itself


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready to run: its folder, its kind (`model_type` of config.json), and where it computes in what."""

    model: Any
    kind: str
    folder: Path
    device: torch.device
    dtype: torch.dtype


def network(kinds: Mapping[str, str], model: str, revision: str | None, device: str, dtype: str) -> Network:
    """Load by the class that belongs to the folder's `model_type`.

    Args:
        kinds: model_type -> name of a class of transformers.
        model: a folder in the layout of transformers, or a hub id.
        revision: commit, branch or tag of the hub; None for its main branch.
        device: auto, cpu, cuda, cuda:N, mps.
        dtype: auto, float32, float16, bfloat16.

    Raises:
        BackendError: torch, diffusers or transformers is not installed, or the device did not take the weights.
        ConfigError: no such device or dtype.
        InputError: the weights are missing, damaged, partial, or of another kind of network.
    """
    placed, numbers = where(device, dtype)
    folder = find(model, revision)
    kind = _kind(folder, kinds)

    def load() -> Any:
        import transformers

        return whole(getattr(transformers, kinds[kind]), folder, dtype=numbers).eval()

    loaded = part(load, folder)
    try:
        return Network(loaded.to(placed), kind, folder, placed, numbers)
    except RuntimeError as error:  # drivers and out of memory
        mend = "Use another device, or dtype=float16"
        raise BackendError(f"cannot put {folder} on {placed}", one_line(error), mend) from error


def _kind(folder: Path, kinds: Mapping[str, str]) -> str:
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(f"{folder} is no checkpoint", "it has no config.json", "Give a folder of transformers")
    kind = str(part(lambda: read_json(config)["model_type"], folder))
    if kind not in kinds:
        raise InputError(f"{folder} is of another kind", f"it holds a '{kind}'", f"Give one of: {', '.join(kinds)}")
    return kind


def part(load: Callable[[], T], folder: Path) -> T:
    """What `load` loads from `folder`, quietly.

    Raises:
        InputError: it cannot be loaded.
    """
    with quiet(), loading(folder):
        return load()
