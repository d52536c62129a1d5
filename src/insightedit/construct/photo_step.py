"""What the five steps share: they work on one photograph at a time and reject it under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np

from insightedit.construct.source.scan import SourceKnobs, open_photo
from insightedit.construct.work import Painting, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.record import Record, Reject
from insightedit.flow.step import Step

Out = TypeVar("Out", bound=Record)


class OfWork:
    """What steps on `Work` share, whether they compute or ask: mixed into `Step` and `AsyncStep`."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]

    def reject(self, item: Work, reason: str, seen: str = "", wanted: str = "") -> Reject:
        """A photograph leaves, or with `.but(object_id=...)` a part of it: the record of it."""
        photo = item.photo
        return Reject(step=self.name, reason=reason, photo_id=photo.photo_id, uri=photo.uri, seen=seen, wanted=wanted)

    def arrange(self, items: Sequence[Work]) -> Sequence[Work]:
        """Pictures stay behind unless the step reads them: they are megabytes each."""
        return items if "paint" in self.needs else [_without_pictures(work) for work in items]


class WorkStep(OfWork, Step[Work, Out]):
    """A step that works on what is known of a photograph, without its pixels.

    Subclasses write `one`, which may raise `Unfit` to reject the photograph.
    """

    def one(self, work: Work) -> Out:
        """What this step finds in one photograph."""
        raise NotImplementedError

    def process(self, batch: Sequence[Work]) -> list[Out | Reject]:
        return [self._guarded(work) for work in batch]

    def _guarded(self, work: Work) -> Out | Reject:
        try:
            return self.one(work)
        except Unfit as error:
            return self.reject(work, error.reason, error.seen, error.wanted)


class PhotoStep(WorkStep[Out]):
    """A step that opens the photograph.

    Args:
        knobs: the step's own section of the configuration.
        seed: of the run.
        root: of the photographs.
        source: how photographs are opened.
    """

    def __init__(self, knobs: Knobs, seed: int, root: Path, source: SourceKnobs) -> None:
        super().__init__(knobs, seed)
        self.root, self.source = root, source

    def open(self, work: Work) -> np.ndarray:
        """uint8 RGB (H, W, 3) of the photograph."""
        return open_photo(self.root, work.photo, self.source)


def _without_pictures(work: Work) -> Work:
    if "paint" not in work.values:
        return work
    return work.with_value("paint", work.value("paint", Painting).but(pictures=[]))
