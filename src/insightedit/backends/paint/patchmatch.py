"""Filling a hole from the photograph's own surroundings, without any weights.

Patches (PatchMatch: Barnes et al., SIGGRAPH 2009) on a crop around the hole. A crop, because patches of the whole
photograph bring far things (faces, bottles) into the hole; patch radius 3, because larger ones copy whole things
and cost ten times more. Crops above `max_side` px are filled at that size, and their fine detail is then copied
from the places the fill looks like.

Where the surroundings are smooth (sky, wall, out of focus) the border of every patch would show. There the patches
only bring what differs from a smooth surface through the hole, or, where nothing differs, the surface is all.
"""

from typing import NamedTuple

import cv2
import numpy as np
import patchmatch as pm
from scipy.spatial import cKDTree

from insightedit.backends.paint.membrane import grain, known_blur, surface
from insightedit.core.errors import BackendError
from insightedit.core.mask import disc

__all__ = ["fill", "soften", "strangers"]

PATCH_RADIUS = 3
MIN_MARGIN = 48  # px of context on each side, at least
PLAIN, GENTLE, FINE = 2.5, 8.0, 3.0  # Lab distances; see _roughness and _paint
ADJOINING = 0.08  # of the hole's outline; see `strangers`
MIN_SOURCE = 1.0  # usable source pixels per hole pixel before avoidance is loosened


class _Window(NamedTuple):
    """A crop of the photograph around the hole. `top`, `left` are its corner in photo px."""

    pixels: np.ndarray  # uint8 (h, w, 3)
    hole: np.ndarray  # bool (h, w)
    avoid: np.ndarray  # bool (h, w): neither filled nor copied from
    top: int
    left: int


def fill(
    image: np.ndarray,
    hole: np.ndarray,
    *,
    avoid: np.ndarray | None = None,
    seed: int = 0,
    max_side: int = 768,
    context: float = 1.0,
) -> np.ndarray:
    """The photograph with `hole` filled; outside of the hole every byte stays.

    image: uint8 (H, W, 3) RGB; hole: bool (H, W); avoid: bool (H, W), pixels that must not be copied from, such
    as other objects; seed: any int, another one gives another fill; max_side: px, longest side that patches are
    searched at; context: margin around the hole as a multiple of its longest side.
    Only the `strangers` in `avoid` are avoided, not the ground the object stands on. Where that leaves less source than
    the hole has pixels, the window is widened up to the whole photograph; if that is still too little, `avoid` is
    dropped. Raises BackendError when there is no source.
    """
    hole = np.ascontiguousarray(hole, bool)
    if not hole.any():
        return image.copy()
    avoid = np.zeros_like(hole) if avoid is None else strangers(avoid, hole)
    window = _look_around(image, hole, avoid, context)
    painted = _paint(window, seed, max_side)
    result = image.copy()
    height, width = window.hole.shape
    part = result[window.top : window.top + height, window.left : window.left + width]
    part[window.hole] = painted[window.hole]
    return result


def soften(source: np.ndarray, filled: np.ndarray, hole: np.ndarray, *, feather_px: float) -> np.ndarray:
    """Fades the fill into the photograph over `feather_px` px inside the hole; outside nothing changes.

    What it fades into is not the removed object but the surroundings, smoothly continued inwards.
    source, filled: uint8 (H, W, 3); hole: bool (H, W).
    """
    if feather_px <= 0 or not hole.any() or hole.all():
        return filled.copy()
    window = _cut_window(source, hole, np.zeros_like(hole), 0.0)
    height, width = window.hole.shape
    place = np.s_[window.top : window.top + height, window.left : window.left + width]
    depth = cv2.distanceTransform(window.hole.astype(np.uint8), cv2.DIST_L2, 5)
    weight = np.clip(depth / (feather_px + 1), 0, 1)[..., None]
    around = known_blur(window.pixels, ~window.hole, feather_px)
    result = filled.copy()
    mixed = weight * result[place] + (1 - weight) * around
    rim = window.hole & (depth <= feather_px)
    result[place][rim] = np.clip(mixed, 0, 255).round().astype(np.uint8)[rim]
    return result


