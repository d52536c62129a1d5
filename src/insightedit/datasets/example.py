"""What a reader gives: an edit, a talk about a picture, or a caption; and what a reader is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from insightedit.core.config import Knobs


@dataclass(frozen=True, eq=False)
class EditExample:
    """A picture, what to do with it, and the outcome."""

    id: str  # unique within the dataset
    dataset: str
    task: str  # edit | remove | add | replace | recolour | overlay | keep ...
    source: np.ndarray  # (H, W, 3) uint8 RGB
    target: np.ndarray  # (H, W, 3) uint8 RGB, of the same size
    instruction: str
    mask: np.ndarray | None = None  # (H, W) bool: what changes, where that is known
    answer: tuple[str, ...] = ()  # the edit in words one by one ("" where none fits), where that is known


@dataclass(frozen=True, eq=False)
class TalkExample:
    """Questions and answers about a picture (LLaVA's instruction data)."""

    id: str
    dataset: str
    image: np.ndarray | None  # (H, W, 3) uint8 RGB
    rounds: tuple[tuple[str, str], ...]  # (question, answer)
    image_first: bool = True  # the picture stands before the first question, or after it


@dataclass(frozen=True, eq=False)
class CaptionExample:
    """A caption, with its picture where there is one."""

    id: str
    dataset: str
    text: str
    image: np.ndarray | None = None  # (H, W, 3) uint8 RGB


Example = EditExample | TalkExample | CaptionExample


@dataclass(frozen=True)
class Part:
    """A run of a reader's indices, `start` .. `start + count`, that gets `share` of the reader's draws."""

    label: str
    start: int
    count: int
    share: float = 1.0


class Reader(Protocol):
    """A dataset, read by index.

    Built cheaply from its knobs: it indexes files and opens nothing heavy, so it can be pickled into other processes.
    """

    Knobs: ClassVar[type[Knobs]]
    role: ClassVar[str]  # its place in the default mixture, see `weights.chain`

    name: str
    parts: tuple[Part, ...]  # together all indices, each in one part
    left_out: Mapping[str, int]  # reason -> records that are not offered at all, known from the index

    def __len__(self) -> int: ...

    def example(self, index: int, seed: int) -> Example:
        """The example at `index`; whatever is drawn (a sentence, a colour, a crop) depends on (seed, index) only.

        Raises:
            Unfit: this one record is bad; the mixture counts it and takes another.
            InputError: a file is missing or malformed as a whole.
        """
        ...


def whole(count: int) -> tuple[Part, ...]:
    """The parts of a reader without any."""
    return (Part("", 0, count),)
