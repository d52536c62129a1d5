"""Datasets that `insightedit build` published: every row is two directed edits, each with its own instructions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.image import decode_own
from insightedit.datasets import choice, pictures
from insightedit.datasets.balance import TASKS, balanced
from insightedit.datasets.example import EditExample
from insightedit.datasets.layout import sentences, wrong
from insightedit.datasets.tables import Rows, small_columns

LAYOUT = "the dataset/ folder of `insightedit build`: manifest.json and data/SPLIT-NNNNN-of-NNNNN.parquet"
WAYS = ("fwd", "rev")
KIND_COLUMNS = ("simple", "advanced")  # as the columns call the kinds
TOLD = tuple(f"instr_{way}_{kind}" for way in WAYS for kind in KIND_COLUMNS)
SMALL = ("edit_id", "task", "keep_fwd", "keep_rev", *TOLD)
IMAGES = ("source_image", "edited_image", "mask")


class PublishedKnobs(Knobs):
    """Where it is, and how often its instruction takes reasoning."""

    path: Path
    split: str = "train"
    reasoning: float = Field(0.5, ge=0, le=1)  # share of draws with an advanced instruction
    directions: tuple[str, ...] = WAYS  # ("fwd",) reads no edit backwards
    min_quality: float | None = Field(None, ge=0, le=1)  # of the calibrated score; rows without it stay
    max_side: int = 1024  # px; larger pictures are shrunk, 0 = never
    arrow: Path | None = None  # parquet is unpacked here once


class Published:
    """Removals, additions and replacements whose background is equal on both sides."""

    Knobs: ClassVar[type[Knobs]] = PublishedKnobs
    role = "advanced_edit"

    def __init__(self, knobs: PublishedKnobs, name: str = "published") -> None:
        self.knobs, self.name = knobs, name
        self.rows = Rows(knobs.path, knobs.split, (*SMALL, "quality", *IMAGES), LAYOUT, knobs.arrow)
        self.left_out: Counter[str] = Counter()
        table = self._index()
        if not len(table):
            raise wrong(knobs.path, f"split '{knobs.split}' has no kept edit ({dict(self.left_out)})", LAYOUT)
        order, self.parts = balanced(table[:, 2], table[:, 3], knobs.reasoning)
        self._table = table[order]  # (N, 4): row, way, task, kind

    def _index(self) -> np.ndarray:
        """A line for every row, kept direction and kind of instruction that is there."""
        columns = small_columns(self.rows, (*SMALL[1:], "quality"))
        removes, free = (np.asarray(pc.equal(columns["task"], task)) for task in ("remove_add", "free"))
        quality = np.asarray(columns["quality"].cast("float64").fill_null(1.0))
        good = quality >= (self.knobs.min_quality or 0.0)
        self._leave_out("low_quality", ~good)
        lines = []
        for way, short in enumerate(WAYS):
            kept = np.asarray(columns[f"keep_{short}"]).astype(bool)
            self._leave_out(f"not_kept_{short}", ~kept)
            other = np.where(free, TASKS.index("edit"), TASKS.index("replace"))
            tasks = np.where(removes, TASKS.index(("remove", "add")[way]), other)
            for kind, column in enumerate(KIND_COLUMNS):
                said = np.asarray(pc.list_value_length(columns[f"instr_{short}_{column}"]).fill_null(0)) > 0
                chosen = np.flatnonzero(kept & good & said & (short in self.knobs.directions))
                alike = np.full((2, len(chosen)), [[way], [kind]])
                lines.append(np.stack([chosen, alike[0], tasks[chosen], alike[1]], axis=1))
        return np.concatenate(lines)

    def _leave_out(self, reason: str, which: np.ndarray) -> None:
        if which.any():
            self.left_out[reason] = int(which.sum())

    def __len__(self) -> int:
        return len(self._table)

    def example(self, index: int, seed: int) -> EditExample:
        """One direction of one row with one kind of instruction; which of that kind is drawn."""
        number, way, task, kind = (int(value) for value in self._table[index])
        row = self.rows[number]
        told = sentences(row[f"instr_{WAYS[way]}_{KIND_COLUMNS[kind]}"])
        if not told:
            raise Unfit("no_instruction", row["edit_id"], "a sentence")
        key = f"{row['edit_id']}-{WAYS[way]}"
        said = choice.one_of(told, seed, self.name, key, "instruction")
        source, edited = (pictures.read_bytes(row[name]) for name in IMAGES[:2])
        source, edited = pictures.paired(source, edited, self.knobs.max_side)
        mask = pictures.mask_at(decode_own(row["mask"]["bytes"]) > 127, source)
        sides = (source, edited) if WAYS[way] == "fwd" else (edited, source)
        return EditExample(key, self.name, TASKS[task], *sides, said, mask)
