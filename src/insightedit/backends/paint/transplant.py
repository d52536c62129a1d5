"""Put an object of one photograph into another: cut it out with a clean rim, ask whether it fits, and lay it down.

Alpha compositing, because gradient-domain cloning (cv2.seamlessClone) turns whole objects transparent or the colour of
the ground: 2 of 20 were acceptable. A transplant is a composite and looks like one when donor and scene disagree
about scale, sharpness or light; `fits` is there to refuse those.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from insightedit.backends.paint.recolour import Painted, take_apart

Box = tuple[int, int, int, int]

MIN_SCALE, MAX_SCALE = 0.8, 1.3  # of the donor's pixels: more invents detail, less betrays itself by sharpness
MIN_SIDE = 24  # px
PULL_LIGHT, PULL_CAST = 0.20, 0.35  # share of the way to the scene's lightness and colour cast
GRAIN = 0.8  # px of blur below which two sharpnesses count as the same


@dataclass(frozen=True)
class CutOut:
    """An object freed from its photograph: pixels (h, w, 3) uint8 RGB with a clean rim, alpha (h, w) float32 0..1."""

    pixels: np.ndarray
    alpha: np.ndarray


def cut_out(image: np.ndarray, mask: np.ndarray) -> CutOut:
    """The masked object on a tight crop; under its soft rim the colour is the object's, not the old ground's.

    image (H, W, 3) uint8 RGB, mask (H, W) bool, not empty.
    """
    if not mask.any():
        raise ValueError("cut_out: the mask is empty")
    cut = take_apart(image, mask)
    ys, xs = np.nonzero((cut.alpha > 0.02).any(1))[0], np.nonzero((cut.alpha > 0.02).any(0))[0]
    window = np.s_[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    rgb = cv2.cvtColor(np.ascontiguousarray(cut.front[window]), cv2.COLOR_LAB2RGB)
    return CutOut(np.rint(rgb.clip(0, 1) * 255).astype(np.uint8), np.ascontiguousarray(cut.alpha[window]))


def fits(donor: CutOut, box: Box, background: np.ndarray | None = None) -> float:
    """How well the cut-out suits the box, 0..1; 0 = do not. background (H, W, 3) uint8 RGB of the scene, if at hand.

    Shape: aspect ratio and how far the donor would be scaled. Looks: lightness, cast and sharpness against the scene.
    """
    height, width = donor.alpha.shape
    box_width, box_height = box[2] - box[0], box[3] - box[1]
    if min(box_width, box_height, height, width) < MIN_SIDE:
        return 0.0
    scale = min(box_width / width, box_height / height)
    if not MIN_SCALE <= scale <= MAX_SCALE:
        return 0.0
    stretch = abs(np.log(box_width * height / (box_height * width)))  # 0: the same aspect ratio
    score = float(np.exp(-((stretch / 0.35) ** 2)))
    return score if background is None else score * _agreement(donor, box, background, scale)


def place(background: np.ndarray, cutout: CutOut, box: Box) -> Painted:
    """Lay the cut-out into the box, as large as it fits, standing on the box's bottom edge, centred.

    background (H, W, 3) uint8 RGB with the former object already removed. The donor's lightness and cast are drawn a
    little to the scene's, its sharpness to the scene's, and a soft contact shadow is laid inside the box.
    """
    seen = _clipped(box, background)
    if seen[2] - seen[0] < 2 or seen[3] - seen[1] < 2:
        return Painted(background.copy(), np.zeros(background.shape[:2], bool))
    pixels, alpha = _scaled(cutout, box[2] - box[0], box[3] - box[1])
    pixels = _harmonised(pixels, alpha, background, box)
    pixels, alpha = _as_sharp(pixels, alpha, sharpness(background, ring=box))
    canvas = np.zeros((*background.shape[:2], 4), np.float32)
    left = box[0] + (box[2] - box[0] - alpha.shape[1]) // 2
    _paste(canvas, cv2.merge([pixels, alpha]), left, box[3] - alpha.shape[0])
    x0, y0, x1, y1 = seen
    part, cover = canvas[y0:y1, x0:x1, :3], canvas[y0:y1, x0:x1, 3:]
    shadow = _contact_shadow(cover[..., 0])[..., None]
    ground = background[y0:y1, x0:x1].astype(np.float32)
    mixed = ground * (1 - shadow) * (1 - cover) + part * cover
    edited, support = background.copy(), np.zeros(background.shape[:2], bool)
    changed = np.maximum(cover, shadow)[..., 0] > 1 / 256
    edited[y0:y1, x0:x1][changed] = np.clip(np.rint(mixed[changed]), 0, 255).astype(np.uint8)
    support[y0:y1, x0:x1] = changed
    return Painted(edited, support)


def sharpness(image: np.ndarray, ring: Box | None = None, alpha: np.ndarray | None = None) -> float:
    """Blur width in px of the sharpest edges: 1 for a crisp photograph, 4 and more out of focus; nan if there is none.

    At an edge of blur sigma, lightness over its steepest slope is sigma sqrt(2 pi): the ratio of local range to local
    gradient, the sharpest tenth of all clear edges. `ring` looks only around a box, `alpha` only inside a cut-out.
    """
    if ring is not None:
        x0, y0, x1, y1 = _clipped(_grown(ring, 0.35), image)
        image = image[y0:y1, x0:x1]
    light = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    gray = cv2.GaussianBlur(light, (0, 0), 0.7)  # sensor noise has the sharpest edges of all
    slope = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=1 / 8))
    window = np.ones((15, 15), np.uint8)
    span = cv2.dilate(gray, window) - cv2.erode(gray, window)
    clear = (span > 24) & (slope >= cv2.dilate(slope, np.ones((5, 5), np.uint8)))
    if alpha is not None:
        clear &= cv2.erode((alpha > 0.95).astype(np.uint8), window) > 0
    if clear.sum() < 12:
        return float("nan")
    return float(np.percentile(span[clear] / np.maximum(slope[clear], 0.5), 10) / 2.507)


def _agreement(donor: CutOut, box: Box, background: np.ndarray, scale: float) -> float:
    """0..1: product of how near donor and scene are in sharpness, lightness and cast."""
    scene, own = sharpness(background, ring=box), sharpness(donor.pixels, alpha=donor.alpha) * scale
    blur = 0.0 if np.isnan(scene + own) else np.log(max(own, GRAIN) / max(scene, GRAIN))
    inside, around = _mean_lab(donor.pixels, donor.alpha > 0.5), _scene_lab(background, box)
    light = (inside[0] - around[0]) / 45
    cast = np.hypot(*(_lamp(donor.pixels, donor.alpha > 0.5)[1:] - _lamp(background)[1:])) / 30
    # a blurred donor in a sharp scene cannot be mended, the other way round it can
    return float(np.exp(-(light**2) - cast**2 - (blur / (0.5 if blur > 0 else 1.2)) ** 2))


def _scaled(cutout: CutOut, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    own_height, own_width = cutout.alpha.shape
    scale = min(width / own_width, height / own_height)
    size = (max(1, min(width, round(own_width * scale))), max(1, min(height, round(own_height * scale))))
    pixels = cv2.resize(cutout.pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    alpha = cv2.resize(cutout.alpha, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return pixels.astype(np.float32), np.clip(alpha, 0, 1)


def _harmonised(pixels: np.ndarray, alpha: np.ndarray, background: np.ndarray, box: Box) -> np.ndarray:
    """Float RGB 0..255 with lightness drawn to the scene around the box and cast to the scene's lamp."""
    inside = alpha > 0.5
    if not inside.any():
        return pixels
    lab = cv2.cvtColor(pixels / 255, cv2.COLOR_RGB2LAB)
    own_light, light = float(np.median(lab[inside][:, 0])), float(_scene_lab(background, box)[0])
    gain = 1 + PULL_LIGHT * (np.clip((light + 16) / (own_light + 16), 0.5, 1.6) - 1)
    lab[..., 0] = np.clip((lab[..., 0] + 16) * gain - 16, 0, 100)
    lab[..., 1:] += np.clip(PULL_CAST * (_lamp(background)[1:] - _lamp(pixels, inside)[1:]), -8, 8)
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255


