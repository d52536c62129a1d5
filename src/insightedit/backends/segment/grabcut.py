"""A mask from a box without any weights: GrabCut from several priors, the best candidate kept by a score.

GrabCut: Rother et al., "GrabCut: interactive foreground extraction using iterated graph cuts" (SIGGRAPH 2004).
One prior fails on a third of real objects; three priors and a choice fail on a tenth (measured on 52 objects).
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from insightedit.core.mask import disc

Box = tuple[int, int, int, int]

PRIORS = ("ellipse", "superellipse", "rectangle")
MARGIN = 0.35  # of the box's width and height: the ground GrabCut learns its background colours from
GUIDE_SIDE = 1024  # the edge-aware enlargement runs at most at this size; above it a linear step is not seen
EMPTY = 0.05  # a mask that covers less of its box than this is called empty


@dataclass(frozen=True)
class BoxMask:
    """A mask, bool (H, W), and how far it can be trusted; every number lies in 0..1, higher is better.

    `score` joins the other three; `tightness` is the IoU of the mask's own bounds with the box, `edge` how much
    of the outline lies on image edges, `rim` the chi2 distance of the colours just inside and just outside of it.
    """

    mask: np.ndarray
    score: float
    tightness: float
    edge: float
    rim: float


class _Crop(NamedTuple):
    """The box with its margin, at working size. `scale` = working px per photo px, `window` in photo px."""

    pixels: np.ndarray  # uint8 (h, w, 3) RGB
    lab: np.ndarray  # uint8 (h, w, 3)
    gradient: np.ndarray  # float32 (h, w), 1 = the 90th percentile of this crop
    box: Box  # in working px
    window: Box  # in photo px
    scale: float


def mask_from_box(
    image: np.ndarray, box: Box, *, exclude: np.ndarray | None = None, long_side: int = 320, iterations: int = 3
) -> BoxMask:
    """The mask of the thing that fills `box`, or an all-False mask with score 0 when nothing was found.

    image: uint8 (H, W, 3) RGB; box: xyxy px, half-open; exclude: bool (H, W), pixels of other objects, taken
    as sure background (ignored when they would leave less than a third of the box). The work is done on a crop
    with long side `long_side` px, so the cost hardly depends on the photograph's size. Never leaves the box.
    """
    box = _inside(box, image.shape)
    if box[2] - box[0] < 2 or box[3] - box[1] < 2:
        return _nothing(image.shape)
    crop = _crop(image, box, long_side)
    barred = _barred(exclude, crop)
    best = BoxMask(np.zeros(crop.gradient.shape, bool), 0.0, 0.0, 0.0, 0.0)
    for prior in PRIORS:
        candidate = _grade(crop, _cut(crop, prior, barred, iterations))
        if candidate.score > best.score:
            best = candidate
    if best.score <= 0:
        return _nothing(image.shape)
    return BoxMask(_enlarge(best.mask, crop, image, box), best.score, best.tightness, best.edge, best.rim)


def mask_quality(image: np.ndarray, mask: np.ndarray, box: Box, *, long_side: int = 320) -> BoxMask:
    """The same score for a mask somebody else drew (bool (H, W)); the mask is returned as it came."""
    box = _inside(box, image.shape)
    if box[2] - box[0] < 2 or box[3] - box[1] < 2:
        return BoxMask(mask, 0.0, 0.0, 0.0, 0.0)
    crop = _crop(image, box, long_side)
    graded = _grade(crop, _shrink(mask, crop))
    return BoxMask(mask, graded.score, graded.tightness, graded.edge, graded.rim)


def _nothing(shape: tuple[int, ...]) -> BoxMask:
    return BoxMask(np.zeros(shape[:2], bool), 0.0, 0.0, 0.0, 0.0)


def _inside(box: Box, shape: tuple[int, ...]) -> Box:
    """The box cut to the image, as plain ints."""
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    return max(0, x0), max(0, y0), min(shape[1], x1), min(shape[0], y1)


def _crop(image: np.ndarray, box: Box, long_side: int) -> _Crop:
    """Cuts the box with its margin and scales it down to `long_side`; never scales up."""
    x0, y0, x1, y1 = box
    mx, my = (int(max(8, MARGIN * side)) for side in (x1 - x0, y1 - y0))
    left, top, right, bottom = _inside((x0 - mx, y0 - my, x1 + mx, y1 + my), image.shape)
    pixels = np.ascontiguousarray(image[top:bottom, left:right])
    scale = min(1.0, long_side / max(pixels.shape[:2]))
    if scale < 1:
        size = (max(2, round(pixels.shape[1] * scale)), max(2, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    shifted = tuple(round(v * scale) for v in (x0 - left, y0 - top, x1 - left, y1 - top))
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    soft = cv2.GaussianBlur(lab, (0, 0), 1).astype(np.float32)
    steps = [cv2.Sobel(soft, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1))]
    gradient = np.sqrt(sum((step**2).sum(axis=2) for step in steps))
    gradient /= np.percentile(gradient, 90) + 1e-6
    return _Crop(pixels, lab, gradient, _inside(shifted, pixels.shape), (left, top, right, bottom), scale)


def _shrink(mask: np.ndarray, crop: _Crop) -> np.ndarray:
    """A mask of the photograph, bool (H, W), on the crop's grid, bool (h, w)."""
    left, top, right, bottom = crop.window
    part = mask[top:bottom, left:right].astype(np.float32)
    height, width = crop.gradient.shape
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA) > 0.5


