"""How two things lie to each other, in three values: true, false, or None where people might not agree.

Sure answers only: a relation holds when hardly anybody would deny it and fails when hardly anybody would claim it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

from insightedit.construct.lexicon import Truth, lexicon
from insightedit.core.mask import Mask
from insightedit.core.record import Object

Side = Literal["left", "right", "top", "bottom"]
AXIS = {"left": 0, "right": 0, "top": 1, "bottom": 1}

TOUCH = 0.1  # boxes may overlap by this share of the smaller one and still be side by side
STACKED = 0.6  # overlapping by more than this along an axis, neither is beside the other on it
LEVEL = 0.5  # share of the smaller side that must be common across the direction
REACH = 1.5  # farthest gap, in lengths of the longest side: beyond it, other things come in between
CLEAR_RATIO = 1.5  # of areas or heights, before one thing is called bigger
HELD = 0.9  # share of a mask inside the hull of its container
APART = 0.05


def span(thing: Object, axis: int) -> tuple[float, float]:
    """Where the box begins and ends along x (axis 0) or y (axis 1)."""
    return float(thing.box[axis]), float(thing.box[axis + 2])


def ahead(one: Object, other: Object, side: Side) -> Truth:
    """Whether `one` comes before `other`, counted from `side` of the frame, whatever the other axis says."""
    (a0, a1), (b0, b1) = _towards(one, other, side)
    gap, small = b0 - a1, max(1e-9, min(a1 - a0, b1 - b0))
    if gap >= -TOUCH * small:
        return True
    return False if a0 - b1 >= -TOUCH * small else None


def beside(one: Object, other: Object, side: Side) -> Truth:
    """Whether `one` lies on that side of `other`: to its left, right, above (top) or below (bottom) it."""
    axis = AXIS[side]
    (a0, a1), (b0, b1) = _towards(one, other, side)
    small = max(1e-9, min(a1 - a0, b1 - b0))
    common = (min(a1, b1) - max(a0, b0)) / small
    if a0 + a1 >= b0 + b1 or common >= STACKED:
        return False
    near = b0 - a1 <= REACH * max(
        end - start for thing in (one, other) for start, end in (span(thing, 0), span(thing, 1))
    )
    return True if common <= TOUCH and near and _common(one, other, 1 - axis) >= LEVEL else None


def _towards(one: Object, other: Object, side: Side) -> tuple[tuple[float, float], tuple[float, float]]:
    """Both spans along the side's axis, mirrored so that `side` is where counting starts."""
    a, b = span(one, AXIS[side]), span(other, AXIS[side])
    if side in ("left", "top"):
        return a, b
    return (-a[1], -a[0]), (-b[1], -b[0])


def _common(one: Object, other: Object, axis: int) -> float:
    """Overlap of two spans as a share of the smaller; negative where they are apart."""
    (a0, a1), (b0, b1) = span(one, axis), span(other, axis)
    return (min(a1, b1) - max(a0, b0)) / max(1e-9, min(a1 - a0, b1 - b0))


def between(thing: Object, first: Object, second: Object) -> Truth:
    """Whether `thing` lies between two others that are themselves side by side, or one above the other."""
    sides: tuple[tuple[Side, Side], ...] = (("left", "right"), ("top", "bottom"))
    for before, after in sides:
        for one, two in ((first, second), (second, first)):
            if ahead(one, two, before) and _common(one, two, 1 - AXIS[before]) >= LEVEL:
                found = (beside(thing, one, after), beside(thing, two, before))
                return True if all(found) else False if False in found else None
    return None


def bigger(one: Object, other: Object) -> Truth:
    """Whether `one` covers clearly more of the picture, by its mask and by its box."""
    if not (one.area and other.area):
        return None
    ratios = (one.area / other.area, _box_area(one) / _box_area(other))
    return _clear(min(ratios), max(ratios))


def taller(one: Object, other: Object) -> Truth:
    """Whether `one` reaches clearly farther from its top to its bottom."""
    if not (one.area and other.area):
        return None
    ratio = (one.box[3] - one.box[1]) / max(1, other.box[3] - other.box[1])
    return _clear(ratio, ratio)


def _clear(least: float, most: float) -> Truth:
    return True if least >= CLEAR_RATIO else False if most <= 1 / CLEAR_RATIO else None


def _box_area(thing: Object) -> float:
    return max(1.0, float(thing.box[2] - thing.box[0]) * float(thing.box[3] - thing.box[1]))


