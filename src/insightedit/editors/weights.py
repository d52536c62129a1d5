"""Weights of editors: found or downloaded, and named by what they hold. `core.weights` loads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from insightedit.core.device import quiet
from insightedit.core.errors import InputError
from insightedit.core.weights import INDEX
from insightedit.editors import fingerprint
from insightedit.editors.editor import one_line

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
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
    return _download(model, revision, pipeline)


def _single(path: Path) -> bool:
    return path.suffix in SINGLE_FILES


def _download(model: str, revision: str | None, pipeline: Callable[[], type[Any]]) -> Path:
    with quiet():
        kind = pipeline()
        try:
            return Path(kind.download(model, revision=revision, safety_checker=None))
        except Exception as error:  # the hub's client, its transport and diffusers each raise their own
            mend = "Check the name, your connection and, for a gated model, `hf auth login`; or give a local folder"
            raise InputError(f"cannot get {model}", one_line(error), mend) from error


def identity(folder: Path) -> str:
    """Which weights: the commit for a snapshot of the hub, else a hash of the folder (`fingerprint.of_folder`)."""
    if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name):
        return folder.name
    return fingerprint.of_folder(folder)
