"""Judging an edit of a scene by what the renderer knows: is the picture nearer to the answer than to any wrong one?

The asked picture, the source and plausible wrong answers (another thing edited, the subject given another colour or
shape, the new thing put elsewhere) are drawn. Where the answer and a wrong one differ, the picture must be clearly
nearer to the answer; beyond the pixels that the edit changes, it must stay as it was. There is no model in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from insightedit.core.errors import InputError
from insightedit.scenes.render import Rendered, Stage
from insightedit.scenes.sampling import SIDES, is_free
from insightedit.scenes.scene import COLOURS, SHAPES, Pair, Scene, Thing

CLEAR = 0.6  # the picture's error against the answer, over that against a wrong one, at most
APART = 24  # levels of 255: pixels where two answers differ by less tell nothing
BACKGROUND_PSNR = 20.0  # dB outside the changed pixels, at least
ELSEWHERE = 24.0  # levels: mean error on any other thing, or in any window of an eighth of the side, at most
SOFT = 1 / 90  # of the side: sd of the blur through which answers are compared, so that sharpness is not asked
TINT = 24.0  # levels: by how much the mean colour of another thing may move in any channel
STEPS = (-0.3, -0.15, 0.0, 0.15, 0.3)  # units beside the one place of an addition that are as good: words name no place
SPACE = 1.2  # units between the subject and a wrong place for it, beyond both radii


@dataclass(frozen=True)
class Verdict:
    """What a picture made of an edit.

    Attributes:
        success: `done` and `kept`.
        done: the right thing is gone, changed or there as asked.
        kept: nothing else changed: `background_psnr` at least 20 dB, no window or other thing off by over 24 levels.
        rival: the wrong answer that comes nearest: "unchanged", "other thing", "subject gone", "other colour", ...
        closeness: mean error against the answer over that against the rival, where those differ; done below 0.6.
        background_psnr: dB outside the changed pixels (and one pixel around them); infinite where equal.
        inside_error: mean absolute error inside the changed pixels against the exact answer, levels of 255.
    """

    success: bool
    done: bool
    kept: bool
    rival: str
    closeness: float
    background_psnr: float
    inside_error: float


def judge(pair: Pair, picture: np.ndarray) -> Verdict:
    """Judge what an editor made of `pair.before`.

    Args:
        pair: the directed edit that was asked for.
        picture: uint8 (S, S, 3), S in 32..256.

    Raises:
        InputError: a picture of another kind or size.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 3:
        raise InputError(
            f"cannot judge an array {picture.dtype} {picture.shape}", "scenes are uint8 (S, S, 3)", "Convert it first"
        )
    rendered, rivals = _answers(_placed(pair, picture), picture.shape[0])
    error = cv2.absdiff(picture, rendered.after.image).mean(axis=2)  # (S, S)
    rival, closeness = _nearest_rival(rendered, rivals, picture, error)
    changed = rendered.changed
    outside = ~cv2.dilate(changed.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    psnr = _psnr(picture, rendered.after.image, outside)
    kept = psnr >= BACKGROUND_PSNR and _worst_elsewhere(rendered, picture, error, outside) <= ELSEWHERE
    done = closeness < CLEAR
    inside = float(error[changed].mean()) if changed.any() else 0.0
    return Verdict(done and kept, done, kept, rival, closeness, psnr, inside)


Answers = tuple[Rendered, list[tuple[str, np.ndarray]]]


@lru_cache(maxsize=32)
def _answers(pair: Pair, size: int) -> Answers:
    """Source and answer, and every wrong answer by name. Kept, because several editors may be asked for the same."""
    stage = Stage(pair.before, size)
    rendered = Rendered(pair, stage.draw(pair.before), stage.draw(pair.after))
    drawn = [(name, stage.draw(scene).image) for name, scene in wrong_answers(pair)]
    return rendered, [("unchanged", rendered.before.image), *drawn]


def _placed(pair: Pair, picture: np.ndarray) -> Pair:
    """The pair; of an addition the one, among those with the new thing a little beside, whose answer is nearest."""
    if pair.task != "add":
        return pair
    stage, best = Stage(pair.before, picture.shape[0]), (math.inf, pair)
    for right in STEPS:
        for away in STEPS:
            thing = replace(pair.thing, right=pair.thing.right + right, away=pair.thing.away + away)
            if is_free(thing, pair.before.things):
                moved = replace(pair, after=pair.after.having(pair.subject, thing))
                error = float(cv2.absdiff(picture, stage.draw(moved.after).image).mean())
                best = min(best, (error, moved), key=lambda one: one[0])
    return best[1]


def _nearest_rival(
    rendered: Rendered, rivals: list[tuple[str, np.ndarray]], picture: np.ndarray, error: np.ndarray
) -> tuple[str, float]:
    """The wrong answer with the largest closeness, and that closeness."""
    after, worst = rendered.after.image, ("unchanged", 0.0)
    soft = _soft(picture)
    faint = cv2.absdiff(soft, _soft(after)).mean(axis=2)  # (S, S)
    for name, image in rivals:
        tell = cv2.absdiff(image, after).max(axis=2) >= APART  # (S, S)
        if not tell.any():
            continue
        seen, mine, its = (picture, error, image) if name == "unchanged" else (soft, faint, _soft(image))
        own, other = float(mine[tell].mean()), float(cv2.absdiff(seen, its).mean(axis=2)[tell].mean())
        closeness = own / other if other else math.inf if own else 0.0
        if closeness > worst[1]:
            worst = (name, closeness)
    return worst


def _soft(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), SOFT * len(image)))


