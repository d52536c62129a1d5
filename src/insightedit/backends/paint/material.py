"""Remake an object in another material: polished metals by a tone curve, patterns by a texture under the old shading.

Textures are computed, not photographed: no licence, any size, equal pixels for equal input. A pattern lies flat on the
object (no perspective), so it suits smooth things; a metal keeps every fold of the original and suits most.
"""

from collections.abc import Callable

import cv2
import numpy as np

from insightedit.backends.paint.recolour import Cut, Painted, put_back, rim_radius, take_apart

# sRGB 0..1 at dark, mid, bright and gloss of the object's own tones
METALS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "golden": ((0.16, 0.08, 0.01), (0.55, 0.36, 0.06), (0.90, 0.70, 0.22), (1.00, 0.96, 0.72)),
    "silver": ((0.10, 0.10, 0.11), (0.42, 0.43, 0.45), (0.75, 0.76, 0.78), (1.00, 1.00, 1.00)),
    "bronze": ((0.12, 0.05, 0.02), (0.45, 0.25, 0.12), (0.75, 0.50, 0.30), (1.00, 0.88, 0.72)),
}
MIN_CONTRAST = 25.0  # Lab L: an evenly lit face has nothing to mirror
MAX_DETAIL = 2.5  # Lab L
MIN_FULLNESS = 0.8
MIN_LIGHT, MAX_LIGHT = 22.0, 95.0  # Lab L: too dark to see a pattern, or a lamp
MAX_BLUR = 0.015  # edge width over size
MIN_METAL_LIGHT, MAX_METAL_LIGHT = 10.0, 92.0  # Lab L: a black thing turns gray, a white one dark
MIN_HALF_SPAN = 20.0  # Lab L
METAL_TONES = (0.0, 0.4, 0.75, 1.0)


def remake(image: np.ndarray, mask: np.ndarray, material: str) -> Painted:
    """The object made of `material`, one of MATERIALS. image (H, W, 3) uint8 RGB, mask (H, W) bool."""
    if material not in MATERIALS:
        raise ValueError(f"no material {material!r}: known are {', '.join(MATERIALS)}")
    if not mask.any():
        return Painted(image.copy(), np.zeros_like(mask))
    cut = take_apart(image, mask)
    made = _metal(cut, METALS[material]) if material in METALS else _textured(cut, TEXTURES[material])
    return put_back(image, cut, cv2.cvtColor(made, cv2.COLOR_RGB2LAB))


def suitable_materials(image: np.ndarray, mask: np.ndarray) -> list[str]:
    """Materials that will look right on this object, best first; may be empty.

    A metal needs shading to turn into reflections; a texture needs a smooth, full body to lie on, light to be seen in,
    and pixels enough for its pattern.
    """
    if not mask.any():
        return []
    looks = surface(image, mask)
    shaded = looks["contrast"] >= MIN_CONTRAST and MIN_METAL_LIGHT <= looks["light"] <= MAX_METAL_LIGHT
    smooth = looks["detail"] <= MAX_DETAIL and looks["fullness"] >= MIN_FULLNESS
    lit = MIN_LIGHT <= looks["light"] <= MAX_LIGHT
    crisp = looks["blur"] <= MAX_BLUR  # else the pattern would be the only sharp thing
    metals = [name for name in METALS if shaded and looks["size"] >= 48]
    return metals + [name for name in TEXTURES if smooth and lit and crisp and looks["size"] >= 96]


