"""For tests of `imagine`: a chat that edits captions, networks that draw rectangles, a driver that may be killed."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from insightedit.backends.pair.prompt_to_prompt import Draw
from insightedit.construct.imagine import run
from insightedit.construct.imagine.recipe import ImagineRecipe
from insightedit.construct.imagine.sample import SampleKnobs, SamplePairs
from insightedit.metrics.clip import PairScores

SIDE, SAMPLES = 96, 12
UNLIKE, APART, STILL = 1, 4, 11  # samples that are unlike their captions, unlike each other, without a change
PROPOSED = "put a red roof on it"
LINE = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)


def proposes(body: dict[str, Any]) -> dict[str, Any]:
    """What a model says to a page of captions: a red roof for each."""
    said = [(int(number), text) for number, text in LINE.findall(body["messages"][-1]["content"])]
    return {"triples": [{"number": number, "instruction": PROPOSED, "edited_caption": f"{text} with a red roof"}
                        for number, text in said]}  # fmt: skip


def captions_of(body: dict[str, Any]) -> list[str]:
    """What a request asked about."""
    return [text for _, text in LINE.findall(body["messages"][-1]["content"])]


class Rectangles:
    """Draws a sample's number as its grey, and a bright rectangle as the edit, at a place that the seed says."""

    def __init__(self, knobs: SampleKnobs, pause_s: float = 0.0) -> None:
        self.knobs, self.pause_s, self.asked = knobs.sampler, pause_s, list[tuple[str, str]]()

    def setup(self) -> None:
        """There is nothing to load."""

    release = setup

    def engine(self) -> str:
        return "rectangles@1"

    def pairs(self, caption: str, edited: str, draws: Sequence[Draw]) -> np.ndarray:
        self.asked.append((caption, edited))
        time.sleep(self.pause_s)
        made = np.zeros((len(draws), 2, SIDE, SIDE, 3), np.uint8)
        for pair, draw in zip(made, draws, strict=True):
            pair[:] = 40 + 8 * draw.sample
            pair[1] += 3  # as much as two samples of one noise differ where nothing changed
            x, y = draw.seed % 40 + 20, draw.seed // 40 % 40 + 20
            if draw.sample != STILL:
                pair[1, y : y + 24, x : x + 24] += 60
        return made


class RectanglePairs(SamplePairs):
    """The step with these drawings, and scores by the sample's number: a later sample has the better direction."""

    pause_s = 0.0

    def __init__(self, knobs: SampleKnobs, seed: int = 0) -> None:
        super().__init__(knobs, seed)
        self.sampler = Rectangles(knobs, self.pause_s)
        self.clip = self.sampler

    def _score(self, pictures: np.ndarray, caption: str, edited: str) -> PairScores:
        number = np.rint((np.median(pictures[:, 0, ..., 0], axis=(1, 2)) - 40) / 8).astype(int)
        text = np.where(number == UNLIKE, 0.1, 0.3)
        return PairScores(text, text, 0.1 + 0.02 * number, np.where(number == APART, 0.6, 0.9))


def recipe(**sections: Any) -> ImagineRecipe:
    """One that a test can wait for; CLIP's direction passes from sample 5 on."""
    sampler = {"side": SIDE, "samples": SAMPLES}
    values = {"triples_per_shard": 2, "pages_per_shard": 1, "timeout_s": 60, "sample": {"sampler": sampler}}
    return ImagineRecipe(preset="test", **{**values, **sections})


def asking(url: str, size: int = 2) -> dict[str, Any]:
    """The section `propose` with this endpoint, `size` captions a request."""
    quick = {"first_pause_s": 0.01, "longest_pause_s": 0.02, "timeout_s": 5.0, "deadline_s": 5.0, "attempts": 2}
    chat = {"base_url": url, "model": "gpt-4o", "temperature": 0.7, **quick}
    return {"chat": chat, "triples": {"captions_per_request": size}}


if __name__ == "__main__":  # python imagining.py CAPTIONS OUT URL PAUSE_S
    RectanglePairs.pause_s = float(sys.argv[4])
    run.SamplePairs = RectanglePairs
    run.imagine(Path(sys.argv[1]), Path(sys.argv[2]), recipe(propose=asking(sys.argv[3])), workers=0)
