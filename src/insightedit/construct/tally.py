"""What a dataset holds, counted while its rows pass by: yields per kind, scores, licences."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from insightedit.core.record import Record

MODEL_SCORES = (
    "sc_fwd_follow", "sc_fwd_overedit", "sc_rev_follow", "sc_rev_overedit", "pq_natural", "pq_artifact",
    "o_fwd", "o_rev",
)  # fmt: skip
CLIP_SCORES = ("clip_dir", "clip_source", "clip_edited", "clip_image")  # which not every dataset has a column for
SCORES = (
    "quality", "changed", "outside_psnr", "residue", "seam", "texture", "mask_score", "det_score", *MODEL_SCORES,
    *CLIP_SCORES,
)  # fmt: skip
POINTS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class Yield(Record):
    """How many edits of one kind there are, of how many painted (None where that is not known)."""

    task: str
    method: str
    painted: int | None
    kept: int
    forward: int
    reverse: int

    @property
    def share(self) -> float | None:
        """Kept of painted, 0..1."""
        return self.kept / self.painted if self.painted else None


class Spread(Record):
    """Quantiles of one score over the rows that have it."""

    score: str
    count: int
    quantiles: list[float]  # at POINTS


class Owner(Record):
    """Whose photographs these are, and how many."""

    source: str
    author: str
    licence: str
    licence_url: str
    photos: int


@dataclass
class Tally:
    """Counts over the rows of a dataset. Holds four bytes per score and row, and nothing else per row."""

    photos: int = 0  # photographs with a row at least
    rows: int = 0
    forward: int = 0
    reverse: int = 0
    simple: int = 0
    advanced: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    _painted: Counter[tuple[str, str]] = field(default_factory=Counter)
    _kept: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    _scores: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in SCORES})
    _owners: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)

    def painted(self, task: str, method: str) -> None:
        """Count an edit that was painted, kept or not."""
        self._painted[task, method] += 1

    def photo(self, source: str, author: str, licence: str, licence_url: str) -> None:
        """Count a photograph with a row at least."""
        self.photos += 1
        self._owners[source, author, licence, licence_url] += 1

    def row(self, row: Mapping[str, Any]) -> None:
        """Count one row, given by the names of its columns."""
        self.rows += 1
        self.splits[row["split"]] += 1
        forward, reverse = int(bool(row["keep_fwd"])), int(bool(row["keep_rev"]))
        self.forward, self.reverse = self.forward + forward, self.reverse + reverse
        self.simple += len(row["instr_fwd_simple"] or ()) + len(row["instr_rev_simple"] or ())
        self.advanced += len(row["instr_fwd_advanced"] or ()) + len(row["instr_rev_advanced"] or ())
        kept = self._kept[row["task"] or "", row["method"] or ""]
        kept[0], kept[1], kept[2] = kept[0] + 1, kept[1] + forward, kept[2] + reverse
        for name, values in self._scores.items():
            if (value := row.get(name)) is not None:
                values.append(value)

    @property
    def pairs(self) -> int:
        """Directed pairs: each is an image, an instruction and the image that answers it."""
        return self.forward + self.reverse

    def yields(self) -> list[Yield]:
        """One line per task and method, the largest first."""
        lines = []
        for task, method in {*self._painted, *self._kept}:
            kept, forward, reverse = self._kept.get((task, method), (0, 0, 0))
            painted = self._painted[task, method] if self._painted else None
            lines.append(Yield(task=task, method=method, painted=painted, kept=kept, forward=forward, reverse=reverse))
        return sorted(lines, key=lambda line: (-line.kept, -(line.painted or 0), line.task, line.method))

    def spreads(self) -> list[Spread]:
        """Quantiles of every score that some row has; values that are no number are left to the promises."""
        found = {name: np.asarray(values, np.float64) for name, values in self._scores.items()}
        finite = {name: values[np.isfinite(values)] for name, values in found.items()}
        return [
            Spread(score=name, count=len(values), quantiles=[round(float(q), 4) for q in np.quantile(values, POINTS)])
            for name, values in finite.items()
            if len(values)
        ]

    def owners(self) -> list[Owner]:
        """Sources, authors and licences, those with most photographs first."""
        ordered = sorted(self._owners.items(), key=lambda item: (-item[1], item[0]))
        return [
            Owner(source=source, author=author, licence=licence, licence_url=url, photos=photos)
            for (source, author, licence, url), photos in ordered
        ]