def surface(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """What decides on a material.

    contrast (Lab L, 2nd..98th percentile), detail (mean Lab L that a blur of 1.2 % of the object takes away), light
    (median Lab L), fullness (area over convex hull, 0..1), size (px, longest side), blur (width of its
    edge as a share of its size).
    """
    cut = take_apart(image, mask)
    light, size = cut.front[..., 0], float(max(np.ptp(side) + 1 for side in np.nonzero(cut.mask)))
    low, middle, high = np.percentile(light[cut.core], [2, 50, 98])
    smooth = cv2.GaussianBlur(np.where(cut.alpha > 0.5, light, middle), (0, 0), max(1.5, 0.012 * size))
    hull = cv2.convexHull(np.argwhere(cut.mask)[:, ::-1].astype(np.int32))
    return {
        "contrast": float(high - low), "detail": float(np.abs(light - smooth)[cut.core].mean()), "light": float(middle),
        "fullness": float(min(1.0, cut.mask.sum() / max(cv2.contourArea(hull), 1.0))), "size": size,
        "blur": rim_radius(cut.lab, cut.mask) / size,
    }  # fmt: skip


def _metal(cut: Cut, tones: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """(h, w, 3) RGB 0..1: the object's own lightness, stretched to full contrast, read as the tones of a metal."""
    light = cut.front[..., 0]
    low, middle, high = np.percentile(light[cut.core], [2, 50, 98])
    # a flat object has no reflections to stretch: stretching its noise would make tin foil
    low, high = min(low, middle - MIN_HALF_SPAN), max(high, middle + MIN_HALF_SPAN)
    middle = np.clip(middle, low + 0.3 * (high - low), high - 0.3 * (high - low))
    tone = np.interp(light, [low, middle, high], [0.0, 0.48, 1.0])
    tone = tone * tone * (3 - 2 * tone)
    return np.dstack([np.interp(tone, METAL_TONES, channel) for channel in zip(*tones, strict=True)]).astype(np.float32)


def _textured(cut: Cut, texture: "Texture") -> np.ndarray:
    """(h, w, 3) RGB 0..1: a flat texture lit by the object's blurred lightness, with its finest detail and gloss."""
    ys, xs = np.nonzero(cut.mask.any(1))[0], np.nonzero(cut.mask.any(0))[0]
    size = float(max(ys[-1] - ys[0], xs[-1] - xs[0]) + 1)
    bulge_x, bulge_y = _bulge(cut.mask)
    y, x = np.mgrid[: cut.mask.shape[0], : cut.mask.shape[1]].astype(np.float32)
    flat = texture((x - xs[0] + bulge_x) / size, (y - ys[0] + bulge_y) / size, size)
    light = cut.front[..., 0]
    middle = float(np.median(light[cut.core]))
    smooth = cv2.GaussianBlur(np.where(cut.alpha > 0.5, light, middle), (0, 0), max(1.5, 0.012 * size))
    lab = cv2.cvtColor(flat.astype(np.float32), cv2.COLOR_RGB2LAB)
    own = float(np.median(lab[..., 0]))
    # a dark scene stays dark: the texture moves half way to the lightness that the old object had
    gain = (0.5 * (own + middle) + 16) / (own + 16)
    shade = np.clip((smooth + 16) / (middle + 16), 0.2, 1.7) ** 0.9 * gain
    lit = (lab + np.array([16, 0, 0], np.float32)) * shade[..., None] - np.array([16, 0, 0], np.float32)
    lit[..., 0] += np.clip(0.4 * (light - smooth), -14, 20)
    gloss = np.clip((light - 92) / 8, 0, 1)[..., None]
    lit = lit * (1 - gloss) + np.array([98, 0, 0], np.float32) * gloss
    lit[..., 0] = np.clip(lit[..., 0], 0, 100)
    return np.asarray(cv2.cvtColor(lit.astype(np.float32), cv2.COLOR_LAB2RGB).clip(0, 1))


def _bulge(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many px a texture is drawn together towards the outline, as on a round body; x and y parts, each (h, w).

    The silhouette is inflated to a height with a circular profile. On a sphere the arc grows as R asin(r / R), that is
    ahead of r by about an eighth of R times the slope until close to the outline.
    """
    inside = np.pad(mask, 1).astype(np.uint8)  # a border of the photograph is no outline to bend at, but nearly so
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    widest = max(float(away.max()), 1.0)
    height = widest * np.sqrt(np.clip(1 - (1 - away / widest) ** 2, 0, 1))
    height = cv2.GaussianBlur(height, (0, 0), max(1.0, 0.12 * widest))
    slope_y, slope_x = np.gradient(height)
    return -0.125 * widest * np.clip(slope_x, -3, 3), -0.125 * widest * np.clip(slope_y, -3, 3)


# ---- textures: (x, y in object sizes, size in px) -> (h, w, 3) RGB 0..1 ----------------------------------------------

Texture = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def _striped(x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    period = max(8 / size, 1 / 9)
    return _mixed((0.94, 0.94, 0.92), (0.13, 0.22, 0.52), np.sin(x * 2 * np.pi / period) * period * size / 5 + 0.5)


def _polka_dotted(x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    period = max(10 / size, 1 / 8)
    column = np.floor(x / period)
    from_centre = np.hypot(x % period - period / 2, (y + column % 2 * period / 2) % period - period / 2)
    return _mixed((0.76, 0.12, 0.14), (0.96, 0.96, 0.94), (0.27 * period - from_centre) * size + 0.5)


def _wooden(x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """Boards' grain along x: long drawn-out rings, fine fibres."""
    long = cv2.resize(_clouds((x.shape[0], max(2, x.shape[1] // 4)), size / 4, seed=1, octaves=3), x.shape[::-1])
    rings = np.abs((y * 9 + 0.55 * long) % 1 - 0.5) * 2
    dots = np.random.default_rng(2).standard_normal((x.shape[0], max(2, x.shape[1] // 24))).astype(np.float32)
    fibre = cv2.GaussianBlur(cv2.resize(dots, x.shape[::-1], interpolation=cv2.INTER_LINEAR), (0, 0), 0.8)
    return np.asarray(np.clip(_mixed((0.45, 0.28, 0.15), (0.66, 0.45, 0.27), rings) + 0.045 * fibre[..., None], 0, 1))


def _marble(x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """White with soft gray clouds and thin veins that run aslant and never close to a ring."""
    broad, fine = _clouds(x.shape, size / 1.5, seed=3), _clouds(x.shape, size / 2, seed=4)
    vein = np.abs(np.sin((x + 0.55 * y) * 7 + 0.7 * broad))
    thin = np.abs(np.sin((0.8 * x - y) * 10 + 0.9 * fine))
    strength = np.clip(0.5 + 0.5 * fine, 0, 1)  # veins come and go
    dark = strength * (1 - np.clip(vein * 3.5, 0, 1) ** 0.4)
    dark += 0.6 * (1 - strength) * (1 - np.clip(thin * 6, 0, 1) ** 0.5)
    return _mixed((0.46, 0.46, 0.49), (0.93, 0.92, 0.90), 0.95 - dark - 0.12 * np.clip(broad, -1, 2))


def _mixed(first: tuple[float, ...], second: tuple[float, ...], weight: np.ndarray) -> np.ndarray:
    weight = np.clip(weight, 0, 1)[..., None]
    mixed = np.array(first, np.float32) * (1 - weight) + np.array(second, np.float32) * weight
    return np.asarray(mixed, np.float32)


def _clouds(shape: tuple[int, int], scale: float, seed: int, octaves: int = 4) -> np.ndarray:
    """(h, w) value noise of mean 0 and deviation 1; `scale` px is the size of the largest blobs."""
    random, total = np.random.default_rng(seed), np.zeros(shape, np.float32)
    for octave in range(octaves):
        grid = random.standard_normal([max(2, int(side / scale) + 2) for side in shape]).astype(np.float32)
        total += 0.5**octave * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
        scale = max(2.0, scale / 2)
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6))


TEXTURES: dict[str, Texture] = {
    "striped": _striped, "polka-dotted": _polka_dotted, "wooden": _wooden, "marble": _marble,
}  # fmt: skip
MATERIALS: tuple[str, ...] = (*METALS, *TEXTURES)
