"""The shadow an object throws on even ground: to be removed with it, or it stays behind without an owner."""

import cv2
import numpy as np

WORKING_SIDE = 256  # px, of the crop around the object
DARKER = 0.93  # a shadow is darker than this share of the lit ground ...
DARKEST = 0.15  # ... and lighter than this: below it may be anything
UNEVEN = 0.25  # relative spread of the lit ground's brightness above which no shadow can be told
TINT = 0.04  # largest difference of chromaticity (share of red, green, blue) between shadow and lit ground


def with_shadow(image: np.ndarray, mask: np.ndarray, *, limit: float = 0.5) -> np.ndarray:
    """The mask, bool (H, W), together with the shadow that adjoins it, or as it came when none can be told.

    image: uint8 (H, W, 3) RGB; limit: the most that may be added, as a share of the mask's area; more is taken for
    something else than a shadow. The test: connected to the object, beside or below its middle, darker than the
    ground further out but of the same chromaticity, and that ground is even.
    """
    if not mask.any() or mask.all():
        return mask.copy()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = int(max(16, 0.8 * np.sqrt(mask.sum())))
    place = np.s_[max(0, rows[0] - margin):rows[-1] + 1 + margin, max(0, columns[0] - margin):columns[-1] + 1 + margin]
    part = mask[place]
    scale = min(1.0, WORKING_SIDE / max(part.shape))
    size = (max(2, round(part.shape[1] * scale)), max(2, round(part.shape[0] * scale)))
    body = cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    shadow = _shadow(cv2.resize(image[place], size, interpolation=cv2.INTER_AREA), body)
    if not shadow.any() or shadow.sum() > limit * body.sum():
        return mask.copy()
    grown = mask.copy()
    wide = _with_penumbra(shadow, body).astype(np.float32)
    grown[place] |= cv2.resize(wide, part.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    return grown


def _shadow(pixels: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Shadow pixels at working size: uint8 (h, w, 3), bool (h, w) -> bool (h, w)."""
    size = float(np.sqrt(body.sum()))
    known = (cv2.dilate(body.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0).astype(np.float32)
    light = (pixels.astype(np.float32) / 255) ** 2.2 * known[..., None]  # linear: a shadow scales all three alike
    light = cv2.GaussianBlur(light, (0, 0), 1.5) / (cv2.GaussianBlur(known, (0, 0), 1.5)[..., None] + 1e-3)
    bright = light.mean(axis=2)
    tint = light / (light.sum(axis=2, keepdims=True) + 1e-6)
    away = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, 5)
    below = np.zeros_like(body)
    below[int(np.median(np.nonzero(body)[0])):] = True
    ground = below & (away > 0.35 * size) & (away < 0.8 * size)
    if ground.sum() < 50:
        return np.zeros_like(body)
    level, hue = float(np.median(bright[ground])), np.median(tint[ground], axis=0)
    spread = 1.4826 * float(np.median(np.abs(bright[ground] - level))) / max(level, 1e-6)
    if spread > UNEVEN:
        return np.zeros_like(body)
    darkness = min(DARKER, 1 - 2 * spread) * level
    dark = (bright < darkness) & (bright > DARKEST * level) & (np.abs(tint - hue).max(axis=2) < TINT)
    dark &= below & ~body & (away < 0.6 * size) & (known > 0)
    tidy = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts = cv2.connectedComponents(tidy)
    touching = np.unique(parts[(away <= 5) & (tidy > 0)])
    return np.isin(parts, touching[touching > 0])


def _with_penumbra(shadow: np.ndarray, body: np.ndarray) -> np.ndarray:
    """The shadow widened by its soft rim, 3 working px, and closed towards the object; 3 x bool (h, w)."""
    soft = cv2.dilate(shadow.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))) > 0
    closed = cv2.morphologyEx((soft | body).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    return np.asarray(closed & ~body)
