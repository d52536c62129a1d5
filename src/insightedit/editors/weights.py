"""Weights of editors: found or downloaded. `core.weights` loads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from insightedit.core.device import quiet
from insightedit.core.errors import InputError
from insightedit.core.weights import HUB_ID, INDEX, fetched

SINGLE_FILES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")


def find(model: str, revision: str | None, pipeline: Callable[[], type[Any]]) -> Path:
    """A folder or hub id -> the folder of a diffusers pipeline on this disk, downloaded if need be.

    `pipeline` is called for the class only where there is something to download: it says which parts are needed.

    Raises:
        InputError: no such folder, a folder or file of another kind, or a hub id that cannot be had.
    """
    here = Path(model).expanduser()
    if here.is_dir():
        if not (here / INDEX).is_file():
            mend = "Give the folder that holds it, or make one from other weights: insightedit convert"
            raise InputError(f"{here} is no checkpoint", f"it has no {INDEX}", mend)
        return here
    if here.is_file():
        kinds = "instruct-pix2pix (or instruct-diffusion)"
        mend = f"Make one of it: insightedit convert {kinds} --from {here} --to FOLDER" if _single(here) else "Give one"
        raise InputError(f"{here} is a single file", "editors load the folders of diffusers", mend)
    if _single(here) or not HUB_ID.fullmatch(model):
        raise InputError(f"no model {model}", "it is no folder here and no hub id (owner/name)", "Check the path")
    with quiet():
        kind = pipeline()
    return fetched(model, lambda: kind.download(model, revision=revision, safety_checker=None))


def _single(path: Path) -> bool:
    return path.suffix in SINGLE_FILES
