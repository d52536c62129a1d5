"""Which networks paint removals and replacements, how often each edit is tried, and which attempt is kept."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from insightedit.backends.paint.edit import EditKnobs
from insightedit.core.config import Knobs
from insightedit.metrics.clip import ClipKnobs


class PainterKnobs(Knobs):
    """A painter of docs/painters.md, its settings (all but `device`, which is that of `place`), and attempts.

    Of several attempts the best is kept: by `fill` (the calibrated quality of a removal, from pixels alone) or by
    `clip` (how little of the old thing, or how much of the new one, CLIP sees in the edited crop).
    """

    painter: str = "powerpaint_v2"
    settings: dict[str, Any] = {}
    attempts: int = Field(1, ge=1, le=64)
    best_by: Literal["first", "fill", "clip"] = "first"

    @model_validator(mode="after")
    def _judged(self) -> Self:
        if self.attempts > 1 and self.best_by == "first":
            raise ValueError("attempts above 1 are painted in vain while best_by is first")
        return self


class ReplacementKnobs(PainterKnobs):
    """When to put another thing in the place of one, and who paints it."""

    best_by: Literal["first", "clip"] = "first"
    per_object: int = Field(1, ge=0)  # of the targets that were proposed for it; 0: no replacements
    min_share: float = 0.003  # of the frame
    max_share: float = 0.40


class NetworkKnobs(Knobs):
    """Paint by networks. What may be removed is decided by `paint.removal`, as for the classical way."""

    removal: PainterKnobs = PainterKnobs()
    replacement: ReplacementKnobs = ReplacementKnobs()
    edit: EditKnobs = EditKnobs()  # where to crop, how to lay back
    clip: ClipKnobs = ClipKnobs()  # of best_by; its device is that of `place`
