"""What travels from step to step: one photograph with everything that the steps so far know about it.

Each step adds one value, a record per photograph, and each value is one column group on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from insightedit.core.record import Edit, Instruction, Judgement, Object, Photo, Picture, Record, Reject

V = TypeVar("V", bound=Record)


class Asked(Record):
    """One question that a language model answered: which words, which model, and what it took. None = not known."""

    prompt: str
    version: str  # first 12 hex digits of the SHA-256 of the prompt's file
    model: str  # as the server names what answered
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None


class Description(Record):
    """Of `describe`: a caption and named objects, not yet with masks that can be trusted."""

    photo_id: str
    caption: str
    objects: list[Object]
    rejects: list[Reject] = []


class Segmentation(Record):
    """Of `segment`: the objects that have a mask, measured."""

    photo_id: str
    objects: list[Object]
    rejects: list[Reject] = []


class Painting(Record):
    """Of `paint`: edits, and each picture once. Pictures are left out when a later step does not ask for them."""

    heavy = frozenset({"pictures"})

    photo_id: str
    edits: list[Edit]
    rejects: list[Reject] = []
    pictures: list[Picture] = []


class Worded(Record):
    """The instructions of one edit."""

    edit_id: str
    instructions: list[Instruction]


class Wording(Record):
    """Of `instruct`."""

    photo_id: str
    edits: list[Worded]
    rejects: list[Reject] = []


class Verdict(Record):
    """Of `judge`."""

    photo_id: str
    edits: list[Judgement]
    rejects: list[Reject] = []


@dataclass(frozen=True)
class Work:
    """A photograph on its way: `values` maps the name of each step done to what it found."""

    photo: Photo
    values: dict[str, Record]
    donors: tuple[tuple[Photo, Object], ...] = ()  # objects of other photos of the shard, for transplanting

    @property
    def key(self) -> str:
        return self.photo.photo_id

    def value(self, step: str, kind: type[V]) -> V:
        """What `step` found, as its record class."""
        found = self.values[step]
        if not isinstance(found, kind):
            raise TypeError(f"step '{step}' left a {type(found).__name__}, not a {kind.__name__}")
        return found

    def with_value(self, step: str, found: Record) -> Work:
        """A copy that knows one thing more."""
        return replace(self, values={**self.values, step: found})

    @property
    def objects(self) -> list[Object]:
        """The objects with masks."""
        return self.value("segment", Segmentation).objects

    @property
    def edits(self) -> list[Edit]:
        return self.value("paint", Painting).edits

    def picture(self, sha256: str) -> bytes:
        """The JPEG of that content."""
        return next(p.jpeg for p in self.value("paint", Painting).pictures if p.sha256 == sha256)

    def edits_with_objects(self) -> Iterator[tuple[Edit, Object]]:
        """Each edit beside the object that it edits."""
        by_id = {thing.object_id: thing for thing in self.objects}
        for edit in self.edits:
            yield edit, by_id[edit.object_id]
