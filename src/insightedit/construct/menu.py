"""Which edits of a photograph are worth painting: rules on masks and words, before any pixel is touched.

Pre-filters are the cheapest lever on yield (data.md 7): what cannot come out well is not painted, and is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np

from insightedit.backends.describe.suitability import GROWN, kind_of
from insightedit.construct.work import Description, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask, grow
from insightedit.core.record import Object, Photo


class RemovalKnobs(Knobs):
    """When to remove."""

    enabled: bool = True
    min_mask_score: float = 0.30  # of a mask that somebody drew
    min_mask_score_box: float = 0.50  # of one that was found from a box
    min_rim_box: float = 0.45
    min_filling_box: float = 0.30  # of its box: twigs and wires are found in part only
    max_share: float = 0.15  # of the frame
    max_border_share: float = 0.30  # of the outline that the frame cuts
    grow_share: float = 0.06  # of the object's size (root of its area)
    grow_least_px: int = 4
    grow_most_px: int = 48
    halo: bool = True  # on even ground, its soft shadow or glow goes with it


class LookKnobs(Knobs):
    """When to change an object's look, and how often."""

    recolours: int = 2  # per object
    materials: int = 1
    min_rim: float = 0.40  # how well the mask's border separates two colour distributions (offline.md 5)
    min_rim_box: float = 0.50  # the same for a mask that was found from a box: it errs more
    min_mask_score: float = 0.35
    min_mask_score_box: float = 0.50
    min_share: float = 0.003
    max_share: float = 0.45


class TransplantKnobs(Knobs):
    """When to put an object of another photo in the place of one."""

    per_object: int = 0
    min_mask_score: float = 0.5  # of the donor
    min_fit: float = 0.6


@dataclass(frozen=True)
class Wish:
    """One edit to try. `turn` counts the wishes of one kind for one object: they choose different looks."""

    thing: Object
    method: str  # removal | recolour | material | transplant
    turn: int = 0
    donor: tuple[Photo, Object] | None = None


@dataclass(frozen=True)
class Refusal:
    """One edit not to try, and the rule that says so."""

    thing: Object
    method: str
    why: Unfit


def fit_to_remove(thing: Object, others: list[Object], unseen: list[Object], knobs: RemovalKnobs) -> None:
    """Nothing, or the rule that forbids it.

    Args:
        thing: to be removed.
        others: the photo's objects with masks.
        unseen: those that were described but have no mask: only their boxes speak.
        knobs: the limits.

    Raises:
        Unfit: not_removable, weak_mask, weak_rim, too_large_to_remove, cut_by_frame, thin_mask, holds_another_object.
    """
    if not thing.removable:
        raise Unfit("not_removable", f"{thing.name}: {thing.unfit_because}", "a thing that can be gone")
    boxed = thing.mask_from == "box"
    _require("weak_mask", thing, thing.mask_score, knobs.min_mask_score_box if boxed else knobs.min_mask_score)
    _require("weak_rim", thing, thing.rim, knobs.min_rim_box if boxed else 0.0)
    mask = mask_of(thing)
    _require("thin_mask", thing, mask.area / max(1, mask.crop.size), knobs.min_filling_box if boxed else 0.0)
    if mask.share > knobs.max_share:
        raise Unfit(
            "too_large_to_remove", f"{thing.name}: {mask.share:.2f}", f"at most {knobs.max_share:g} of the frame"
        )
    if mask.border_share > knobs.max_border_share:
        raise Unfit("cut_by_frame", f"{thing.name}: {mask.border_share:.2f}", f"at most {knobs.max_border_share:g}")
    held = [other for other in others if other.object_id != thing.object_id and holds(mask, mask_of(other))]
    held += [other for other in unseen if seems_to_hold(thing.box, other.box)]
    if held:
        raise Unfit("holds_another_object", f"{thing.name} holds {held[0].name}", "nothing in or on it")


def fit_to_repaint(thing: Object, knobs: LookKnobs) -> None:
    """Nothing, or the rule that forbids a new colour or material.

    Raises:
        Unfit: keeps_its_look, weak_mask, weak_rim, too_small_to_repaint, too_large_to_repaint.
    """
    if not thing.replaceable:
        raise Unfit("keeps_its_look", f"{thing.name}: {thing.unfit_because}", "a thing of any colour")
    boxed = thing.mask_from == "box"
    _require("weak_mask", thing, thing.mask_score, knobs.min_mask_score_box if boxed else knobs.min_mask_score)
    _require("weak_rim", thing, thing.rim, knobs.min_rim_box if boxed else knobs.min_rim)
    share = mask_of(thing).share
    if share < knobs.min_share:
        raise Unfit("too_small_to_repaint", f"{thing.name}: {share:.4f}", f"at least {knobs.min_share:g} of the frame")
    if share > knobs.max_share:
        raise Unfit("too_large_to_repaint", f"{thing.name}: {share:.2f}", f"at most {knobs.max_share:g} of the frame")


