"""Scenes that the project renders itself: exact targets, exact masks, drawn when asked for or kept once drawn."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.seed import derive
from insightedit.datasets import choice
from insightedit.datasets.drawn import opened
from insightedit.datasets.example import CaptionExample, EditExample, whole
from insightedit.scenes.formula import Formula, Seen, picks, seen
from insightedit.scenes.grammar import Instruction, instruct
from insightedit.scenes.referents import RELATION_WORDS, noun
from insightedit.scenes.render import render_pair
from insightedit.scenes.sampling import pair_seed, sample
from insightedit.scenes.scene import Pair, Scene

TRIES = 64  # pairs asked for an instruction of the wanted part and level
DO = {"remove": "remove", "add": "add", "replace": "replace", "recolour": "change"}
WHERE = {"left_of": "left", "right_of": "right", "in_front_of": "front", "behind": "behind"}


class RenderedKnobs(Knobs):
    """How many, how large, and which side of the split."""

    count: int = Field(100_000, ge=1)  # pairs; each is read in both directions
    size: int = Field(64, ge=32, le=256)  # px
    seed: int = 0  # of the set: other seeds are other scenes
    part: Literal["train", "heldout"] = "train"  # combinations, kinds and wordings, see `scenes.grammar.split_of`
    reasoning: float = Field(0.5, ge=0, le=1)  # share of examples with a reasoning instruction
    mirror: bool = False  # read each pair mirrored too
    store: Path | None = None  # folder with the pairs already drawn, see `datasets.drawn`


class Rendered:
    """Pair number `index // 2`, forwards (even) or backwards (odd); the second half of the indices is mirrored."""

    Knobs: ClassVar[type[Knobs]] = RenderedKnobs
    role = ""

    def __init__(self, knobs: RenderedKnobs, name: str = "scenes") -> None:
        self.knobs, self.name = knobs, name
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))
        self.drawn = None if knobs.store is None else opened(knobs.store, knobs.count, knobs.size, knobs.seed)

    def __len__(self) -> int:
        return (4 if self.knobs.mirror else 2) * self.knobs.count

    def example(self, index: int, seed: int) -> EditExample:
        """One way of one pair; level and wording of its instruction are drawn."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        pair, number, said = self._worded(index, seed)
        before, after = self._pictures(pair, number, index)
        changed = (before != after).any(axis=2)  # (S, S)
        key = f"{pair.seed:x}-{index % 2}{'m' if self._mirrored(index) else ''}"
        return EditExample(key, self.name, pair.task, before, after, said.text, changed, in_words(pair, said.formula))

    def _mirrored(self, index: int) -> bool:
        return index >= 2 * self.knobs.count

    def _pictures(self, pair: Pair, number: int | None, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self.drawn is None or number is None:
            shown = render_pair(pair, self.knobs.size)
            return shown.before.image, shown.after.image
        sides = [self.drawn[side][number] for side in ("before", "after")]
        if self._mirrored(index):
            sides = [side[:, ::-1] for side in sides]
        before, after = (np.ascontiguousarray(side) for side in sides)
        return (after, before) if index % 2 else (before, after)

    def _worded(self, index: int, seed: int) -> tuple[Pair, int | None, Instruction]:
        """The pair, its number in the set, and its sentence. A pair of which nothing of that part and level can be said
        gives way to another one: it is not a bad record, there is just another.
        """
        reasons = choice.share(seed, self.name, index, "level") < self.knobs.reasoning
        level: Literal["simple", "advanced"] = "advanced" if reasons else "simple"
        for attempt in range(TRIES):
            pair, number = self._pair(index, attempt)
            draw = random.Random(derive(seed, self.name, index, "instruction", attempt))
            said = instruct(pair, draw, level, self.knobs.part)
            if said is not None:
                return pair, number, said
        raise Unfit("no_instruction", f"{TRIES} pairs without one", f"one of {self.knobs.part}, {level}")

    def _pair(self, index: int, attempt: int) -> tuple[Pair, int | None]:
        """The pair as it is read at this index, or its stand-in: another of the set where all are drawn already."""
        number, run = index // 2 % self.knobs.count, self.knobs.seed
        if attempt and self.drawn is not None:
            number = derive(self.knobs.seed, "instead", index, attempt) % self.knobs.count
        elif attempt:
            run = derive(self.knobs.seed, "instead", attempt)
        pair = sample(pair_seed(run, number))
        pair = pair.mirrored() if self._mirrored(index) else pair
        return pair.reversed() if index % 2 else pair, number if self.drawn is not None else None


class RenderedCaptions:
    """What stands in a scene, in words: scene `index // 2`, before the edit (even) or after it (odd)."""

    Knobs: ClassVar[type[Knobs]] = RenderedKnobs
    role = "captions"

    def __init__(self, knobs: RenderedKnobs, name: str = "scene_captions") -> None:
        self.knobs, self.name = knobs, name
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))

    def __len__(self) -> int:
        return 2 * self.knobs.count

    def example(self, index: int, seed: int) -> CaptionExample:
        """The caption; its order is drawn."""
        pair = sample(pair_seed(self.knobs.seed, index // 2))
        text = caption(pair.after if index % 2 else pair.before, random.Random(derive(seed, self.name, index)))
        return CaptionExample(f"{pair.seed:x}-{index % 2}", self.name, text)


def caption(scene: Scene, draw: random.Random) -> str:
    """ "a small red matte cube, a big ..." in drawn order."""
    things = [f"a {noun(thing)}" for thing in seen(scene)]
    draw.shuffle(things)
    return ", ".join(things)


def in_words(pair: Pair, formula: Formula) -> tuple[str, ...]:
    """The edit in eight words: size, colour, material, shape of the subject (of the anchor, where one is added), what
    is done, new colour, new shape, where.
    """
    things = seen(pair.full)
    subject = things[pair.subject]
    if pair.task != "add":
        new = None if pair.result is None else seen(pair.after)[pair.subject]
        return (*_looks(subject), DO[pair.task], new.colour if new else "", new.shape if new else "", "")
    relation = next(part for part in formula.parts if isinstance(part, Formula) and part.word in RELATION_WORDS)
    return (*_looks(_anchor(things, pair.subject, relation)), DO["add"], subject.colour, subject.shape,
            WHERE[relation.word])  # fmt: skip


def _anchor(things: tuple[Seen, ...], subject: int, relation: Formula) -> Seen:
    rest = (*things[:subject], *things[subject + 1 :])
    said = relation.parts[0]
    index = picks(said, rest) if isinstance(said, Formula) else None
    assert index is not None, "an instruction is given only if its formula picks one thing"
    return rest[index]


def _looks(thing: Seen) -> tuple[str, str, str, str]:
    return thing.size, thing.colour, thing.material, thing.shape
