"""Scenes that the project renders itself, drawn when they are asked for: no file, exact targets, exact masks."""

from __future__ import annotations

import random
from collections import Counter
from typing import ClassVar, Literal

from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.seed import derive
from insightedit.datasets import choice
from insightedit.datasets.example import EditExample, whole
from insightedit.scenes.grammar import Instruction, instruct
from insightedit.scenes.render import render_pair
from insightedit.scenes.sampling import pair_seed, sample
from insightedit.scenes.scene import Pair

TRIES = 64  # pairs asked for an instruction of the wanted part and level


class RenderedKnobs(Knobs):
    """How many, how large, and which side of the split."""

    count: int = Field(100_000, ge=1)  # pairs; each is read in both directions
    size: int = Field(64, ge=32, le=256)  # px
    seed: int = 0  # of the set: other seeds are other scenes
    part: Literal["train", "heldout"] = "train"  # combinations, kinds and wordings, see `scenes.grammar.split_of`
    reasoning: float = Field(0.5, ge=0, le=1)  # share of examples with a reasoning instruction


class Rendered:
    """Pair number `index // 2`, forwards (even) or backwards (odd)."""

    Knobs: ClassVar[type[Knobs]] = RenderedKnobs
    role = ""

    def __init__(self, knobs: RenderedKnobs, name: str = "scenes") -> None:
        self.knobs, self.name = knobs, name
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))

    def __len__(self) -> int:
        return 2 * self.knobs.count

    def example(self, index: int, seed: int) -> EditExample:
        """One way of one pair; level and wording of its instruction are drawn."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        pair, said = self._worded(index, seed)
        shown = render_pair(pair, self.knobs.size)
        key = f"{pair.seed:x}-{index % 2}"
        return EditExample(key, self.name, pair.task, shown.before.image, shown.after.image, said.text, shown.changed)

    def _worded(self, index: int, seed: int) -> tuple[Pair, Instruction]:
        """The pair and its sentence. A pair of which nothing of that part and level can be said gives way to another
        one of the same number: it is not a bad record, there is just another.
        """
        reasons = choice.share(seed, self.name, index, "level") < self.knobs.reasoning
        level: Literal["simple", "advanced"] = "advanced" if reasons else "simple"
        for attempt in range(TRIES):
            own = derive(self.knobs.seed, "instead", attempt) if attempt else self.knobs.seed
            pair = sample(pair_seed(own, index // 2))
            pair = pair.reversed() if index % 2 else pair
            draw = random.Random(derive(seed, self.name, index, "instruction", attempt))
            said = instruct(pair, draw, level, self.knobs.part)
            if said is not None:
                return pair, said
        raise Unfit("no_instruction", f"{TRIES} pairs without one", f"one of {self.knobs.part}, {level}")
