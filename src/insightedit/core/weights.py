"""Weights of diffusers and transformers: found on this disk or the hub, loaded whole or not at all.

Both libraries fill a missing weight with random numbers and say so in a warning; here it is an error.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.device import quiet
from insightedit.core.errors import InputError, InsightEditError, one_line
from insightedit.core.files import read_json

if TYPE_CHECKING:
    import torch

INDEX = "model_index.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
FILES = ("*.json", "*.safetensors", "*.txt", "*.model")  # configuration, weights, tokenizers; no pickles
TRUSTED = re.compile(r"diffusers|transformers|insightedit\.model\.\w+")
FAULTS = ("missing_keys", "mismatched_keys", "error_msgs")


def load_pipeline(
    pipeline: type[Any],
    folder: Path,
    dtype: torch.dtype,
    variant: str | None = None,
    instead: Mapping[str, Any] | None = None,
    **how: Any,
) -> Any:
    """The pipeline of a folder, by `pipeline`'s class and not by the one that the folder names.

    MagicBrush's port names the text-to-image class, which would ignore the picture. A safety checker is left out where
    the class has one: it blackens whole results, which a comparison would score. So is the feature extractor that only
    it reads, by a name that old folders have and transformers no longer has.

    Args:
        pipeline: a class of diffusers' pipelines.
        folder: holds `INDEX` and a folder for each component.
        dtype: of all weights.
        variant: of a component with files of that name ("fp16"), these are taken; of others, the plain ones.
        instead: components that are not to be loaded, by name; None leaves one out.
        how: passed to every `from_pretrained`: use_safetensors.

    Raises:
        InputError: a component is missing, cut short, partial, of another shape, or of another kind of model.
    """
    takes = inspect.signature(pipeline.__init__).parameters
    without = {"safety_checker": None, "requires_safety_checker": False}
    if "safety_checker" in takes and "feature_extractor" in pipeline._optional_components:
        without["feature_extractor"] = None
    parts: dict[str, Any] = {name: value for name, value in without.items() if name in takes} | dict(instead or {})
    with loading(folder, "Download or convert it again; the reason names what is missing or damaged"):
        for name, entry in read_json(folder / INDEX).items():
            if name in takes and name not in parts and isinstance(entry, list) and (network := _network(*entry)):
                kind = variant if variant and any((folder / name).glob(f"*.{variant}*")) else None
                parts[name] = whole(network, folder / name, dtype=dtype, variant=kind, **how)
        return pipeline.from_pretrained(folder, dtype=dtype, local_files_only=True, **parts, **how)


@contextmanager
def loading(what: object, mend: str = "Download it again") -> Iterator[None]:
    """Whatever fails to load within it is one kind of error.

    Raises:
        InputError: `what` cannot be loaded, with the library's reason on one line; errors of this package pass.
    """
    try:
        yield
    except InsightEditError:
        raise
    except Exception as error:  # damaged files fail in a dozen ways in five libraries; all mean the same here
        raise InputError(f"cannot load {what}", f"{type(error).__name__}: {one_line(error)}", mend) from error


def _network(library: str | None, name: str | None) -> type[Any] | None:
    """The class of a component that has weights and says which it missed; None for others (schedulers, tokenizers)."""
    if library is None or name is None or not TRUSTED.fullmatch(library):
        return None  # a folder must not choose what is imported
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    found = getattr(importlib.import_module(library), name, None)
    return found if isinstance(found, type) and issubclass(found, ModelMixin | PreTrainedModel) else None


def whole(network: type[Any], folder: Path, **how: Any) -> Any:
    """A network of diffusers or transformers with every weight from its file.

    Args:
        network: the class.
        folder: holds its configuration and weights.
        how: passed to its `from_pretrained`: dtype, use_safetensors, variant.

    Raises:
        InputError: weights are missing or of another shape; the first three are named.
    """
    model, about = network.from_pretrained(folder, output_loading_info=True, local_files_only=True, **how)
    for fault in FAULTS:
        if found := sorted(str(key) for key in about.get(fault) or ()):
            why = f"{len(found)} {fault.replace('_', ' ')} in {network.__name__}, among them {', '.join(found[:3])}"
            mend = "Download or convert it again: the rest would be random numbers"
            raise InputError(f"{folder} is partial", why, mend)
    return model


# --- where they are ---------------------------------------------------------------------------------------------------


def find(model: str, revision: str | None = None, files: Sequence[str] = FILES) -> Path:
    """A folder, or a hub id whose `files` are downloaded -> the folder on this disk.

    Args:
        model: a local folder, or a hub id (owner/name).
        revision: commit, branch or tag of the hub; None for its main branch.
        files: patterns of what to download.

    Raises:
        InputError: no such folder, or a hub id that cannot be had.
    """

    def download() -> str:
        from huggingface_hub import snapshot_download

        return snapshot_download(model, revision=revision, allow_patterns=list(files))

    return _local(model) or fetched(model, download)


def find_pipeline(model: str, revision: str | None, pipeline: type[Any], **how: Any) -> Path:
    """As `find` for a folder of diffusers: of the hub, only the components that `pipeline` needs; no safety checker.

    Args:
        model: a local folder, or a hub id.
        revision: as in `find`.
        pipeline: the class that will load it.
        how: use_safetensors, variant: which of several files of one component to take.

    Raises:
        InputError: as `find`.
    """
    return _local(model) or fetched(
        model, lambda: pipeline.download(model, revision=revision, safety_checker=None, **how)
    )


def _local(model: str) -> Path | None:
    here = Path(model).expanduser()
    if here.is_dir():
        return here
    if here.exists():
        raise InputError(f"{here} is a single file", "a folder of weights was expected", "Give the folder")
    if not HUB_ID.fullmatch(model):
        raise InputError(f"no model {model}", "it is no folder here and no hub id (owner/name)", "Check the path")
    return None


def fetched(what: str, download: Callable[[], str]) -> Path:
    """What `download` puts on this disk.

    Raises:
        InputError: it cannot be had, with the hub's reason on one line.
    """
    with quiet():
        try:
            return Path(download())
        except Exception as error:  # the hub's client, its transport and diffusers each raise their own
            mend = "Check the name, your connection and, for a gated model, `hf auth login`; or give a local folder"
            raise InputError(f"cannot get {what}", one_line(error), mend) from error