def _psnr(picture: np.ndarray, exact: np.ndarray, where: np.ndarray) -> float:
    if not where.any():
        return math.inf
    square = float(np.mean((picture[where].astype(np.float64) - exact[where]) ** 2))
    return 10 * math.log10(255.0**2 / square) if square else math.inf


def _worst_elsewhere(rendered: Rendered, picture: np.ndarray, error: np.ndarray, outside: np.ndarray) -> float:
    """The largest mean error in any window outside, or on what can be seen outside of any other thing."""
    window = max(3, error.shape[0] // 8)
    masked = np.where(outside, error, 0).astype(np.float32)
    worst = float(cv2.boxFilter(masked, -1, (window, window), borderType=cv2.BORDER_CONSTANT).max())
    for index in range(len(rendered.pair.after.things)):
        if index != rendered.pair.index_after:
            place = rendered.after.mask(index) & outside
            if place.sum() >= window:
                shift = picture[place].mean(axis=0) - rendered.after.image[place].mean(axis=0)  # (3,)
                worst = max(worst, float(error[place].mean()), float(abs(shift).max()) * ELSEWHERE / TINT)
    return worst


# --- wrong answers ---------------------------------------------------------------------------------------------------


def wrong_answers(pair: Pair) -> Iterator[tuple[str, Scene]]:
    """What a mistaken editor may make of `pair.before`, besides leaving it: (what is wrong, scene)."""
    for index, thing in enumerate(pair.before.things):
        if index != pair.index_before:
            yield from (("other thing", scene) for scene in _misplaced(pair, index, thing))
    result = pair.result
    if result is None:
        return
    if pair.task != "add":
        yield "subject gone", pair.before.without(pair.subject)
    for colour in COLOURS:
        if colour not in (result.colour, pair.thing.colour if pair.task == "recolour" else None):
            yield "other colour", pair.after.having(pair.subject, replace(result, colour=colour))
    for shape in SHAPES:
        if shape != result.shape:
            yield "other shape", pair.after.having(pair.subject, replace(result, shape=shape))


def _misplaced(pair: Pair, index: int, thing: Thing) -> Iterator[Scene]:
    """The task done to thing `index` instead of the subject; a new thing put beside it, but elsewhere than asked."""
    result = pair.result
    if result is None:
        yield pair.before.without(index)
    elif pair.task == "recolour" and thing.colour != result.colour:
        yield pair.before.having(index, replace(thing, colour=result.colour))
    elif pair.task == "replace" and (thing.colour, thing.shape) != (result.colour, result.shape):
        yield pair.before.having(index, replace(thing, colour=result.colour, shape=result.shape))
    elif pair.task == "add":
        apart = thing.radius + result.radius + 0.5
        for east, north in SIDES.values():
            place = replace(result, right=thing.right + east * apart, away=thing.away + north * apart)
            far = math.hypot(place.right - result.right, place.away - result.away) > 2 * result.radius + SPACE
            if far and is_free(place, pair.before.things):
                yield pair.before.plus(pair.subject, place)
