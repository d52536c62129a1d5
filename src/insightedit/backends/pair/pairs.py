"""From one triple of texts to a few good pairs of pictures, and a record of every sample that was tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from insightedit.backends.pair.prompt_to_prompt import Draw, PromptToPromptKnobs, draws
from insightedit.backends.pair.sift import Scores, SiftKnobs, sift
from insightedit.backends.pair.triples import Triple
from insightedit.core.record import Float, Record


class Sample(Record):
    """One sample of a triple: how it was drawn, what CLIP said of it, and why it was left out."""

    triple_id: str
    sample: int
    seed: int
    tau: Float
    guidance: Float
    before: Float  # cosine of the first picture and its caption
    after: Float
    direction: Float
    image: Float
    left_out: str  # "" = kept; see `sift`


@dataclass(frozen=True, eq=False)
class Pair:
    """A pair of pictures that passed the filter."""

    before: np.ndarray  # uint8 RGB (H, W, 3)
    after: np.ndarray
    sample: Sample


class Sampler(Protocol):
    """What samples pairs; `PromptToPrompt` is one."""

    knobs: PromptToPromptKnobs

    def pairs(self, caption: str, edited: str, draws: Sequence[Draw]) -> np.ndarray:
        """uint8 (N, 2, H, W, 3)."""


Score = Callable[[np.ndarray, str, str], Scores]  # pairs uint8 (N, 2, H, W, 3), caption, edited caption


def make_pairs(
    triple: Triple, sampler: Sampler, score: Score, knobs: SiftKnobs, run_seed: int
) -> tuple[list[Pair], list[Sample]]:
    """Sample a triple, score all samples, keep the best that pass.

    100 samples of 512 px take 157 MB until they are sifted.

    Args:
        triple: caption, instruction, edited caption.
        sampler: two prompts -> pairs.
        score: CLIP's word on them, `partial(metrics.clip.pair_scores, clip)`.
        knobs: the filter.
        run_seed: of the run; with triple and number of the sample it decides every draw.

    Returns:
        Pairs, best direction first, and every sample in the order drawn.
    """
    drawn = draws(run_seed, triple.triple_id, sampler.knobs)
    pictures = sampler.pairs(triple.caption, triple.edited, drawn)  # (N, 2, H, W, 3)
    scores = score(pictures, triple.caption, triple.edited)
    kept, reasons = sift(scores, knobs)
    samples = [
        Sample(
            triple_id=triple.triple_id,
            sample=draw.sample,
            seed=draw.seed,
            tau=draw.tau,
            guidance=draw.guidance,
            before=float(scores.before[place]),
            after=float(scores.after[place]),
            direction=float(scores.direction[place]),
            image=float(scores.image[place]),
            left_out=reasons[place],
        )
        for place, draw in enumerate(drawn)
    ]
    return [Pair(pictures[place, 0], pictures[place, 1], samples[place]) for place in kept], samples
