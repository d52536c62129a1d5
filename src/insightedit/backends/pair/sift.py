"""Which samples of a triple are kept: the CLIP filter of InstructPix2Pix (Brooks et al. 2023, section 3.1.2)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from pydantic import Field

from insightedit.core.config import Knobs


class Scores(Protocol):
    """Four cosines of N pairs of pictures with their pair of captions, (N,) each; `metrics.clip.PairScores` is one."""

    @property
    def before(self) -> np.ndarray:
        """First picture and first caption."""

    @property
    def after(self) -> np.ndarray:
        """Second picture and second caption."""

    @property
    def direction(self) -> np.ndarray:
        """Change of the pictures and change of the captions."""

    @property
    def image(self) -> np.ndarray:
        """First and second picture."""


class SiftKnobs(Knobs):
    """The least similarities, -1..1, for CLIP ViT-L/14, and how many samples of a triple are kept at most."""

    min_text: float = Field(default=0.2, ge=-1, le=1)  # both pictures with their own captions
    min_direction: float = Field(default=0.2, ge=-1, le=1)
    min_image: float = Field(default=0.7, ge=-1, le=1)
    most: int = Field(default=4, ge=1)


def sift(scores: Scores, knobs: SiftKnobs) -> tuple[list[int], list[str]]:
    """Choose among the samples of one triple.

    A score that is not a number passes no threshold.

    Returns:
        The places of those kept, best direction first (at a tie the earlier sample), and for every sample why it is
        left out, "" where it is kept: before_unlike_caption, after_unlike_caption, direction_differs,
        pictures_differ, or not_among_best.
    """
    least = {
        "before_unlike_caption": (scores.before, knobs.min_text),
        "after_unlike_caption": (scores.after, knobs.min_text),
        "direction_differs": (scores.direction, knobs.min_direction),
        "pictures_differ": (scores.image, knobs.min_image),
    }
    reasons = [
        next((reason for reason, (values, wanted) in least.items() if not values[place] >= wanted), "")
        for place in range(len(scores.direction))
    ]
    fit = [place for place, reason in enumerate(reasons) if not reason]
    fit.sort(key=lambda place: -scores.direction[place])
    for place in fit[knobs.most :]:
        reasons[place] = "not_among_best"
    return fit[: knobs.most], reasons
