"""The common form on disk, a JSONL and its pictures: AdvancedEdit-Eval's, that of `insightedit eval-set`, and yours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from insightedit.core.lookup import suggest
from insightedit.datasets.layout import need, wrong
from insightedit.evaluate.pictures import Picture, placed
from insightedit.evaluate.readers.read import Layout, Read, text_of
from insightedit.evaluate.sample import Fault, Sample

TABLE = "samples.jsonl"
NEEDED = ("id", "source", "instruction")
TEXTS = ("task", "category", "split", "instruction_simple", "caption_source", "caption_target", "clip_text", "session")
KNOWN = (*NEEDED, *TEXTS, "target", "mask", "turn", "turns", "sha256", "output", "meta")


class Pairs(Layout):
    """`table`: the JSONL, else samples.jsonl or the only one there. `simple`: use `instruction_simple` where given."""

    LAYOUT: ClassVar[str] = (
        'FOLDER/samples.jsonl, a line {"id", "source", "instruction"} or more of '
        f"{', '.join(KNOWN[3:])}; pictures by paths relative to it, masks white where the edit may be"
    )

    path: Path
    table: str | None = None
    simple: bool = False

    def read(self, benchmark: str) -> Read:
        """Samples in the order of the lines."""
        table = self._table(need(self.path, self.LAYOUT))
        return Read([self._sample(table.parent, line, benchmark) for line in _records(table)])

    def _table(self, root: Path) -> Path:
        if root.is_file():
            return root
        if self.table is not None or (root / TABLE).is_file():
            return need(root / (self.table or TABLE), self.LAYOUT)
        found = sorted(root.glob("*.jsonl"))
        if len(found) != 1:
            why = f"it holds {len(found)} files *.jsonl, and none is called {TABLE}"
            raise wrong(root, why, self.LAYOUT)
        return found[0]

    def _sample(self, root: Path, line: tuple[int, dict[str, Any]], benchmark: str) -> Sample:
        number, record = line
        texts = {name: text_of(record.get(name)) for name in (*TEXTS, "id", "instruction", "output")}
        plain = texts["instruction_simple"] if self.simple else None
        turns = tuple(record.get("turns") or ())
        return Sample(
            id=texts["id"] or f"line-{number}",
            benchmark=benchmark,
            category=texts["category"] or texts["task"] or "all",
            split=texts["split"] or "",
            source=_picture(root, record, "source"),
            target=_picture(root, record, "target") if record.get("target") is not None else None,
            mask=_picture(root, record, "mask") if record.get("mask") is not None else None,
            instruction=plain or texts["instruction"] or "",
            caption_source=texts["caption_source"],
            caption_target=texts["caption_target"],
            clip_text=texts["clip_text"],
            turns=turns if len(turns) > 1 else (),
            turn=record.get("turn", 1),
            session=texts["session"] or "",
            output=texts["output"] or "",
            fault=_fault(record, number),
            meta=record.get("meta") or {},
        )


def _records(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, record), with every field of its kind.

    Raises:
        InputError: a line is no JSON object, has an unknown key or a value of another kind; it is named.
    """
    try:
        lines = table.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(table, str(error), Pairs.LAYOUT) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise wrong(table, f"line {number} is not JSON ({str(error)[:80]})", Pairs.LAYOUT) from error
        if why := _malformed(record):
            raise wrong(table, f"line {number}: {why}", Pairs.LAYOUT)
        yield number, record


def _malformed(record: Any) -> str | None:
    """What is wrong with the form of a line: most likely of all of them."""
    if not isinstance(record, dict):
        return "it is no object"
    strange = [key for key in record if key not in KNOWN]
    if strange:
        return f"unknown key '{strange[0]}'. {suggest(strange[0], KNOWN)}. What else you know belongs below `meta`"
    kinds: dict[str, type] = {"turn": int, "turns": list, "sha256": dict, "meta": dict}
    for key, value in record.items():
        kind = kinds.get(key, str)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            return f"'{key}' is {type(value).__name__}, not {kind.__name__}"
    if not all(isinstance(said, str) for said in record.get("turns") or ()):
        return "'turns' holds something else than sentences"
    return None


def _picture(root: Path, record: Mapping[str, Any], part: str) -> Picture:
    hashes = record.get("sha256") or {}
    stated = hashes.get(part)
    return placed(root, record.get(part), stated if isinstance(stated, str) else "")


def _fault(record: Mapping[str, Any], number: int) -> Fault | None:
    for name in NEEDED:
        if text_of(record.get(name)) is None:
            kind = "no_instruction" if name == "instruction" else "malformed_record"
            return Fault(kind, f"line {number} has no '{name}'")
    if not all(map(text_of, record.get("turns") or ())):
        return Fault("no_instruction", f"line {number} has a blank turn")
    return None
