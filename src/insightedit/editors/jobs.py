"""What a batch is to do: a list of jobs from a folder of images or from a table of edits, checked as a whole first."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insightedit.core.errors import InputError
from insightedit.core.files import inside
from insightedit.core.fingerprint import digest
from insightedit.core.image import OUTPUTS, SUFFIXES
from insightedit.core.lookup import suggest
from insightedit.editors.editor import check_instruction, check_seed

TABLES = (".csv", ".jsonl")
NEEDED, OPTIONAL = ("image", "instruction"), ("seed", "output")


@dataclass(frozen=True)
class Job:
    """One edit. `output` is relative to the output folder, with "/" between its parts."""

    image: Path
    instruction: str
    seed: int
    output: str


def check_suffix(name: str) -> None:
    """Refuse an output that is not .png, .jpg, .jpeg or .webp.

    Raises:
        InputError: naming the nearest that is.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in OUTPUTS:
        raise InputError(f"cannot write {name}", f"'{suffix}' is no format of outputs", suggest(suffix, OUTPUTS))


def from_folder(folder: Path, instruction: str, seed: int, out: Path) -> list[Job]:
    """Every picture below `folder`, in the order of names; outputs keep their place, as .png. Hidden ones are skipped.

    Raises:
        InputError: no picture, two pictures of one name, or an instruction that cannot be used.
    """
    instruction = check_instruction(instruction)
    found = []
    for path in sorted(folder.rglob("*")):
        part = path.relative_to(folder)
        ours = path.resolve().is_relative_to(out.resolve()) and not folder.resolve().is_relative_to(out.resolve())
        if path.suffix.lower() in SUFFIXES and path.is_file() and not _hidden(part) and not ours:
            found.append(Job(path, instruction, seed, part.with_suffix(".png").as_posix()))
    if not found:
        raise InputError(f"no pictures in {folder}", f"nothing ends in {' '.join(sorted(SUFFIXES))}", "Check the path")
    return _checked(found, [str(job.image) for job in found], out)


def from_table(table: Path, seed: int, out: Path) -> list[Job]:
    """A CSV with a header, or JSON lines: columns image, instruction, and perhaps seed and output.

    Images are relative to the table's folder, outputs to the output folder. Without `output` a result is called after
    its image and a short hash of the row, so that adding rows renames none. Other columns are left alone.

    Args:
        table: .csv or .jsonl, UTF-8.
        seed: of rows that state none.
        out: the output folder.

    Raises:
        InputError: unreadable, a column is missing or misspelt, or a row that cannot be used; its line is named.
    """
    jobs, places = [], []
    for line, row in _rows(table):
        try:
            jobs.append(_job(row, table.parent, seed))
        except InputError as error:
            raise InputError(f"{table}, line {line}: {error.what}", error.why, error.mend) from error
        places.append(f"{table}, line {line}")
    if not jobs:
        raise InputError(f"no edits in {table}", "it has no rows", "Write a row for each edit")
    return _checked(jobs, places, out)


def _job(row: dict[str, Any], folder: Path, seed: int) -> Job:
    image, instruction = row["image"], row["instruction"]
    if not isinstance(image, str) or not image.strip():
        raise InputError("no image", f"the column holds {image!r}", "Name a file")
    if not isinstance(instruction, str):
        raise InputError("no instruction", f"the column holds {instruction!r}", "Write it as text")
    instruction = check_instruction(instruction)
    own = _seed(row.get("seed"), seed)
    output = row.get("output") or f"{Path(image).stem}-{digest(image, instruction, own)[:8]}.png"
    if not isinstance(output, str):
        raise InputError("no output name", f"the column holds {output!r}", "Write it as text, or leave it out")
    check_suffix(output)
    return Job(folder / image, instruction, own, output)


def _seed(value: object, default: int) -> int:
    if value is None or value == "":
        return default
    text = str(value).strip()
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise InputError(f"seed {value!r} is no seed", "it is no whole number", "Write 0, 1, 2, ...")
    return check_seed(int(text[:20]))  # 20 digits are beyond every seed already


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a table; the columns are checked, their contents are not."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"cannot read {table}", error.strerror or str(error), "Check the path and its rights"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {table}", "it is not UTF-8 text", "Save it as UTF-8") from error
    yield from _csv_rows(table, text) if table.suffix.lower() == ".csv" else _json_rows(table, text)


def _csv_rows(table: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _check_columns(list(reader.fieldnames or ()), f"the header of {table}")
        for row in reader:
            if None in row or None in row.values():
                why = f"it has not {len(reader.fieldnames or ())} fields like the header"
                mend = 'Put a text with commas into quotes: "make it red, please"'
                raise InputError(f"{table}, line {reader.line_num} is malformed", why, mend)
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{table} is no CSV", f"line {reader.line_num}: {error}", "Mend the quotes there") from error


def _json_rows(table: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{table}, line {line} is not JSON", str(error)[:200], "One object per line") from error
        if not isinstance(row, dict):
            raise InputError(f"{table}, line {line} is no object", f"it is a {type(row).__name__}", "Write {...}")
        _check_columns(list(row), f"{table}, line {line}")
        yield line, row


def _check_columns(columns: list[str], where: str) -> None:
    for name in NEEDED:
        if name not in columns:
            mend = f"It has: {', '.join(columns) or 'nothing'}. Needed: image, instruction; also read: seed, output"
            raise InputError(f"no column '{name}' in {where}", "every edit needs one", mend)
    for name in set(OPTIONAL) - set(columns):
        if near := difflib.get_close_matches(name, columns, n=1, cutoff=0.75):
            raise InputError(f"column '{near[0]}' in {where}", f"it is not read; '{name}' is", "Rename or remove it")


def _checked(jobs: list[Job], places: Sequence[str], out: Path) -> list[Job]:
    """Refuse outputs that leave the folder, meet each other, or would replace a source, before anything is done."""
    sources = {job.image.resolve() for job in jobs}
    seen: dict[str, str] = {}
    for job, place in zip(jobs, places, strict=True):
        path = inside(out, job.output)
        if path in sources:
            raise InputError(
                f"{job.output} would replace a source", f"of {place}", "Choose another output folder or name"
            )
        name = str(path).casefold()  # some disks do not tell A.png from a.png
        if name in seen:
            why = f"{seen[name]} and {place} both write it"
            raise InputError(f"two edits are called {job.output}", why, "Give each its own name in a column 'output'")
        seen[name] = place
    return jobs


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
