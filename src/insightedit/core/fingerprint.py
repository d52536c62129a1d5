"""Which settings and which weights made an image: short hashes that tell two of them apart."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from insightedit.core.files import sha256_of

COMMIT = re.compile(r"[0-9a-f]{40}")
READ_WHOLE = 64_000_000  # bytes; a larger file is known by its size and its time of change


def digest(*parts: Any) -> str:
    """16 hex digits that depend on nothing but the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def of_files(paths: Iterable[Path], root: Path | None = None) -> str:
    """16 hex digits of files: names below `root`, and contents.

    Files over 64 MB are not read (a 7B model would take a minute): their size and time of change in ns stand for them.
    So a copy of large weights counts as other weights, and weights changed in place do not count as the same.
    """
    return digest([[str(path.relative_to(root)) if root else path.name, _of_file(path)] for path in sorted(paths)])


def of_folder(folder: Path) -> str:
    """`of_files` of everything in a folder; hidden files and folders are left out."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return of_files([path for path in files if not _hidden(path.relative_to(folder))], folder)


def identity(path: Path) -> str:
    """Which weights a folder or file holds: the commit of a snapshot of the hub, else `of_folder` or `of_files`."""
    if path.parent.name == "snapshots" and COMMIT.fullmatch(path.name):
        return path.name
    return of_files([path]) if path.is_file() else of_folder(path)


def engine(model: str, path: Path) -> str:
    """ "name@identity" of weights, for provenance: a hub id whole, of a folder or file on this disk its last part only.

    Args:
        model: as the settings name it.
        path: where the weights were found.
    """
    here = Path(model).expanduser()
    return f"{here.absolute().name if here.exists() else model}@{identity(path)}"


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _of_file(path: Path) -> str:
    about = path.stat()
    return sha256_of(path) if about.st_size <= READ_WHOLE else f"{about.st_size}@{about.st_mtime_ns}"
