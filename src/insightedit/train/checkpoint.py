"""Checkpoints: a folder appears whole or not at all; it holds what learns, the optimiser, and where the data was.

No generator's state is kept, because none is used: every draw depends on (run seed, place of the sample), dropout on
(run seed, update, rank).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from insightedit.core.errors import InputError, OutputError

Tensors = dict[str, torch.Tensor]
NAME = re.compile(r"update-(\d{8})")


@dataclass(frozen=True)
class Position:
    """Where a run stands: updates done, of which run (a fingerprint of everything that must not change)."""

    updates: int
    fingerprint: str
    mean_loss: float | None = None


def save(folder: Path, position: Position, weights: Tensors, optimiser: Tensors, average: Tensors, keep: int) -> Path:
    """Write `folder`/update-N and drop the oldest beyond `keep`.

    Raises:
        OutputError: the place cannot be written.
    """
    final = folder / f"update-{position.updates:08d}"
    with replacing(final) as unfinished:
        for name, tensors in (("weights", weights), ("optimiser", optimiser), ("average", average)):
            if tensors:
                save_file(tensors, unfinished / f"{name}.safetensors")
        (unfinished / "position.json").write_text(json.dumps(asdict(position)))
    for old in found(folder)[:-keep]:
        shutil.rmtree(old)
        shutil.rmtree(folder / engine_name(int(old.name.removeprefix("update-"))), ignore_errors=True)
    return final


def engine_name(updates: int) -> str:
    """The folder beside update-N in which DeepSpeed keeps what it has divided among the ranks."""
    return f"engine-{updates:08d}"


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """A folder to fill, which then takes the place of `final` as a whole.

    Raises:
        OutputError: the place cannot be written.
    """
    unfinished = final.with_name(f".{final.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
        _sync(unfinished)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(unfinished, final)
    except OSError as error:
        raise OutputError(f"cannot write {final}", error.strerror or str(error), "Free some space") from error


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def found(folder: Path) -> list[Path]:
    """The whole checkpoints, oldest first."""
    return sorted(path for path in folder.glob("update-*") if NAME.fullmatch(path.name)) if folder.is_dir() else []


def load(path: Path) -> tuple[Position, Tensors, Tensors, Tensors]:
    """Position, weights, optimiser, average (empty where none was kept).

    Raises:
        InputError: a file is missing or damaged.
    """
    try:
        position = Position(**json.loads((path / "position.json").read_text()))
        average = path / "average.safetensors"
        engine = (path.parent / engine_name(position.updates)).is_dir()  # then it keeps the optimiser's state
        optimiser = {} if engine else load_file(path / "optimiser.safetensors")
        weights = load_file(path / "weights.safetensors")
        return position, weights, optimiser, load_file(average) if average.exists() else {}
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise InputError(
            f"cannot read {path}", str(error)[:200], "Delete that folder: the one before is used"
        ) from error


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: dict[int, str]) -> Tensors:
    """AdamW's state by parameter name; `names` maps id(parameter) to it."""
    return {
        f"{names[id(parameter)]}|{key}": value
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def fill_optimiser(optimiser: torch.optim.Optimizer, names: dict[int, str], tensors: Tensors) -> None:
    """The reverse of `optimiser_tensors`."""
    states: dict[str, Tensors] = {}
    for key, value in tensors.items():
        name, _, part = key.rpartition("|")
        states.setdefault(name, {})[part] = value
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if state := states.get(names[id(parameter)]):
                optimiser.state[parameter] = {part: _placed(part, value, parameter) for part, value in state.items()}


def _placed(part: str, value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    return value if part == "step" else laid(value, parameter)  # AdamW counts its steps on the CPU


def gathered(tensors: Mapping[str, torch.Tensor], keep: bool) -> Tensors:
    """Whole tensors on the CPU where `keep`, nothing elsewhere. Every rank must ask: FSDP's are in parts."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        value = tensor.detach()
        value = value.full_tensor() if isinstance(value, DTensor) else value
        if keep:
            found[name] = value.cpu().contiguous()
    return found


def laid(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor -> on the device of `like`, and in this rank's parts where `like` is."""
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def make_whole(module: nn.Module, keep: bool) -> None:
    """Undo FSDP's division: parameters become whole, on the CPU, where `keep`, and empty elsewhere."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if isinstance(parameter, DTensor):
                value = parameter.full_tensor().detach()
                setattr(part, name, nn.Parameter(value.cpu() if keep else value.new_empty(0)))
