"""Rendered scenes: questions of an exam that no training draws, with exact targets and masks. Needs no file."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from insightedit.datasets.rendered import caption
from insightedit.evaluate.pictures import ScenePicture
from insightedit.evaluate.readers.read import Layout, Read
from insightedit.evaluate.sample import Sample
from insightedit.scenes.exam import PARTS, Question, questions
from insightedit.scenes.formula import seen
from insightedit.scenes.referents import noun
from insightedit.scenes.scene import Pair
from insightedit.scenes.truth import Verdict, judge


class RenderedScenes(Layout):
    """`size`: side of the pictures in px; `part`: "train" is worded as training is, "heldout" as it never is."""

    LAYOUT: ClassVar[str] = "none: the scenes are drawn when they are looked at"

    count: int = Field(240, ge=1)
    size: int = Field(64, ge=32, le=256)
    seed: int = Field(0, ge=0)
    part: Literal["train", "heldout", "both"] = "both"

    def read(self, benchmark: str) -> Read:
        """Questions in the exam's order, in which tasks, levels and parts take turns."""
        parts = PARTS if self.part == "both" else (self.part,)
        return Read([self._sample(question, benchmark) for question in questions(self.count, self.seed, parts)])

    def _sample(self, question: Question, benchmark: str) -> Sample:
        pair = question.pair
        result = None if pair.result is None else seen(pair.after)[pair.subject]
        return Sample(
            id=question.key,
            benchmark=benchmark,
            category=question.task,
            split=f"{question.level}-{question.part}",
            source=ScenePicture(pair, "before", self.size),
            target=ScenePicture(pair, "after", self.size),
            mask=ScenePicture(pair, "changed", self.size),
            instruction=question.text,
            caption_source=caption(pair.before, random.Random(0)),
            caption_target=caption(pair.after, random.Random(0)),
            clip_text=None if result is None else f"a {noun(result)}",
            meta={
                "size": self.size,
                "level": question.level,
                "part": question.part,
                "held": question.held,
                "kind": question.kind,
            },
        )


def pair_of(sample: Sample) -> Pair | None:
    """The scenes behind a sample, if it is of rendered ones."""
    return sample.source.pair if isinstance(sample.source, ScenePicture) else None


def verdict(sample: Sample, picture: np.ndarray) -> Verdict:
    """What the renderer's truth says of an outcome, uint8 (S, S, 3).

    Raises:
        ValueError: the sample is not of rendered scenes.
        InputError: a picture of another kind or size.
    """
    pair = pair_of(sample)
    if pair is None:
        raise ValueError(f"sample '{sample.id}' is not of rendered scenes")
    return judge(pair, picture)