def _barred(exclude: np.ndarray | None, crop: _Crop) -> np.ndarray | None:
    """Pixels of other objects on the crop's grid; None when they would leave too little of the box to search."""
    if exclude is None:
        return None
    barred = _shrink(exclude, crop)
    x0, y0, x1, y1 = crop.box
    return barred if barred[y0:y1, x0:x1].mean() < 2 / 3 else None


def _prior(crop: _Crop, kind: str) -> np.ndarray:
    """GrabCut's labels before the first cut, uint8 (h, w): sure background outside of the box, a guess inside."""
    height, width = crop.gradient.shape
    x0, y0, x1, y1 = crop.box
    v, u = np.mgrid[:height, :width].astype(np.float32)
    u = np.abs((u + 0.5 - (x0 + x1) / 2) / max(1.0, (x1 - x0) / 2))
    v = np.abs((v + 0.5 - (y0 + y1) / 2) / max(1.0, (y1 - y0) / 2))
    likely = {
        "ellipse": u**2 + v**2 <= 0.92**2,
        "superellipse": u**4 + v**4 <= 0.96**4,
        "rectangle": np.ones_like(u, bool),
    }[kind]
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[y0:y1, x0:x1] = np.where(likely[y0:y1, x0:x1], cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    if (labels == cv2.GC_BGD).sum() < 30:  # the box is the whole picture: its top and bottom rows must do
        labels[[0, -1]] = cv2.GC_BGD
    return labels


def _cut(crop: _Crop, prior: str, barred: np.ndarray | None, iterations: int) -> np.ndarray:
    """One GrabCut from one prior -> bool (h, w), tidied and inside the box; empty when it has nothing to learn from."""
    labels, pixels = _prior(crop, prior), crop.pixels
    if barred is not None:
        pixels = _paint_out(pixels, barred, labels == cv2.GC_BGD)
        labels[barred] = cv2.GC_BGD
    if (labels == cv2.GC_PR_FGD).sum() < 30 or (labels != cv2.GC_PR_FGD).sum() < 30:
        return np.zeros(labels.shape, bool)
    cv2.setRNGSeed(0)  # its colour clusters start at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, labels, (0, 0, 1, 1), *models, iterations, cv2.GC_INIT_WITH_MASK)  # the rectangle is not read
    found = _tidy((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), crop.box)
    x0, y0, x1, y1 = crop.box
    inside = np.zeros_like(found)
    inside[y0:y1, x0:x1] = found[y0:y1, x0:x1]
    return inside if barred is None else inside & ~barred


def _paint_out(pixels: np.ndarray, barred: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """The crop with other objects in random colours of the ground; uint8 (h, w, 3), 2 x bool (h, w).

    As sure background in their own colours they would teach GrabCut that dog-brown is background, and the dog next
    to another dog would be lost.
    """
    palette = pixels[ground & ~barred]
    painted = pixels.copy()
    if len(palette):
        painted[barred] = palette[np.random.default_rng(0).integers(len(palette), size=int(barred.sum()))]
    return painted


def _tidy(mask: np.ndarray, box: Box) -> np.ndarray:
    """Smooths the outline by 1 % of the box, drops parts < 15 % of the largest, fills holes < 20 % of the mask."""
    radius = max(1, round(0.01 * max(box[2] - box[0], box[3] - box[1])))
    element = disc(radius)
    smooth = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, element)
    smooth = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, element)
    if not smooth.any():  # thinner than the disc: a tower, a pole
        smooth = mask.astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(smooth, connectivity=8)
    if count < 2:
        return np.zeros_like(mask)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = (areas >= 0.15 * areas.max())[parts]
    count, gaps, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < 0.2 * kept.sum()
    small[0] = False
    outer = np.unique(np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]]))
    small[outer] = False  # ground that reaches the crop's border is no hole
    return np.asarray(kept | small[gaps])


