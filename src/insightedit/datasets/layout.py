"""Places in a dataset's folder, and the one line that says what was expected where something else was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from insightedit.core.errors import InputError, Unfit
from insightedit.core.files import inside, read_json

T = TypeVar("T")


def wrong(what: Path, why: str, layout: str) -> InputError:
    """The error of a file that is missing or not what it should be; `layout` is one line."""
    return InputError(f"cannot read {what}", why, f"Expected layout: {layout}")


def need(path: Path, layout: str) -> Path:
    """`path`, which must exist.

    Raises:
        InputError: it does not; the layout is named.
    """
    if not path.exists():
        raise wrong(path, "there is no such file or folder", layout)
    return path


def first_of(paths: Sequence[Path], layout: str) -> Path:
    """The first of `paths` that exists: where a dataset is known under several layouts.

    Raises:
        InputError: none does.
    """
    for path in paths:
        if path.exists():
            return path
    names = " nor ".join(path.name for path in paths)
    raise wrong(paths[0].parent, f"there is neither {names}" if len(paths) > 1 else f"there is no {names}", layout)


def files(folder: Path, pattern: str, layout: str) -> list[Path]:
    """The files below `folder` that match `pattern`, in the order of their names; one at least.

    Raises:
        InputError: there is none.
    """
    need(folder, layout)
    found = sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
    if not found:
        raise wrong(folder, f"no file there matches {pattern}", layout)
    return found


def document(path: Path, kind: type, layout: str) -> Any:
    """A JSON file whose top level is a `kind` (list or dict).

    Raises:
        InputError: it is missing, not JSON, or of another kind.
    """
    value = read_json(need(path, layout))
    if not isinstance(value, kind):
        raise wrong(path, f"its top level is {_called(type(value))}, not {_called(kind)}", layout)
    return value


def fields(record: Any, **kinds: type | tuple[type, ...]) -> list[Any]:
    """The values of a record's fields, each of the kind named.

    Raises:
        Unfit: malformed_record.
    """
    if not isinstance(record, dict):
        raise Unfit("malformed_record", _called(type(record)), "an object with " + ", ".join(kinds))
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            raise Unfit("malformed_record", f"{name} is {_called(type(record.get(name)))}", f"{name}: {_called(kind)}")
    return [record[name] for name in kinds]


def _called(kind: type | tuple[type, ...]) -> str:
    if isinstance(kind, tuple):
        return " or ".join(map(_called, kind))
    names = {dict: "an object", list: "a list", str: "text", int: "a number", type(None): "missing"}
    return names.get(kind, kind.__name__)


def of_record(root: Path, relative: str) -> Path:
    """A path that a record names, below `root`; backslashes and absolute paths are no excuse to leave it.

    Raises:
        Unfit: outside_root, missing_file.
    """
    try:
        path = inside(root, relative.strip())
    except InputError as error:
        raise Unfit("outside_root", relative[:120], f"a path below {root}") from error
    if not path.is_file():
        raise Unfit("missing_file", str(path), "an image file")
    return path


def sentence(text: Any) -> str:
    """An instruction with its white space tidied.

    Raises:
        Unfit: no_instruction.
    """
    tidy = " ".join(text.split()) if isinstance(text, str) else ""
    if not tidy:
        raise Unfit("no_instruction", repr(text)[:60], "a sentence")
    return tidy


def sentences(value: Any) -> list[str]:
    """A string or a list of strings -> the non-empty ones, tidied; anything else is no sentence."""
    given = value if isinstance(value, list) else [value]
    return [" ".join(text.split()) for text in given if isinstance(text, str) and text.strip()]


def natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts "10" after "9"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def probe(place: Callable[[T], Path], of: Iterable[T], root: Path, layout: str) -> None:
    """Look whether at least one of some first records' images is where it should be, so that a wrong root says so now.

    Raises:
        InputError: none is there.
    """
    last: Unfit | None = None
    for record in of:
        try:
            place(record)
        except Unfit as error:
            last = error
        else:
            return
    if last is not None:
        raise wrong(root, f"none of the first images is there ({last})", layout) from last
