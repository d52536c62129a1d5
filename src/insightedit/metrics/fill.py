"""How well a hole was filled, told from pixels alone: no weights, no second photograph.

The features compare the fill with the ring around it: texture, colours, patches, steps across the border. They
see smears, tints, visible borders and left-over parts; they cannot see what an image means (a cut arm, a floating
shadow). Every feature is higher for a better fill.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

CROP_SIDE = 384  # px; the crop is scaled down to this before anything is measured
PATCH = 7  # px at half the crop's size

# feature: (mean, standard deviation, weight); probability of "at least usable" = logistic(OFFSET + sum of weighted z).
# Start: the weights found on 226 removals by six methods (offline.md 5). Refitted, with those as the prior (ridge 30,
# no negative weights), to 167 removals by `backends.paint.patchmatch` in 17 photographs, labelled by eye by one person
# (good 64, usable 56, bad 47; benchmarks/labels/removal.csv). Leave-one-photo-out AUC: .85 usable, .78 good.
CALIBRATION: dict[str, tuple[float, float, float]] = {
    "tex_hf": (-0.632, 0.572, 0.50),
    "patch_p90": (-1.242, 0.575, 0.32),
    "hist_inter": (0.567, 0.162, 0.31),
    "leftover": (-0.016, 0.0172, 0.18),
    "back": (-0.0184, 0.0574, 0.22),
    "flat_share": (-0.178, 0.219, 0.30),
    "step": (0.141, 0.450, 0.12),
    "ring_edges": (-0.073, 0.104, 0.55),
    "ring_structure": (-17.71, 10.33, 0.49),
    "ring_texture": (-4.824, 4.203, 0.56),
    "area": (-0.058, 0.082, 0.34),
}
OFFSET = 1.01
FARTHEST = 3.0  # standard deviations; beyond them a single feature would decide alone


class _View(NamedTuple):
    """The crop that everything is measured on. float32 Lab (L 0..100), bool masks, all (h, w)."""

    before: np.ndarray  # (h, w, 3)
    after: np.ndarray  # (h, w, 3)
    hole: np.ndarray
    core: np.ndarray  # the hole without its outermost 2 px
    ring: np.ndarray  # from 3 px to half the hole's size outside of it
    size: float  # root of the hole's area, px


def fill_features(source: np.ndarray, edited: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Features of one removal; every one is higher for a better fill.

    source, edited: uint8 (H, W, 3) RGB; mask: bool (H, W), the hole that was filled; seed: of the patch samples.
    tex_hf, flat_share: fine texture; patch_p90, hist_inter: patches and colours that occur around the hole; back,
    leftover: the object's colours in the fill and next to it; step: low frequencies across the border; ring_edges,
    ring_structure, ring_texture, area (minus the share of the photograph): how hard the hole is to fill at all.
    An empty mask, or one without surroundings, gives zeros.
    """
    features = dict.fromkeys(CALIBRATION, 0.0)
    if not mask.any() or mask.all():
        return features
    view = _view(source, edited, mask)
    features["area"] = -float(mask.mean())
    if not view.ring.any():
        return features
    random = np.random.default_rng(seed)
    features.update(_texture(view), **_structure(view), **_leftovers(view, random))
    features["hist_inter"] = _shared_colours(view)
    features["patch_p90"] = _patch_distance(view, random)
    features["step"] = _border_step(view)
    return features


def fill_score(features: dict[str, float]) -> float:
    """Probability, 0..1, that a person calls the removal at least usable; see CALIBRATION for what it rests on."""
    evidence = OFFSET
    for name, (mean, deviation, weight) in CALIBRATION.items():
        evidence += weight * min(FARTHEST, max(-FARTHEST, (features[name] - mean) / deviation))
    return 1 / (1 + math.exp(-evidence))