# --- masks -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _decoded(height: int, width: int, counts: str) -> tuple[Mask, np.ndarray]:
    """The mask and the bool crop of its convex hull: what lies in a bowl leaves a hole in the bowl's own mask."""
    mask = Mask.from_rle({"size": [height, width], "counts": counts})
    hull = np.zeros(mask.crop.shape, np.uint8)
    points = cv2.findNonZero(mask.crop.astype(np.uint8))
    if points is not None:
        cv2.fillConvexPoly(hull, cv2.convexHull(points).astype(np.int32), (1,))
    return mask, hull.astype(bool)


def _mask(thing: Object) -> tuple[Mask, np.ndarray] | None:
    if thing.mask is None:
        return None
    height, width = thing.mask.size
    return _decoded(height, width, thing.mask.counts)


def _share(part: np.ndarray, left: int, top: int, whole: np.ndarray, whole_left: int, whole_top: int) -> float:
    """Share of the pixels of one crop that lie inside another, both placed in the same frame."""
    x0, y0 = max(left, whole_left), max(top, whole_top)
    x1 = min(left + part.shape[1], whole_left + whole.shape[1])
    y1 = min(top + part.shape[0], whole_top + whole.shape[0])
    if x1 <= x0 or y1 <= y0 or not part.any():
        return 0.0
    inner = part[y0 - top : y1 - top, x0 - left : x1 - left]
    outer = whole[y0 - whole_top : y1 - whole_top, x0 - whole_left : x1 - whole_left]
    return float(np.count_nonzero(inner & outer)) / float(np.count_nonzero(part))


def covered(part: Object, whole: Object) -> float | None:
    """Share of one mask inside the other; None without masks."""
    if part.mask is None or whole.mask is None:
        return None
    return _covered(*part.mask.size, part.mask.counts, *whole.mask.size, whole.mask.counts)


@lru_cache(maxsize=4096)
def _covered(part_h: int, part_w: int, part: str, whole_h: int, whole_w: int, whole: str) -> float:
    one, two = _decoded(part_h, part_w, part)[0], _decoded(whole_h, whole_w, whole)[0]
    return _share(one.crop, one.left, one.top, two.crop, two.left, two.top)


def tangled(one: Object, other: Object) -> bool:
    """Whether one of two masks is largely part of the other (a cup, and the cup with its saucer), or it is unknown."""
    shares = (covered(one, other), covered(other, one))
    return any(share is None or share > 0.3 for share in shares)


def inside(thing: Object, holder: Object) -> Truth:
    """Whether the thing lies in a container."""
    one, two = _mask(thing), _mask(holder)
    if one is None or two is None or not lexicon().is_container(holder):
        return None
    share = _share(one[0].crop, one[0].left, one[0].top, two[1], two[0].left, two[0].top)
    if share < 0.1:
        return False
    # what stands in front of a bowl reaches below it, and what holds is bigger than what is held
    high = thing.box[3] <= holder.box[3] - APART * (holder.box[3] - holder.box[1])
    return True if share >= HELD and high and _box_area(thing) <= 0.7 * _box_area(holder) else None


def on_top(thing: Object, surface: Object) -> Truth:
    """Whether a portable thing stands on a table or another surface: its lowest part lies well inside the surface."""
    one, two = _mask(thing), _mask(surface)
    if one is None or two is None or not lexicon().is_surface(surface):
        return None
    rows = max(1, one[0].crop.shape[0] // 10)
    foot = one[0].crop[-rows:]
    share = _share(foot, one[0].left, one[0].top + one[0].crop.shape[0] - rows, two[1], two[0].left, two[0].top)
    if share < 0.1 and _common(thing, surface, 1) < 0.5:
        return False
    low = thing.box[3] <= surface.box[3] - APART * (surface.box[3] - surface.box[1])
    small = _box_area(thing) <= 0.7 * _box_area(surface)
    return True if share >= HELD and low and small and lexicon().is_portable(thing) else None


def in_order(things: Sequence[Object], side: Side) -> list[Object] | None:
    """The things counted from a side; None where any two are not clearly one before the other."""
    axis = AXIS[side]
    ordered = sorted(things, key=lambda thing: sum(span(thing, axis)), reverse=side in ("right", "bottom"))
    sure = all(ahead(one, two, side) for one, two in pairwise(ordered))
    return ordered if sure else None