def _as_sharp(pixels: np.ndarray, alpha: np.ndarray, scene: float) -> tuple[np.ndarray, np.ndarray]:
    """Blur a donor that is sharper than the scene; a donor that is not stays as it is."""
    own = sharpness(np.rint(pixels).astype(np.uint8), alpha=alpha)
    if np.isnan(scene + own) or scene <= own + GRAIN:
        return pixels, alpha
    sigma = float(np.sqrt(min(scene, 6.0) ** 2 - own**2))
    return cv2.GaussianBlur(pixels, (0, 0), sigma), cv2.GaussianBlur(alpha, (0, 0), sigma)


def _contact_shadow(cover: np.ndarray) -> np.ndarray:
    """(h, w) 0..0.45: a soft dark pool under the lowest tenth of the object, where it meets the ground."""
    rows, columns = np.nonzero((cover > 0.5).any(1))[0], np.nonzero((cover > 0.5).any(0))[0]
    if len(rows) == 0:
        return np.zeros_like(cover)
    foot = cover.copy()
    foot[: rows[-1] - max(2, (rows[-1] - rows[0]) // 12)] = 0
    sigma = max(1.5, 0.035 * (columns[-1] - columns[0]))
    pool = 0.45 * cv2.GaussianBlur(foot, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.where(pool > 0.02, pool, 0)


def _paste(canvas: np.ndarray, piece: np.ndarray, left: int, top: int) -> None:
    """Copy `piece` into `canvas` in place, cut at its borders."""
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + piece.shape[1]), min(height, top + piece.shape[0])
    canvas[y0:y1, x0:x1] = piece[y0 - top : y1 - top, x0 - left : x1 - left]


def _scene_lab(background: np.ndarray, box: Box) -> np.ndarray:
    """(3,) median Lab of the surroundings: half a box on every side, the box itself included."""
    x0, y0, x1, y1 = _clipped(_grown(box, 0.5), background)
    return _mean_lab(background[y0:y1, x0:x1])


def _mean_lab(pixels: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    chosen = pixels.reshape(-1, 3) if mask is None else pixels[mask]
    chosen = np.ascontiguousarray(chosen[:: max(1, len(chosen) // 20000)], np.float32)
    return np.asarray(np.median(cv2.cvtColor(chosen[None] / 255, cv2.COLOR_RGB2LAB)[0], 0))


def _lamp(pixels: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(3,) Lab of the light: mean of the brighter pale pixels (gray-world on those that may be gray)."""
    chosen = pixels.reshape(-1, 3) if mask is None else pixels[mask]
    chosen = np.ascontiguousarray(chosen[:: max(1, len(chosen) // 20000)], np.float32)
    lab = cv2.cvtColor(chosen[None] / 255, cv2.COLOR_RGB2LAB)[0]
    pale = lab[(np.hypot(lab[:, 1], lab[:, 2]) < 25) & (lab[:, 0] > np.median(lab[:, 0]))]
    return pale.mean(0) if len(pale) >= 20 else np.zeros(3, np.float32)


def _grown(box: Box, share: float) -> Box:
    dx, dy = int(share * (box[2] - box[0])), int(share * (box[3] - box[1]))
    return box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy


def _clipped(box: Box, image: np.ndarray) -> Box:
    height, width = image.shape[:2]
    return max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