def _view(source: np.ndarray, edited: np.ndarray, mask: np.ndarray) -> _View:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = int(max(24, 0.8 * math.sqrt(mask.sum())))
    place = np.s_[
        max(0, rows[0] - margin) : rows[-1] + 1 + margin, max(0, columns[0] - margin) : columns[-1] + 1 + margin
    ]
    before, after, hole = source[place], edited[place], mask[place]
    scale = min(1.0, CROP_SIDE / max(hole.shape))
    if scale < 1:
        small = (max(8, round(hole.shape[1] * scale)), max(8, round(hole.shape[0] * scale)))
        before, after = (cv2.resize(pixels, small, interpolation=cv2.INTER_AREA) for pixels in (before, after))
        hole = cv2.resize(hole.astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0
    size = math.sqrt(hole.sum())
    core = cv2.erode(hole.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2) > 0
    ring = _band(hole, 3, int(max(8, 0.5 * size)))
    return _View(_lab(before), _lab(after), hole, core if core.sum() > 40 else hole, ring, size)


def _lab(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _band(hole: np.ndarray, inner: int, outer: int) -> np.ndarray:
    """Pixels between `inner` and `outer` px outside of the hole, bool (h, w)."""
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5)
    return (away > inner) & (away <= outer)


def _texture(view: _View) -> dict[str, float]:
    """tex_hf: how equal the fine texture of fill and ring is; flat_share: how much of the fill is too flat."""
    light = view.after[..., 0]
    fine = np.abs(light - cv2.GaussianBlur(light, (0, 0), 1.6))
    ratio = (fine[view.core].mean() + 0.15) / (fine[view.ring].mean() + 0.15)
    mean = cv2.blur(light, (PATCH, PATCH))
    spread = np.sqrt(np.maximum(0, cv2.blur(light * light, (PATCH, PATCH)) - mean**2))
    floor = 0.7 * np.percentile(spread[view.ring], 15)
    return {"tex_hf": -abs(math.log(ratio)), "flat_share": -float((spread[view.core] < floor).mean())}


def _structure(view: _View) -> dict[str, float]:
    """What makes a ground hard to continue, whatever the fill looks like; all minus an amount.

    ring_edges: share of strong edges where the border is met; ring_structure: 97th percentile of the Lab distance
    between a fine and a coarse blur of the nearby ring; ring_texture: 90th percentile of what the fine blur removes.
    """
    light = view.after[..., 0]
    strength = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    touching = _band(view.hole, 1, 4)
    meeting = float((strength[touching] > 60).mean()) if touching.any() else 0.0
    ground = ~view.hole
    near = _band(view.hole, 0, max(8, int(0.2 * view.size)))
    fine, coarse = (_ground_blur(view.after, ground, sigma) for sigma in (max(1.0, 0.01 * view.size), 0.1 * view.size))
    structure = np.percentile(np.linalg.norm(fine - coarse, axis=2)[near], 97) if near.any() else 0.0
    texture = np.percentile(np.linalg.norm(view.after - fine, axis=2)[near], 90) if near.any() else 0.0
    return {"ring_edges": -meeting, "ring_structure": -float(structure), "ring_texture": -float(texture)}


def _ground_blur(lab: np.ndarray, ground: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur that only looks at the ground, float32 (h, w, 3)."""
    weight = ground.astype(np.float32)
    total = cv2.GaussianBlur(lab * weight[..., None], (0, 0), sigma)
    return np.asarray(total / (cv2.GaussianBlur(weight, (0, 0), sigma)[..., None] + 1e-4))


def _shared_colours(view: _View) -> float:
    """Intersection, 0..1, of the Lab histograms (11 x 11 x 11) of fill and ring."""
    shares = []
    for part in (view.core, view.ring):
        cell = np.clip((view.after[part] - (0, -64, -64)) / (10, 12, 12), 0, 10).astype(int)
        counts = np.bincount(cell[:, 0] * 121 + cell[:, 1] * 11 + cell[:, 2], minlength=1331)
        shares.append(counts / max(1, counts.sum()))
    return float(np.minimum(*shares).sum())


def _patch_distance(view: _View, random: np.random.Generator) -> float:
    """How far the fill's worst tenth of patches is from any patch around it, over the same among those around."""
    half = cv2.resize(view.after, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    if min(half.shape[:2]) <= PATCH + 2:
        return 0.0
    hole = cv2.resize(view.hole.astype(np.uint8), half.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    windows = np.lib.stride_tricks.sliding_window_view(half, (PATCH, PATCH), axis=(0, 1))
    middle = np.s_[PATCH // 2 : PATCH // 2 + windows.shape[0], PATCH // 2 : PATCH // 2 + windows.shape[1]]
    near = cv2.dilate(hole, np.ones((PATCH, PATCH), np.uint8))
    filled = _some(np.argwhere(hole[middle] > 0), 400, random)
    around = _some(np.argwhere(near[middle] == 0), 4000, random)
    if len(filled) <= 20 or len(around) <= 20:
        return 0.0
    fill, ground = (windows[at[:, 0], at[:, 1]].reshape(len(at), -1).astype(np.float64) for at in (filled, around))
    own = _squared(ground[:300], ground)
    own[np.arange(len(own)), np.arange(len(own))] = np.inf
    worst, usual = (np.percentile(np.sqrt(table.min(axis=1)) / PATCH, 90) for table in (_squared(fill, ground), own))
    return -float(worst / (usual + 0.5))


def _squared(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Squared distances (n, d), (m, d) -> (n, m)."""
    return np.asarray(np.maximum(0, (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * one @ two.T))


def _some(items: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    return items if len(items) <= most else items[random.choice(len(items), most, replace=False)]


def _leftovers(view: _View, random: np.random.Generator) -> dict[str, float]:
    """leftover: ring pixels in the removed object's colours; back: fill pixels in them. Both minus a share."""
    inner = cv2.erode(view.hole.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(2, int(0.03 * view.size)))
    near = _band(view.hole, 0, max(3, int(0.06 * view.size)))
    far = _band(view.hole, max(4, int(0.15 * view.size)), int(max(10, 0.6 * view.size)))
    if inner.sum() <= 30 or near.sum() <= 20 or far.sum() <= 20:
        return {"leftover": 0.0, "back": 0.0}
    removed = cKDTree(_some(view.before[inner > 0], 1500, random))
    ground = cKDTree(_some(view.before[far], 1500, random))

    def resembling(colours: np.ndarray) -> float:
        asked = _some(colours, 600, random)
        to_removed, to_ground = (tree.query(asked, k=5)[0].mean(axis=1) for tree in (removed, ground))
        return float((to_removed + 1 < 0.6 * to_ground).mean())

    return {"leftover": -resembling(view.before[near]), "back": -resembling(view.after[view.core])}


def _border_step(view: _View) -> float:
    """Step of the low frequencies across the hole's border against the same across a border further out."""
    reach = max(3, round(0.05 * view.size))
    beyond = cv2.dilate(view.hole.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2 * reach) > 0
    here, there = _step(view.after, view.hole, reach), _step(view.after, beyond, reach)
    return -math.log((here + 1) / (there + 1))


def _step(lab: np.ndarray, region: np.ndarray, reach: int) -> float:
    """80th percentile of the Lab distance between the averages on either side of a region's border."""
    sides = [_ground_blur(lab, side, reach / 2) for side in (region, ~region)]
    border = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    border[[0, -1]] = False
    border[:, [0, -1]] = False
    return float(np.percentile(np.linalg.norm(sides[0] - sides[1], axis=2)[border], 80)) if border.any() else 0.0
