"""A smooth surface through a hole: sky, walls and grounds out of focus, where the border of every patch would show.

The surface solves Laplace's equation inside the hole with the blurred surroundings as its rim; the photograph's own
grain goes on top.
"""

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

GRID_SIDE = 128  # px; the surface is solved at this size, it has no detail to lose


def surface(pixels: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smooth surface, and the surroundings blurred as its rim sees them: 2 x float32 (h, w, 3).

    pixels: uint8 (h, w, 3); hole: bool (h, w), neither empty nor everything. The two are equal outside of the hole.
    """
    height, width = hole.shape
    scale = min(1.0, GRID_SIDE / max(height, width))
    blurred = known_blur(pixels, ~hole, max(2.0, 0.75 / scale))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    known = (~hole).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    grid = cv2.resize(blurred * known[..., None], size, interpolation=cv2.INTER_AREA)
    grid = grid / np.maximum(weight, 1e-6)[..., None]
    unknown = weight < 1e-3
    if unknown.any() and not unknown.all():
        grid[unknown] = _laplace(grid, unknown)
    solved = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3)
    inward = np.clip(depth * scale / 1.5, 0, 1)[..., None]  # the first 1.5 cells continue the rim itself
    return np.where(hole[..., None], inward * solved + (1 - inward) * blurred, blurred), blurred


def known_blur(pixels: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur that only looks at known pixels, float32 (h, w, 3); known: bool (h, w)."""
    weight = known.astype(np.float32)
    total = cv2.GaussianBlur(pixels.astype(np.float32) * weight[..., None], (0, 0), sigma)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-6)[..., None])


def _laplace(grid: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Values (n, 3) at the unknown cells such that each is the mean of its neighbours; the frame's border is free."""
    rows, columns = np.nonzero(unknown)
    count = len(rows)
    number = np.full(unknown.shape, -1)
    number[rows, columns] = np.arange(count)
    degree, right = np.zeros(count), np.zeros((count, 3))
    entries = []
    for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = rows + down, columns + across
        within = (y >= 0) & (y < unknown.shape[0]) & (x >= 0) & (x < unknown.shape[1])
        degree += within
        here, y, x = np.flatnonzero(within), y[within], x[within]
        inner = unknown[y, x]
        entries.append((here[inner], number[y[inner], x[inner]]))
        right[here[~inner]] += grid[y[~inner], x[~inner]]
    line, column = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = sparse.diags(degree) - sparse.csc_matrix((np.ones(len(line)), (line, column)), shape=(count, count))
    return np.asarray(spsolve(sparse.csc_matrix(matrix), right)).reshape(count, 3)


def grain(residual: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    """The residual (pixels minus surface, float32 (h, w, 3)) copied into the hole from around it, zero elsewhere.

    Copied by whole shifts of the hole's box, so that the grain keeps its size and colour. Places that stand out by
    more than 4 robust standard deviations, and what is next to them, are things and not grain: they stay.
    """
    limit = 1.4826 * float(np.median(np.abs(residual[~hole]))) + 0.5
    source = np.clip(residual, -2.5 * limit, 2.5 * limit)
    things = cv2.GaussianBlur(np.abs(residual).max(axis=2), (0, 0), 1) > 4 * limit
    barred = hole | (cv2.dilate(things.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    copied, todo = np.zeros_like(residual), hole.copy()
    rows, columns = np.nonzero(hole)
    high, wide = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    shifts = [(y * high, x * wide) for y in (0, -1, 1) for x in (0, -1, 1) if y or x]
    shifts = [*shifts, *((y // 2, x // 2) for y, x in shifts), *((y // 4, x // 4) for y, x in shifts)]
    for down, across in np.roll(shifts, seed % len(shifts), axis=0):
        y, x = np.nonzero(todo)
        from_y, from_x = y + down, x + across
        within = (from_y >= 0) & (from_y < hole.shape[0]) & (from_x >= 0) & (from_x < hole.shape[1])
        y, x, from_y, from_x = y[within], x[within], from_y[within], from_x[within]
        free = ~barred[from_y, from_x]
        copied[y[free], x[free]] = source[from_y[free], from_x[free]]
        todo[y[free], x[free]] = False
    return copied
