"""Checkpoint files whose layout diffusers does not know: opened without running them, every tensor used or refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from insightedit.core.errors import InputError, one_line

Tensors = dict[str, torch.Tensor]
Network = TypeVar("Network", bound=nn.Module)
DAMAGE = (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError)
AGAIN = "Download it again from its page"


def weights_in(folder: Path, stem: str) -> Path:
    """The file of weights in a folder: `stem`.safetensors, its fp16 copy, or else the only one of that stem.

    The last is how PowerPaint's public base keeps its UNet (diffusion_pytorch_model-002.safetensors).

    Raises:
        InputError: there is none, or several of which none has the usual name.
    """
    for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob(f"{stem}*.safetensors"))
    if len(found) != 1:
        seen = f"{len(found)} files are called {stem}*.safetensors" if found else f"there is no {stem}.safetensors"
        raise InputError(f"{folder} has no weights", seen, AGAIN)
    return found[0]


def read(path: Path) -> Tensors:
    """The named tensors of a safetensors file, or of a pickle that holds nothing else.

    Raises:
        InputError: no such file, damaged, or not named tensors alone.
    """
    try:
        pickled = path.suffix != ".safetensors"
        tensors = torch.load(path, map_location="cpu", weights_only=True) if pickled else load_file(path)
    except DAMAGE as error:
        raise InputError(f"cannot read {path}", one_line(error), AGAIN) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise InputError(f"{path} is no checkpoint", "it holds something else than named tensors", AGAIN)
    return tensors


def built(make: Callable[[], Network], tensors: Tensors, origin: Path, dtype: torch.dtype) -> Network:
    """A network whose every weight comes from `tensors`; none is drawn first, none is left over.

    Args:
        make: makes the network.
        tensors: its weights by name.
        origin: where they come from, for the error.
        dtype: what they become.

    Raises:
        InputError: a weight is missing, foreign, or of another shape; the first three of each are named.
    """
    from accelerate import init_empty_weights

    with init_empty_weights():
        network = make()
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    faults = {
        "missing": sorted(set(wanted) - set(tensors)),
        "foreign": sorted(set(tensors) - set(wanted)),
        "of another shape": sorted(name for name, shape in wanted.items() if _other(tensors.get(name), shape)),
    }
    if said := [f"{len(names)} {fault} ({', '.join(names[:3])})" for fault, names in faults.items() if names]:
        why = f"weights do not match {type(network).__name__}: {'; '.join(said)}"
        raise InputError(f"{origin} is another checkpoint", why, "Choose the file of this model, or " + AGAIN.lower())
    network.load_state_dict({name: value.to(dtype) for name, value in tensors.items()}, assign=True)
    return network.eval().requires_grad_(False)


def _other(tensor: torch.Tensor | None, shape: torch.Size) -> bool:
    return tensor is not None and tensor.shape != shape
