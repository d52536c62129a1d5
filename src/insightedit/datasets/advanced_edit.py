"""AdvancedEdit (Xu et al., 2025, InsightEdit) as the authors' tools write it: one JSON per source picture.

Form read from the examples in their repository (data_processing/assets), whose paths are blank. An addition is a
removal with the two pictures swapped; where a file has no record of its own for it, it is derived here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask
from insightedit.datasets import choice, pictures
from insightedit.datasets.balance import TASKS, balanced
from insightedit.datasets.example import EditExample
from insightedit.datasets.kept import Arrays, kept
from insightedit.datasets.layout import fields, need, of_record, probe, sentences, wrong

LAYOUT = (
    'below ROOT one JSON per picture, {"0": {origin_img_path, target_img_path, task_type: remove|add|replace, '
    "instruction: [..], reasoning_instruction1, class_origin, ..}, ..}, its paths below `images`"
)
KNOWN = ("remove", "add", "replace")  # tasks
REASONING = ("reasoning_instruction1", "reasoning_instruction2")


class AdvancedEditKnobs(Knobs):
    """Where it is, what is good enough, and how often its instruction takes reasoning."""

    path: Path  # the folder of the JSON files
    images: Path | None = None  # what the paths in them start from; None = `path`
    strip: str = ""  # a beginning of those paths that is taken off first: the authors' own folder
    reasoning: float = Field(0.5, ge=0, le=1)  # share of draws with a reasoning instruction
    add_from_remove: bool = True  # a removal read backwards is an addition
    masks: bool = False  # decode `segmentation` too
    max_side: int = 1024  # px; larger pictures are shrunk, 0 = never
    # VIEScore, 0..5 each; None = no threshold. `unscored` says whether records without that score stay.
    min_follow: float | None = None  # qwen_VIE_SC.instruction_follow
    min_overedit: float | None = None  # qwen_VIE_SC.non-overedit
    min_naturalness: float | None = None  # qwen_VIE_PQ.naturalness
    min_artifacts: float | None = None  # qwen_VIE_PQ.no_artifacts
    unscored: bool = True
    index: Path | None = None  # where the index is kept


class Directed(NamedTuple):
    """One way of one record."""

    source: str
    target: str
    task: int  # into TASKS
    told: tuple[list[str], list[str]]  # simple and reasoning instructions


class AdvancedEdit:
    """Removals, additions and replacements, each with simple and reasoning instructions."""

    Knobs: ClassVar[type[Knobs]] = AdvancedEditKnobs
    role = "advanced_edit"

    def __init__(self, knobs: AdvancedEditKnobs, name: str = "advanced_edit") -> None:
        self.knobs, self.name = knobs, name
        root = need(knobs.path, LAYOUT)
        self.images = need(knobs.images or root, LAYOUT)
        self.files = sorted(path for path in root.rglob("*.json") if path.is_file())
        if not self.files:
            raise wrong(root, "there is no JSON file below it", LAYOUT)
        recipe = knobs.model_dump_json(exclude={"index", "images", "strip", "masks", "max_side", "reasoning"})
        held = kept(knobs.index, "advanced_edit", self.files, self._index, recipe)
        self.left_out = Counter(dict(zip(held["reasons"].tolist(), held["counts"].tolist(), strict=True)))
        if not len(held["table"]):
            raise wrong(root, f"no file there has a usable record ({dict(self.left_out)})", LAYOUT)
        order, self.parts = balanced(held["table"][:, 3], held["table"][:, 4], knobs.reasoning)
        self._table = held["table"][order]  # (N, 5): file, record, way, task, kind
        first = np.linspace(0, len(self) - 1, num=min(8, len(self)), dtype=int).tolist()
        probe(lambda number: self._place(self._directed(number)[1].source), first, self.images, LAYOUT)

    def _index(self) -> Arrays:
        rows: list[tuple[int, int, int, int, int]] = []
        left_out: Counter[str] = Counter()
        for number, path in enumerate(self.files):
            try:
                records = _records(path)
            except Unfit as error:
                left_out[error.reason] += 1
                continue
            for place in range(len(records)):
                try:
                    _good_enough(records[place], self.knobs)
                    ways = _ways(records, place, self.knobs.add_from_remove)
                except Unfit as error:
                    left_out[error.reason] += 1
                    continue
                rows += [
                    (number, place, way, directed.task, kind)
                    for way, directed in ways
                    for kind in (0, 1)
                    if directed.told[kind]
                ]
        return {
            "table": np.array(rows, np.int32).reshape(-1, 5),
            "reasons": np.array(list(left_out), np.str_),
            "counts": np.array(list(left_out.values()), np.int64),
        }

    def __len__(self) -> int:
        return len(self._table)

    def _directed(self, index: int) -> tuple[dict[str, Any], Directed, str]:
        file, place, way = (int(value) for value in self._table[index][:3])
        records = _records(self.files[file])
        directed = dict(_ways(records, place, self.knobs.add_from_remove))[way]
        return records[place], directed, f"{self.files[file].stem}-{place}-{way}"

    def _place(self, given: str) -> Path:
        return of_record(self.images, given.strip().removeprefix(self.knobs.strip).lstrip("/"))

    def example(self, index: int, seed: int) -> EditExample:
        """One way of one edit with one kind of instruction; which of that kind is drawn."""
        record, directed, key = self._directed(index)
        told = directed.told[int(self._table[index][4])]
        said = choice.one_of(told, seed, self.name, key, "instruction")
        source, target = (pictures.read(self._place(path)) for path in (directed.source, directed.target))
        source, target = pictures.paired(source, target, self.knobs.max_side)
        mask = None
        if self.knobs.masks and isinstance(record.get("segmentation"), dict):
            mask = pictures.mask_at(Mask.from_rle(record["segmentation"]).full(), source)
        return EditExample(key, self.name, TASKS[directed.task], source, target, said, mask)


def _records(path: Path) -> list[dict[str, Any]]:
    """The records of one file in its own order.

    Raises:
        Unfit: malformed_file (one of the authors' own examples ends in a comma too many).
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unfit("malformed_file", f"{path.name}: {str(error)[:80]}", "JSON") from error
    if not isinstance(value, dict) or not all(isinstance(record, dict) for record in value.values()):
        raise Unfit("malformed_file", path.name, "an object of objects")
    return list(value.values())


def _ways(records: list[dict[str, Any]], place: int, add_from_remove: bool) -> list[tuple[int, Directed]]:
    """(0, as it stands) and, for a removal that nobody wrote backwards, (1, swapped)."""
    record = records[place]
    source, target, task = fields(record, origin_img_path=str, target_img_path=str, task_type=str)
    if task not in KNOWN:
        raise Unfit("unknown_task", task[:40], ", ".join(KNOWN))
    told = (sentences(record.get("instruction")), sentences([record.get(name) for name in REASONING]))
    ways = [(0, Directed(source, target, TASKS.index(task), told))]
    named = " ".join(str(record.get("class_origin") or "").replace("_", " ").split())
    if task == "remove" and add_from_remove and named and not any(_undoes(other, record) for other in records):
        ways.append((1, Directed(target, source, TASKS.index("add"), ([f"add the {named}"], []))))
    return ways


def _undoes(other: dict[str, Any], removal: dict[str, Any]) -> bool:
    """Whether `other` is the addition that belongs to `removal`."""
    same = other.get("class_target") == removal.get("class_origin") and other.get("bbox") == removal.get("bbox")
    return other.get("task_type") == "add" and same


def _good_enough(record: dict[str, Any], knobs: AdvancedEditKnobs) -> None:
    for wanted, group, name in _thresholds(knobs):
        scores = record.get(group)
        score = scores.get(name) if isinstance(scores, dict) else None
        if not isinstance(score, int | float):
            if not knobs.unscored:
                raise Unfit("unscored", f"no {group}.{name}", "a score")
        elif score < wanted:
            raise Unfit(f"low_{name}", str(score), f"at least {wanted}")


def _thresholds(knobs: AdvancedEditKnobs) -> Iterator[tuple[float, str, str]]:
    for wanted, group, name in (
        (knobs.min_follow, "qwen_VIE_SC", "instruction_follow"),
        (knobs.min_overedit, "qwen_VIE_SC", "non-overedit"),
        (knobs.min_naturalness, "qwen_VIE_PQ", "naturalness"),
        (knobs.min_artifacts, "qwen_VIE_PQ", "no_artifacts"),
    ):
        if wanted is not None:
            yield wanted, group, name
