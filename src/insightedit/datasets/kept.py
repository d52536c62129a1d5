"""Indexes that take minutes to make and seconds to read: kept in a folder that the user names, never in the dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from insightedit.core.files import atomic

Arrays = Mapping[str, np.ndarray]


def kept(folder: Path | None, name: str, of: Sequence[Path], build: Callable[[], Arrays], recipe: str = "") -> Arrays:
    """`build()`, or what it gave before for the same files.

    Args:
        folder: where indexes are kept; None builds anew every time.
        name: what the index is of, part of its file name.
        of: the indexed files; their paths, sizes and times of change tell whether the index still holds.
        build: makes the arrays (no objects).
        recipe: whatever else the index depends on.

    Raises:
        OutputError: the folder cannot be written.
    """
    if folder is None:
        return build()
    path = folder / f"{name}-{_fingerprint(of, recipe)}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}
    arrays = build()
    with atomic(path) as unfinished, unfinished.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)
    return arrays


def _fingerprint(of: Sequence[Path], recipe: str) -> str:
    digest = hashlib.sha256(recipe.encode())
    for path in of:
        stat = path.stat()
        digest.update(f"\n{path.resolve()}\t{stat.st_size}\t{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
