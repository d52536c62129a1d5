"""What a segmenter found of the phrases it was asked for, and what was left out and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from insightedit.core.errors import InputError, Unfit
from insightedit.core.mask import Box, Mask

Tokens = tuple[int, ...]  # of one phrase, without the tokens that part phrases


@dataclass(frozen=True, eq=False)
class Found:
    """One thing in a picture.

    Attributes:
        phrase: index of the phrase that it answers.
        box: the detector's, xyxy px, half-open, inside the picture.
        mask: its pixels; may be empty or leave the box, as the network drew it.
        score: the detector's confidence in the phrase, 0..1.
        mask_score: the IoU with the true mask that the mask's network predicts, 0..1; None where it predicts none.
    """

    phrase: int
    box: Box
    mask: Mask
    score: float
    mask_score: float | None


@dataclass(frozen=True)
class Left:
    """Something that was left out. `box` and `score` are None for a phrase that was not even asked for."""

    phrase: int
    reason: str
    seen: str
    wanted: str
    box: Box | None = None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Findings:
    """Of one picture; `found` is sorted by phrase, then by falling score."""

    found: list[Found]
    left: list[Left]


@dataclass(frozen=True)
class Asked:
    """Phrases ready to be asked for: each wording once.

    Attributes:
        wordings: the distinct ones, in the order of their first phrase.
        phrases: for each wording the index of that phrase.
        left: phrases that cannot be asked for, or whose wording an earlier one has.
    """

    wordings: list[Tokens]
    phrases: list[int]
    left: list[Left]


def asked(phrases: Sequence[str], read: Callable[[str], Tokens]) -> Asked:
    """The distinct wordings of `phrases`. Equal words have equal answers, so a repeated phrase is asked for once.

    Args:
        phrases: what to look for.
        read: phrase -> tokens; raises `Unfit` for one that cannot be asked for.
    """
    first: dict[Tokens, int] = {}
    left: list[Left] = []
    for index, phrase in enumerate(phrases):
        try:
            wording = read(phrase)
        except Unfit as error:
            left.append(Left(index, error.reason, error.seen, error.wanted))
            continue
        if first.setdefault(wording, index) != index:
            seen = f"'{phrase}' reads as phrase {first[wording]} does"
            left.append(Left(index, "repeated_phrase", seen, "each wording once"))
    return Asked(list(first), list(first.values()), left)


def checked(image: np.ndarray) -> np.ndarray:
    """The image, if it is one.

    Raises:
        InputError: not uint8 (H, W, 3); a grey picture must have three equal channels, as `core.image.decode` gives it.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        what = f"cannot look at an array of {image.dtype} {image.shape}"
        raise InputError(what, "networks see uint8 RGB (H, W, 3)", "Decode it with core.image")
    return image


def region(inside: Mask | np.ndarray, image: np.ndarray) -> np.ndarray:
    """bool (H, W) of the image's size.

    Raises:
        InputError: a region of another size.
    """
    full = inside.full() if isinstance(inside, Mask) else inside.astype(bool)
    if full.shape != image.shape[:2]:
        why = f"the region is {full.shape}, the picture {image.shape[:2]} (height, width)"
        raise InputError("cannot look into this region", why, "Give the mask in the picture's own frame")
    return full