def _grade(crop: _Crop, mask: np.ndarray) -> BoxMask:
    """Scores a candidate on the crop's grid: tightness^1.5 x (0.3 + 0.7 edge) x (0.3 + 0.7 rim)."""
    x0, y0, x1, y1 = crop.box
    if mask[y0:y1, x0:x1].mean() < EMPTY:
        return BoxMask(mask, 0.0, 0.0, 0.0, 0.0)
    tightness = _tightness(mask, crop.box)
    plain, cross = mask.astype(np.uint8), np.ones((3, 3), np.uint8)
    outline = cv2.morphologyEx(plain, cv2.MORPH_GRADIENT, cross) > 0
    outline[[0, -1]] = False  # where the photograph ends there is no evidence either way
    outline[:, [0, -1]] = False
    edge = min(1.0, float(crop.gradient[outline].mean())) if outline.any() else 0.0
    rim = _rim(crop, plain)
    score = tightness**1.5 * (0.3 + 0.7 * edge) * (0.3 + 0.7 * rim)
    return BoxMask(mask, float(score), float(tightness), edge, rim)


def _tightness(mask: np.ndarray, box: Box) -> float:
    """IoU of the mask's bounds with the box. The mask has at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    own = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    wide = max(0, min(own[2], box[2]) - max(own[0], box[0]))
    high = max(0, min(own[3], box[3]) - max(own[1], box[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (own, box)]
    return float(wide * high / (sum(areas) - wide * high))


def _rim(crop: _Crop, mask: np.ndarray) -> float:
    """Chi2 distance, 0..1, of the Lab histograms (8 x 8 x 8) on either side of the outline; mask uint8 (h, w)."""
    radius = max(3, int(0.06 * max(crop.box[2] - crop.box[0], crop.box[3] - crop.box[1])))
    element = disc(radius)
    inner = (mask > 0) & (cv2.erode(mask, element) == 0)
    outer = (mask == 0) & (cv2.dilate(mask, element) > 0)
    one, two = _histogram(crop.lab[inner]), _histogram(crop.lab[outer])
    return float(0.5 * ((one - two) ** 2 / (one + two + 1e-9)).sum())


def _histogram(lab: np.ndarray) -> np.ndarray:
    """Lab colours uint8 (n, 3) -> shares (512,)."""
    cell = lab.astype(np.int64) // 32
    counts = np.bincount(cell[:, 0] * 64 + cell[:, 1] * 8 + cell[:, 2], minlength=512)
    return np.asarray(counts / max(1, counts.sum()))


def _enlarge(mask: np.ndarray, crop: _Crop, image: np.ndarray, box: Box) -> np.ndarray:
    """The crop's mask on the photograph's grid, bool (H, W), inside `box`; a guided filter finds the photo's edges."""
    left, top, right, bottom = crop.window
    width, height = right - left, bottom - top
    soft = mask.astype(np.float32)
    if crop.scale < 1:
        step = min(1.0, GUIDE_SIDE / max(width, height))
        size = (round(width * step), round(height * step))
        guide = np.ascontiguousarray(image[top:bottom, left:right])
        guide = guide if step == 1 else cv2.resize(guide, size, interpolation=cv2.INTER_AREA)
        radius = max(2, round(2 * step / crop.scale))
        rough = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)
        fine = cv2.ximgproc.guidedFilter(guide, rough, radius, 1e-4 * 255**2)
        soft = np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR))
    found = np.zeros(image.shape[:2], bool)
    found[top:bottom, left:right] = soft > 0.5
    inside = np.zeros_like(found)
    x0, y0, x1, y1 = box
    inside[y0:y1, x0:x1] = found[y0:y1, x0:x1]
    return inside
