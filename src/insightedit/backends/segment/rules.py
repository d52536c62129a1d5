"""Which of the things found are fit to be edited: size, frame, persons, duplicates. Pure functions of masks."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from insightedit.backends.segment.found import Findings, Found, Left
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask


class RuleKnobs(Knobs):
    """The limits; all shares 0..1."""

    min_mask_score: float = Field(default=0.5, ge=0, le=1)  # where the network predicts one
    min_share: float = Field(default=0.0004, ge=0, le=1)  # of the frame
    max_share: float = Field(default=0.6, ge=0, le=1)
    max_border_share: float = Field(default=0.5, ge=0, le=1)  # of the outline that the frame cuts
    max_on_person: float = Field(default=0.5, ge=0, le=1)  # of the mask that lies on one person: clothes, hair, hands
    same_mask_iou: float = Field(default=0.8, gt=0, le=1)  # over this, two masks are one thing


def shared(one: Mask, other: Mask) -> int:
    """Pixels that both masks of one frame have; costs what the crops cost, not what the frame costs."""
    (a0, b0, a1, b1), (c0, d0, c1, d1) = one.box, other.box
    x0, y0, x1, y1 = max(a0, c0), max(b0, d0), min(a1, c1), min(b1, d1)
    if x0 >= x1 or y0 >= y1:
        return 0
    crops = (mask.crop[y0 - mask.top : y1 - mask.top, x0 - mask.left : x1 - mask.left] for mask in (one, other))
    first, second = crops
    return int((first & second).sum())


def mask_iou(one: Mask, other: Mask) -> float:
    """Intersection over union, 0..1; 0 where both are empty."""
    both = shared(one, other)
    return both / max(1, one.area + other.area - both)


def on_person(mask: Mask, persons: Sequence[Mask], same: float) -> float:
    """The largest share of the mask that lies on one person, 0..1; 0 for a mask that is itself one of the persons.

    Args:
        mask: of the thing.
        persons: masks of the people in the picture, whatever they were called.
        same: the IoU over which the thing is that person.
    """
    if any(mask_iou(mask, person) > same for person in persons):
        return 0.0
    return max((shared(mask, person) / max(1, mask.area) for person in persons), default=0.0)


def fit(found: Found, phrase: str, knobs: RuleKnobs, persons: Sequence[Mask]) -> None:
    """Nothing, or the rule that forbids the thing.

    Raises:
        Unfit: empty_mask, weak_mask, too_small, too_large, cut_by_frame, on_a_person.
    """
    mask = found.mask
    if not mask.area:
        raise Unfit("empty_mask", f"{phrase}: no pixel in its box", "a mask")
    if found.mask_score is not None and found.mask_score < knobs.min_mask_score:
        raise Unfit("weak_mask", f"{phrase}: score {found.mask_score:.2f}", f"at least {knobs.min_mask_score:g}")
    if mask.share < knobs.min_share:
        raise Unfit("too_small", f"{phrase}: {mask.share:.5f} of the frame", f"at least {knobs.min_share:g}")
    if mask.share > knobs.max_share:
        raise Unfit("too_large", f"{phrase}: {mask.share:.2f} of the frame", f"at most {knobs.max_share:g}")
    if mask.border_share > knobs.max_border_share:
        raise Unfit("cut_by_frame", f"{phrase}: {mask.border_share:.2f}", f"at most {knobs.max_border_share:g}")
    worn = on_person(mask, persons, knobs.same_mask_iou)
    if worn > knobs.max_on_person:
        raise Unfit("on_a_person", f"{phrase}: {worn:.2f} of it", f"at most {knobs.max_on_person:g}")


def merged(found: Sequence[Found], phrases: Sequence[str], same: float) -> Findings:
    """Of masks that are one thing the best-scored stays, with its phrase."""
    kept: list[Found] = []
    left: list[Left] = []
    for one in sorted(found, key=lambda one: (-one.score, phrases[one.phrase], one.box)):
        winner = next((other for other in kept if mask_iou(one.mask, other.mask) > same), None)
        if winner is None:
            kept.append(one)
            continue
        seen = f"'{phrases[one.phrase]}' {one.score:.2f}, '{phrases[winner.phrase]}' {winner.score:.2f}"
        left.append(_left(one, "duplicate_mask", seen, "the best phrase of its mask"))
    return Findings(kept, left)


def settle(found: Sequence[Found], phrases: Sequence[str], knobs: RuleKnobs, persons: Sequence[Mask]) -> Findings:
    """The things that pass every rule, without duplicates; the others with the first rule that they break.

    Args:
        found: all things of one picture.
        phrases: what was asked for.
        knobs: the limits.
        persons: masks of the people in the picture; none switches that rule off.
    """
    passed: list[Found] = []
    left: list[Left] = []
    for one in found:
        try:
            fit(one, phrases[one.phrase], knobs, persons)
            passed.append(one)
        except Unfit as error:
            left.append(_left(one, error.reason, error.seen, error.wanted))
    distinct = merged(passed, phrases, knobs.same_mask_iou)
    kept = sorted(distinct.found, key=lambda one: (one.phrase, -one.score, one.box))
    return Findings(kept, sorted(left + distinct.left, key=lambda one: (one.phrase, -(one.score or 0), one.box or ())))


def _left(one: Found, reason: str, seen: str, wanted: str) -> Left:
    return Left(one.phrase, reason, seen, wanted, one.box, one.score)
