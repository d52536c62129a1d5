"""Files that are whole or absent, and paths that stay inside their root."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from insightedit.core.errors import InputError, OutputError

TEMPORARY = ".unfinished"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write beside `path`, then rename: under its final name a file is whole.

    The data reach the disk before the rename and the folder entry after it (fsync twice), so that neither kill -9 nor
    a power cut leaves half a file. A failure removes the unfinished file.

    Raises:
        OutputError: the disk is full or the place cannot be written.
    """
    unfinished = path.with_name(path.name + TEMPORARY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        with open(unfinished, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"could not write {path}",
            error.strerror or str(error),
            "Free some space or choose another --out; what is finished stays, and the same command continues",
        ) from error
    finally:
        with suppress(OSError):  # not there, or the place itself is wrong, which the error above says
            unfinished.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in the order given."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: the file is missing, unreadable or not JSON; line and column are named.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a byte order mark first
    except OSError as error:
        raise InputError(
            f"cannot read {path}", error.strerror or str(error), "Check the path and its rights"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}", "it is not UTF-8 text", "Save it as UTF-8 JSON") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise InputError(f"{path} is not valid JSON", where, "Mend the file there") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets within brackets
        raise InputError(f"{path} is not usable JSON", str(error)[:200], "Mend the file") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, refused if it would leave `root` (by `..`, an absolute path or a link).

    Raises:
        InputError: the path leaves the root.
    """
    path = (root / relative.replace("\0", "\ufffd")).resolve()  # a NUL is no part of any name
    if not path.is_relative_to(root.resolve()):
        raise InputError(f"'{relative}' is outside {root}", "it would leave that folder", "Use a path inside it")
    return path


def shipped(relative: str) -> Path:
    """A file or folder that ships with the project: beside the package in a wheel, at the root of a checkout.

    Raises:
        InputError: this installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package, package.parents[1]):
        if (root / relative).exists():
            return root / relative
    raise InputError(f"'{relative}' is not part of this installation", "it was not found", "Install insightedit again")