def strangers(others: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Those parts of `others`, bool (H, W), that must stay whole and must not be copied into the hole.

    A connected part that meets more than 8 % of the hole's outline is what the object stands on, hangs before or is
    part of (the table under a bottle, the curtain behind a dog, the coat around a badge): it is no stranger but
    ground. Unless it meets it from above and is smaller: then it stands on the object itself.
    """
    others = others & ~hole
    if not others.any() or not hole.any():
        return others
    radius = max(2, round(0.015 * float(np.sqrt(hole.sum()))))
    ring = (cv2.dilate(hole.astype(np.uint8), disc(radius)) > 0) & ~hole
    count, parts = cv2.connectedComponents(others.astype(np.uint8), connectivity=8)
    touched = np.bincount(parts[ring], minlength=count)
    heights = np.bincount(parts[ring], weights=np.nonzero(ring)[0], minlength=count) / np.maximum(touched, 1)
    inside = np.nonzero(hole.any(axis=1))[0]
    upper = inside[0] + 0.35 * (inside[-1] - inside[0])
    larger = np.bincount(parts.ravel(), minlength=count) > hole.sum()
    ground = (touched > ADJOINING * ring.sum()) & ((heights > upper) | larger)
    ground[0] = False
    return np.asarray(others & ~ground[parts])


def _look_around(image: np.ndarray, hole: np.ndarray, avoid: np.ndarray, context: float) -> _Window:
    """The smallest window of 1x, 2x, 4x the context or the whole photograph with enough source; see `fill`."""
    if hole.all():
        raise BackendError(
            what="the hole covers the whole photograph",
            why="there is nothing left to fill it from",
            mend="gate objects by their share of the area before painting",
        )
    wanted = MIN_SOURCE * hole.sum()
    for barred in (avoid, np.zeros_like(avoid)):
        for widen in (1, 2, 4, np.inf):
            window = _cut_window(image, hole, barred, context * widen)
            if (~window.hole & ~window.avoid).sum() >= wanted:
                return window
    return window  # less source than hole, everywhere: the best there is


def _cut_window(image: np.ndarray, hole: np.ndarray, avoid: np.ndarray, context: float) -> _Window:
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    margin = int(min(max(image.shape[:2]), max(MIN_MARGIN, context * longest)))
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    place = np.s_[top : rows[-1] + 1 + margin, left : columns[-1] + 1 + margin]
    pixels, inside, barred = (np.ascontiguousarray(plane[place]) for plane in (image, hole, avoid))
    return _Window(pixels, inside, barred, int(top), int(left))


def _paint(window: _Window, seed: int, max_side: int) -> np.ndarray:
    """Chooses by the roughness around the hole: surface alone, patches on the surface, patches -> uint8 (h, w, 3)."""
    structure, texture = _roughness(window)
    if structure > GENTLE:
        return _patch_fill(window, seed, max_side)
    smooth, blurred = surface(window.pixels, window.hole)
    if structure <= PLAIN and texture <= FINE:
        painted = smooth + grain(window.pixels - blurred, window.hole, seed)
    else:
        sigma = 0.12 * float(np.sqrt(window.hole.sum()))
        whole = np.where(window.hole[..., None], smooth, window.pixels.astype(np.float32))
        base = cv2.GaussianBlur(whole, (0, 0), sigma)
        apart = np.clip(window.pixels - base + 128, 0, 255).round().astype(np.uint8)
        painted = _patch_fill(window._replace(pixels=apart), seed, max_side) - 128.0 + base
    return np.asarray(np.clip(painted, 0, 255).round().astype(np.uint8))


def _roughness(window: _Window) -> tuple[float, float]:
    """Structure and fine texture of the ring around the hole, in Lab distances.

    Structure is what differs between a blur of 1 % and one of 10 % of the hole's size (97th percentile), texture
    what the finer blur takes away (90th percentile). Sky has 1 and 1, a wall in soft light 6 and 1, grass 12 and 7.
    """
    scale = min(1.0, 512 / max(window.hole.shape))
    size = (max(2, round(window.hole.shape[1] * scale)), max(2, round(window.hole.shape[0] * scale)))
    small = cv2.resize(window.pixels, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    hole = _touched(window.hole, size)
    known = (hole == 0) & (_touched(window.avoid, size) == 0)
    reach = max(8.0, 0.2 * float(np.sqrt(hole.sum())))
    ring = known & (cv2.distanceTransform(1 - hole, cv2.DIST_L2, 5) < reach)
    if not ring.any():
        return np.inf, np.inf
    finely, coarsely = (known_blur(lab, known, sigma) for sigma in (max(1.0, reach / 20), reach / 2))
    structure = np.linalg.norm(finely - coarsely, axis=2)[ring]
    texture = np.linalg.norm(lab - finely, axis=2)[ring]
    return float(np.percentile(structure, 97)), float(np.percentile(texture, 90))


def _patch_fill(window: _Window, seed: int, max_side: int) -> np.ndarray:
    """Patches at up to `max_side` px, finer detail above -> uint8 (h, w, 3); only the hole's pixels are of use."""
    height, width = window.hole.shape
    scale = max_side / max(height, width)
    if scale >= 1:
        return _search(window.pixels, window.hole, window.avoid, seed)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(window.pixels, size, interpolation=cv2.INTER_AREA)
    # a working pixel with any hole in it is hole, and one more: the object's colour must not bleed into the source
    hole = cv2.dilate(_touched(window.hole, size), np.ones((3, 3), np.uint8)) > 0
    avoid = (_touched(window.avoid, size) > 0) & ~hole
    if not (~hole & ~avoid).any():
        hole = _touched(window.hole, size) > 0
    filled = _search(small, hole, avoid, seed)
    coarse = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    known = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    detail = window.pixels.astype(np.float32) - known
    _lend_detail(coarse, detail, window, filled, hole, avoid)
    return np.clip(coarse, 0, 255).round().astype(np.uint8)


def _touched(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask at a smaller (width, height): 1 where any of its pixels fell, uint8."""
    return (cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)


def _search(pixels: np.ndarray, hole: np.ndarray, avoid: np.ndarray, seed: int) -> np.ndarray:
    """PatchMatch itself: uint8 (h, w, 3), bool (h, w), bool (h, w) -> uint8 (h, w, 3)."""
    pm.set_random_seed(seed)
    return pm.inpaint(pixels, hole, global_mask=avoid if avoid.any() else None, patch_size=PATCH_RADIUS)


def _lend_detail(
    coarse: np.ndarray, detail: np.ndarray, window: _Window, filled: np.ndarray, hole: np.ndarray, avoid: np.ndarray
) -> None:
    """Adds to `coarse` (float32 (h, w, 3), in place) the high frequencies of the places its patches look like.

    filled uint8 (y, x, 3), hole and avoid bool (y, x) are at working size. Each 3x3 cell of the hole looks up its
    nearest patch outside (7x7 Lab, 10 principal components); the offset found there is where detail comes from.
    """
    cells, sources = _nearest_patches(filled, hole, avoid)
    if not len(cells):
        return
    height, width = window.hole.shape
    offsets = np.zeros((filled.shape[0] // 3 + 1, filled.shape[1] // 3 + 1, 2), np.int32)
    found = np.zeros(offsets.shape[:2], bool)
    row, column = (cells // 3).T
    offsets[row, column], found[row, column] = sources - cells, True
    to_y, to_x = np.nonzero(window.hole)
    ratio_y, ratio_x = filled.shape[0] / height, filled.shape[1] / width
    row = np.minimum((to_y * ratio_y).astype(int), filled.shape[0] - 1) // 3
    column = np.minimum((to_x * ratio_x).astype(int), filled.shape[1] - 1) // 3
    from_y = np.clip(to_y + np.round(offsets[row, column, 0] / ratio_y).astype(int), 0, height - 1)
    from_x = np.clip(to_x + np.round(offsets[row, column, 1] / ratio_x).astype(int), 0, width - 1)
    lent = found[row, column] & ~window.hole[from_y, from_x] & ~window.avoid[from_y, from_x]
    coarse[to_y[lent], to_x[lent]] += detail[from_y[lent], from_x[lent]]


def _nearest_patches(filled: np.ndarray, hole: np.ndarray, avoid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) of the hole's 3x3 cells and the (n, 2) source pixels whose surroundings look most alike."""
    lab = cv2.cvtColor(filled, cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = hole.shape
    padded = cv2.copyMakeBorder(lab, 3, 3, 3, 3, cv2.BORDER_REFLECT)
    shifts = [padded[y : y + height, x : x + width] for y in range(0, 7, 2) for x in range(0, 7, 2)]
    patches = np.stack(shifts, axis=2).reshape(height * width, -1)
    near = cv2.dilate((hole | avoid).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    sources = np.flatnonzero(~near)
    if len(sources) < 100:
        return np.zeros((0, 2), int), np.zeros((0, 2), int)
    random = np.random.default_rng(0)
    sources = sources if len(sources) <= 60_000 else random.choice(sources, 60_000, replace=False)
    sample = patches[sources if len(sources) <= 4000 else random.choice(sources, 4000, replace=False)]
    mean = patches[sources].mean(axis=0)
    basis = np.linalg.svd(sample - mean, full_matrices=False)[2][:10].T
    row, column = np.nonzero(hole)
    centre = (row % 3 == 1) & (column % 3 == 1)
    cells = np.stack([row[centre], column[centre]], axis=1)
    asked = patches[cells[:, 0] * width + cells[:, 1]]
    _, nearest = cKDTree((patches[sources] - mean) @ basis).query((asked - mean) @ basis, eps=0.5)
    return cells, np.stack(np.divmod(sources[nearest], width), axis=1)
