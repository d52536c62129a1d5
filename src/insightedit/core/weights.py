"""Weights of diffusers and transformers: loaded whole or not at all.

Both libraries fill a missing weight with random numbers and say so in a warning; here it is an error.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.errors import InputError, InsightEditError
from insightedit.core.files import read_json

if TYPE_CHECKING:
    import torch

INDEX = "model_index.json"
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
    try:
        for name, entry in read_json(folder / INDEX).items():
            if name in takes and name not in parts and isinstance(entry, list) and (network := _network(*entry)):
                kind = variant if variant and any((folder / name).glob(f"*.{variant}*")) else None
                parts[name] = whole(network, folder / name, dtype=dtype, variant=kind, **how)
        return pipeline.from_pretrained(folder, dtype=dtype, local_files_only=True, **parts, **how)
    except InsightEditError:
        raise
    except Exception as error:  # a damaged folder fails in a dozen ways in five libraries; all mean the same here
        mend = "Download or convert it again; the reason names what is missing or damaged"
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise InputError(f"cannot load {folder}", why, mend) from error


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
