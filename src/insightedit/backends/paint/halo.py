"""What an object does to even ground around it: a soft shadow, a glow, a blurred rim. It goes with the object.

On even ground (sky, wall, table, anything out of focus) a smooth surface describes what lies further out; what is
next to the object and differs from that surface was made by the object. On structured ground nothing can be told so.
"""

from __future__ import annotations

import cv2
import numpy as np

WORKING_SIDE = 200  # px of the crop around the object
EVEN = 2.5  # Lab: spread of the far ground around its surface up to which it counts as even
DIFFERENT = 2.0  # Lab: least difference from the surface that counts
REACH = 0.7  # of the object's size: how far its shadow or glow is looked for
SOFT = 3.0  # Lab per working px: shadows and glows have no edges steeper than this; things have
RIM = 6  # working px next to the object, where its own edge is all the steepness there is
LIMIT = 1.2  # of the object's area: more than this is something else


def with_halo(image: np.ndarray, mask: np.ndarray, avoid: np.ndarray | None = None) -> np.ndarray:
    """The mask together with the shadow, glow or rim that adjoins it on even ground; else as it came. bool (H, W).

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W), the object.
        avoid: bool (H, W), other objects: neither ground nor halo.
    """
    if not mask.any() or mask.all():
        return mask.copy()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    size = float(np.sqrt((np.ptp(rows) + 1) * (np.ptp(columns) + 1)))
    margin = int(max(16, 1.3 * size))
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    place = np.s_[top : rows[-1] + 1 + margin, left : columns[-1] + 1 + margin]
    scale = min(1.0, WORKING_SIDE / max(mask[place].shape))
    other = np.zeros_like(mask) if avoid is None else avoid & ~mask
    body = _small(mask[place], scale)
    pixels = cv2.resize(image[place], body.shape[::-1], interpolation=cv2.INTER_AREA)
    halo = _halo(pixels, body, _small(other[place], scale), size * scale)
    if not halo.any() or halo.sum() > LIMIT * body.sum():
        return mask.copy()
    grown = mask.copy()
    wide = cv2.dilate(halo.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    near = cv2.resize(wide, mask[place].shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    grown[place] |= near & ~other[place]
    return grown


def _small(part: np.ndarray, scale: float) -> np.ndarray:
    """A mask at working size: wherever it has any share of a pixel."""
    size = (max(2, round(part.shape[1] * scale)), max(2, round(part.shape[0] * scale)))
    return np.asarray(cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.02)


def _halo(pixels: np.ndarray, body: np.ndarray, other: np.ndarray, size: float) -> np.ndarray:
    """bool (h, w): what differs from the far ground's surface and hangs together with the object."""
    away = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, 5)
    lab = cv2.cvtColor(cv2.GaussianBlur(pixels, (0, 0), 1.2).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    far = (away > 0.5 * REACH * size) & ~other
    if far.sum() < 200:
        return np.zeros_like(body)
    difference, spread = _off_surface(lab, far)
    if spread > EVEN:
        return np.zeros_like(body)
    odd = (difference > max(DIFFERENT, 3 * spread)) & (away < REACH * size) & ~other & ~body
    steep = (_steepness(lab) > SOFT) & (away > RIM)
    odd = cv2.morphologyEx(odd.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    count, parts = cv2.connectedComponents((odd & ~steep).astype(np.uint8))
    beside = [part for part in range(1, count) if (away[parts == part] <= RIM).any()]
    return np.isin(parts, [part for part in beside if _ends_softly(parts == part, away, steep)])


def _ends_softly(part: np.ndarray, away: np.ndarray, steep: np.ndarray) -> bool:
    """Does a part fade out, as shadows and glows do, or end in edges, as things do?"""
    wide = cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    border = wide & ~part & (away > RIM)
    return bool(steep[border].mean() < 0.25) if border.any() else True


def _steepness(lab: np.ndarray) -> np.ndarray:
    """Steepest Lab gradient within 2 px, (h, w)."""
    across, down = (cv2.Sobel(lab, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    steep = np.sqrt((across**2 + down**2).sum(axis=2))
    return np.asarray(cv2.dilate(steep, np.ones((5, 5), np.uint8)))


def _off_surface(lab: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, float]:
    """Lab distance of every pixel, (h, w), from a quadratic surface through the far ground, and the spread there.

    Fitted three times, each time without the tenth that fits worst: other things may lie on the ground.
    """
    height, width = far.shape
    y, x = (grid / max(height, width) for grid in np.mgrid[:height, :width].astype(np.float32))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)  # (h, w, 6)
    used = far.copy()
    for _ in range(3):
        solved, *_ = np.linalg.lstsq(terms[used], lab[used], rcond=None)  # (6, 3)
        difference = np.linalg.norm(lab - terms @ solved, axis=2)
        used = far & (difference <= np.percentile(difference[used], 90))
    return difference, float(np.median(difference[far]))