def _require(reason: str, thing: Object, value: float | None, least: float) -> None:
    if (value or 0.0) < least:
        raise Unfit(reason, f"{thing.name}: {value}", f"at least {least:g}")


def mask_of(thing: Object) -> Mask:
    """The object's mask; objects that passed `segment` have one."""
    if thing.mask is None:
        raise LookupError(f"object {thing.object_id} has no mask")
    return Mask.from_rle(thing.mask.model_dump())


def holds(mask: Mask, other: Mask) -> bool:
    """Is `other` in or on `mask`: a fig in a bowl, a bottle on a table? Then it would float, or go as well.

    Works for masks that leave out what lies in front (the bowl without the fig) as for those that do not.
    """
    reach = max(4, round(0.04 * other.area**0.5))
    if _common(mask, other) > 0.3 * other.area:
        return True
    around = grow(other, reach)
    if _common(mask, around) - _common(mask, other) > 0.6 * (around.area - other.area):
        return True
    tall = other.crop.shape[0]
    low = max(1, min(tall // 10, reach))  # rows of its foot; more than `reach` could not all be near what bears them
    foot = Mask(other.crop[-low:], other.left, other.top + tall - low, other.width, other.height)
    stands_on = _common(grow(mask, reach), foot) > 0.35 * max(1, foot.area)
    return stands_on and other.top + 0.5 * tall < mask.top + 0.5 * mask.crop.shape[0]


def seems_to_hold(box: list[int], other: list[int]) -> bool:
    """By boxes alone: `other` ends inside this box and begins above it, as a plant in a pot does."""
    level = box[1] < other[3] <= box[3] and other[1] < box[1]
    return level and min(box[2], other[2]) - max(box[0], other[0]) > 0.5 * (box[2] - box[0])


def _common(one: Mask, other: Mask) -> int:
    """Pixels in both."""
    a, b = one.box, other.box
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    if x0 >= x1 or y0 >= y1:
        return 0
    first = one.crop[y0 - a[1] : y1 - a[1], x0 - a[0] : x1 - a[0]]
    second = other.crop[y0 - b[1] : y1 - b[1], x0 - b[0] : x1 - b[0]]
    return int(np.count_nonzero(first & second))


def without_others(mask: Mask, thing: Object, others: list[Object]) -> Mask:
    """The mask minus smaller objects that lie on it: recolouring a bowl leaves the fig in it alone."""
    full = mask.full()
    for other in others:
        if other.object_id != thing.object_id and other.area < thing.area:
            covered = mask_of(other).full().astype(np.uint8)
            full &= ~cv2.dilate(covered, np.ones((3, 3), np.uint8)).astype(bool)
    return Mask.of(full)


def wishes(work: Work, removal: RemovalKnobs, look: LookKnobs, transplant: TransplantKnobs) -> Iterator[Wish | Refusal]:
    """All edits worth trying, the kinds and objects taking turns so that a budget cuts them evenly."""
    masked = {thing.object_id for thing in work.objects}
    described = work.value("describe", Description).objects
    unseen = [thing for thing in described if thing.object_id not in masked and thing.box]  # a name alone is nowhere
    rows = [list(_of_object(work, thing, unseen, removal, look, transplant)) for thing in work.objects]
    for turn in zip_longest(*rows):
        yield from (wish for wish in turn if wish is not None)


def _of_object(
    work: Work,
    thing: Object,
    unseen: list[Object],
    removal: RemovalKnobs,
    look: LookKnobs,
    transplant: TransplantKnobs,
) -> Iterator[Wish | Refusal]:
    removable = repaintable = True
    if removal.enabled:
        try:
            fit_to_remove(thing, work.objects, unseen, removal)
            yield Wish(thing, "removal")
        except Unfit as error:
            removable = False
            yield Refusal(thing, "removal", error)
    try:
        fit_to_repaint(thing, look)
    except Unfit as error:
        repaintable = False
        yield Refusal(thing, "recolour", error)
    if repaintable:
        yield from (Wish(thing, "recolour", turn) for turn in range(look.recolours))
        if kind_of(thing.category, thing.supercategory, thing.name) not in GROWN:
            yield from (Wish(thing, "material", turn) for turn in range(look.materials))
    if removable and thing.replaceable:
        donors = work.donors[: transplant.per_object] if transplant.per_object else ()
        yield from (Wish(thing, "transplant", turn, donor) for turn, donor in enumerate(donors))
