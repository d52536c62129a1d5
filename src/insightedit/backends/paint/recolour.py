"""Give an object another colour and keep its light: shading, highlights, grain and edge stay those of the photograph.

Works in CIE Lab. The object's pixels are read as I = alpha F + (1 - alpha) B with F the object's own colour (on the rim
continued outward from its inside) and B the ground's; only F is repainted, so I' = I + alpha (F' - F). No old colour
stays on the rim, and none of the new one bleeds onto the ground.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from insightedit.backends.describe.colour import WORDS, words_by_rules, words_by_table
from insightedit.core.mask import disc

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (190, 25, 30), "orange": (238, 125, 30), "yellow": (240, 205, 45), "green": (40, 135, 55),
    "blue": (35, 80, 180), "purple": (115, 55, 150), "pink": (235, 130, 170), "brown": (110, 70, 40),
    "black": (24, 24, 25), "white": (236, 236, 234), "gray": (125, 125, 127),
}  # fmt: skip
# Lab lightness within which a colour keeps its name: the object keeps its own lightness as far as this allows.
NAMED_LIGHTNESS = {
    "red": (32, 48), "orange": (56, 72), "yellow": (74, 90), "green": (30, 62), "blue": (26, 58), "purple": (26, 50),
    "pink": (62, 78), "brown": (24, 42), "black": (9, 15), "white": (88, 95), "gray": (42, 66),
}  # fmt: skip
# next to each other in naming: an edit between them may not be seen as one
NEIGHBOURS = {
    "red": {"orange", "pink", "brown"}, "orange": {"red", "yellow", "brown"}, "yellow": {"orange"}, "green": set(),
    "blue": {"purple"}, "purple": {"blue", "pink"}, "pink": {"red", "purple"}, "brown": {"red", "orange", "black"},
    "beige": {"white", "yellow", "orange", "brown", "gray"}, "black": {"gray", "brown"}, "white": {"gray"},
    "gray": {"white", "black"},
}  # fmt: skip
COLOURS_BY_LOOKS = ("blue", "green", "red", "purple", "yellow", "orange", "brown", "pink", "black", "white", "gray")
MIN_DIFFERENCE = 30.0  # Lab distance between the old and the new dominant colour
MIN_TURN = 35.0  # degrees of hue between them, where both have one
MAX_CLIPPED = 0.25  # share of burnt-out white, in which no shading is left to keep: lamps, sunlit snow
MIN_GAIN, MAX_GAIN = {False: 0.62, True: 0.25}, 1.55  # of (L + SHADE); black alone may sink far
ACHROMATIC = 14.0  # Lab chroma under which the dominant colour counts as black, white or gray
SHADE = 16.0  # a, b of a matt surface go with (L + 16), since L = 116 cbrt(Y) - 16 and all channels dim together
GAMUT_MARGIN = 0.97


@dataclass(frozen=True)
class Painted:
    """An edited photograph: image (H, W, 3) uint8 RGB, support (H, W) bool; bit-equal to the source outside it."""

    image: np.ndarray
    support: np.ndarray


@dataclass(frozen=True)
class Cut:
    """A masked object taken apart, on a crop. B crop height and width h, w.

    window: (y0, y1, x0, x1) of the crop in the photograph; lab (h, w, 3) float32 as seen; front (h, w, 3) the object's
    colour with the ground removed from its rim; alpha (h, w) float32 0..1; mask and core (h, w) bool.
    """

    window: tuple[int, int, int, int]
    lab: np.ndarray
    front: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray
    core: np.ndarray


@dataclass(frozen=True)
class Dominant:
    """The colour an object is named by: its median Lab, the share of the object near it, and whether it has a hue."""

    lab: np.ndarray
    share: float
    chromatic: bool


def recolour(image: np.ndarray, mask: np.ndarray, colour: str) -> Painted:
    """The object in another colour.

    image (H, W, 3) uint8 RGB; mask (H, W) bool; colour one of COLOURS. Of a many-coloured object only the dominant
    colour changes; of a gray, black or white one all but its vivid parts.
    """
    if colour not in COLOURS:
        raise ValueError(f"no colour {colour!r}: known are {', '.join(COLOURS)}")
    if not mask.any():
        return Painted(image.copy(), np.zeros_like(mask))
    cut = take_apart(image, mask)
    found = dominant(cut.front[cut.core])
    repainted = _repaint(cut.front, cut.core, found, colour)
    return put_back(image, cut, repainted, _belongs(cut.front, found))


def suitable_colours(image: np.ndarray, mask: np.ndarray) -> list[str]:
    """Colours that will look right on this object and are clearly another than its own, best first; may be empty.

    Left out: the present colour and its neighbours in naming, anything nearer than MIN_DIFFERENCE in Lab, and what
    would lift or sink the object's lightness so far that its shading would have to be invented.
    """
    if not mask.any():
        return []
    cut = take_apart(image, mask)
    inner = cut.front[cut.core]
    if (inner[:, 0] > 98.5).mean() > MAX_CLIPPED:
        return []
    found = dominant(inner)
    own = _named(found.lab)
    light, ranked = float(found.lab[0]), []
    for order, colour in enumerate(COLOURS_BY_LOOKS):
        if colour in own or any(colour in NEIGHBOURS[word] for word in own):
            continue
        aim = aimed_lab(found, colour)
        gain = (aim[0] + SHADE) / (light + SHADE)
        turned = np.degrees(_hue_distance(aim, found.lab)) if found.chromatic and np.hypot(*aim[1:]) > 8 else 180
        if turned < MIN_TURN or np.linalg.norm(aim - found.lab) < MIN_DIFFERENCE:
            continue
        if not MIN_GAIN[colour == "black"] < gain < MAX_GAIN:
            continue
        ranked.append((abs(float(aim[0]) - light) + 2.5 * order, colour))
    return [colour for _, colour in sorted(ranked)]


# ---- the rim: what is object, what is ground ------------------------------------------------------------------------


def take_apart(image: np.ndarray, mask: np.ndarray) -> Cut:
    """Crop around the mask, estimate its soft edge, and free the rim's colour of the ground. Costs as the crop."""
    ys, xs = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    pad = max(12, round(0.08 * max(np.ptp(ys), np.ptp(xs))))
    y0, y1 = max(0, ys[0] - pad), min(mask.shape[0], ys[-1] + 1 + pad)
    x0, x1 = max(0, xs[0] - pad), min(mask.shape[1], xs[-1] + 1 + pad)
    inside = np.ascontiguousarray(mask[y0:y1, x0:x1])
    pixels = np.ascontiguousarray(image[y0:y1, x0:x1])
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    radius = rim_radius(lab, inside)
    core = _eroded(inside, radius)
    if core.sum() < 12:  # thinner than its rim: all of it is core
        core = inside
    front = _continued(lab, core, radius)
    ground = _continued(lab, ~_dilated(inside, radius), radius)
    alpha = _matte(lab, pixels, inside, front, ground, radius)
    expected = alpha * front[..., 0] + (1 - alpha) * ground[..., 0]
    # where nothing of the ground shines through, and on a glint no mixture explains, the pixel speaks for itself
    glint = _ramp(lab[..., 0] - expected, 8, 24) * inside
    alpha = np.maximum(alpha, glint)
    sure = np.maximum(_ramp(alpha, 0.7, 0.98), glint)[..., None]
    front = _shaded_like(lab, front, expected) * (1 - sure) + lab * sure
    return Cut((y0, y1, x0, x1), lab, front, alpha, inside, core)


def rim_radius(lab: np.ndarray, mask: np.ndarray) -> int:
    """Half width in px of the uncertain band along a mask's edge, on a crop of lab (h, w, 3), mask (h, w) bool.

    At least 0.8 % of the object (2..10 px), as a mask is no better; as wide as the edge is blurred or missed by the
    mask, at most 5 % (32 px). Read off the mean profile across the edge, from the inside's colour to the ground's.
    """
    ys, xs = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    size = max(np.ptp(ys), np.ptp(xs)) + 1
    least, most = int(np.clip(round(0.008 * size), 2, 10)), int(np.clip(round(0.05 * size), 2, 32))
    reach = 2 * most
    signed = np.rint(np.where(mask, _depth(mask) - 0.5, 0.5 - _depth(~mask)))
    near = np.abs(signed) <= reach
    at = (signed[near] + reach).astype(int)
    count = np.bincount(at, minlength=2 * reach + 1)
    if most <= least or (count < 8).mean() > 0.3:
        return least
    total = np.stack([np.bincount(at, channel, 2 * reach + 1) for channel in lab[near].T], 1)
    mean = total / np.maximum(count, 1)[:, None]
    ground, own = mean[: reach // 2].mean(0), mean[-reach // 2 :].mean(0)
    if np.linalg.norm(own - ground) < 10:  # Lab: no profile to speak of
        return least
    place = (mean - ground) @ (own - ground) / ((own - ground) ** 2).sum()
    # its steepest part: a blur of sigma px has slope 1 / (2.5 sigma); slow changes are the object's own
    steepest = float(np.diff(place)[reach - least - 2 : reach + least + 2].max())
    return int(np.clip(round(1.0 / max(steepest, 1e-3)), least, most))


def put_back(image: np.ndarray, cut: Cut, repainted: np.ndarray, weight: np.ndarray | float = 1.0) -> Painted:
    """Composite I + alpha weight (F' - F). repainted (h, w, 3) Lab; weight (h, w) 0..1 or one number."""
    alpha = np.where(cut.alpha * weight < 1 / 128, 0, cut.alpha * weight)[..., None]
    before, after = (cv2.cvtColor(x.astype(np.float32), cv2.COLOR_LAB2RGB) for x in (cut.front, repainted))
    y0, y1, x0, x1 = cut.window
    seen = image[y0:y1, x0:x1].astype(np.float32)
    mixed = seen + alpha * (np.clip(after, 0, 1) - np.clip(before, 0, 1)) * 255
    support = np.zeros(image.shape[:2], bool)
    support[y0:y1, x0:x1] = alpha[..., 0] > 0
    edited = image.copy()
    edited[y0:y1, x0:x1] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return Painted(edited, support)


def _matte(
    lab: np.ndarray, pixels: np.ndarray, mask: np.ndarray, front: np.ndarray, ground: np.ndarray, radius: int
) -> np.ndarray:
    """Alpha (h, w): the place of a pixel on the line ground -> front where the two differ, else a guided edge."""
    span = front - ground
    length = (span**2).sum(2)
    on_line = np.clip(((lab - ground) * span).sum(2) / np.maximum(length, 1), 0, 1)
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.7, radius / 3))
    guided = np.clip(cv2.ximgproc.guidedFilter(pixels, blurred, 2 * radius, 6.5**2, scale=min(1, 2 / radius)), 0, 1)
    telling = length / (length + 20.0**2)  # Lab distance 20: half trusted
    alpha = on_line * telling + guided * (1 - telling)
    # a colour like the object's far outside is the ground's own, and a ground colour deep inside is the object's
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    deep = _depth(mask)
    alpha = np.minimum(alpha, np.where(mask, 1, _ramp(radius + 1 - away, 0, 0.6 * radius)))
    return np.asarray(np.maximum(alpha, _ramp(deep, 0.3 * radius, radius + 1)), np.float32)


def _continued(lab: np.ndarray, known: np.ndarray, radius: int) -> np.ndarray:
    """Colours of the `known` pixels carried on over the others (normalised blur, then nearest further away)."""
    if known.all() or not known.any():
        return lab.copy()
    step = max(1, radius // 2)  # the blur hides what a coarser grid loses, and costs step^2 less on it
    size = (-(-lab.shape[1] // step), -(-lab.shape[0] // step))
    weight = known.astype(np.float32)
    fine = cv2.merge([lab * weight[..., None], weight])  # (h, w, 4)
    coarse = cv2.resize(fine, size, interpolation=cv2.INTER_AREA) if step > 1 else fine
    coarse = cv2.GaussianBlur(coarse, (0, 0), radius / step)
    total = coarse[..., 3:]
    small = np.where(total > 1e-3, coarse[..., :3] / np.maximum(total, 1e-3), lab[known].mean(0)).astype(np.float32)
    carried = cv2.resize(small, lab.shape[1::-1], interpolation=cv2.INTER_LINEAR) if step > 1 else small
    return np.where(known[..., None], lab, carried)


def _shaded_like(lab: np.ndarray, front: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Dim the carried-on colour where the rim is darker than any mixture: a contact shadow or an outline, not alpha."""
    dim = np.clip((lab[..., 0] + SHADE) / (expected + SHADE), 0.3, 1)[..., None]
    shaded = front * dim
    shaded[..., 0] = (front[..., 0] + SHADE) * dim[..., 0] - SHADE
    return shaded


# ---- the colour -----------------------------------------------------------------------------------------------------


def dominant(lab: np.ndarray) -> Dominant:
    """Dominant colour of (N, 3) Lab pixels: k-means of three in (damped L, a, b), vivid clusters counting more."""
    stride = max(1, len(lab) // 6000)
    sample = np.ascontiguousarray(lab[::stride], np.float32)
    sample = sample if len(sample) >= 3 else sample.repeat(3, 0)  # kmeans takes one row for three numbers
    damped = sample * np.array([0.4, 1, 1], np.float32)
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    start = np.zeros((len(sample), 1), np.int32)
    _, label, centre = cv2.kmeans(damped, 3, start, stop, 3, cv2.KMEANS_PP_CENTERS)
    size = np.bincount(label[:, 0], minlength=3)
    chroma = np.hypot(centre[:, 1], centre[:, 2])
    best = int((size * (1 + np.clip((chroma - 15) / 15, 0, 3))).argmax())
    if chroma[best] < ACHROMATIC:
        plain = sample[np.hypot(sample[:, 1], sample[:, 2]) < 2 * ACHROMATIC]
        return Dominant(np.median(plain, 0), len(plain) / len(sample), False)
    near = sample[_hue_distance(sample, centre[best]) * (np.hypot(sample[:, 1], sample[:, 2]) > 5) < 0.8]
    near = near[np.hypot(near[:, 1], near[:, 2]) > 5]
    return Dominant(np.median(near, 0), len(near) / len(sample), True)


def _belongs(lab: np.ndarray, found: Dominant) -> np.ndarray:
    """(h, w) 0..1: how far a pixel is of the dominant colour. A gray object gives up only its vivid parts."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    if not found.chromatic:
        return 1 - _ramp(chroma, 22, 34)
    other_hue = _ramp(_hue_distance(lab, found.lab), 0.70, 1.05)  # 40..60 degrees
    if found.share > 0.8:  # one colour: its gray shadows and sheen are the same paint
        return _smooth(1 - other_hue * _ramp(chroma, 8, 18))
    return _smooth((1 - other_hue) * _ramp(_relative_chroma(lab, found), 0.15, 0.40))


def aimed_lab(found: Dominant, colour: str) -> np.ndarray:
    """(3,) Lab that the dominant colour becomes: the lightness nearest to its own at which the new name still holds."""
    target = cv2.cvtColor(np.array([[COLOURS[colour]]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    aim = float(np.clip(found.lab[0], *NAMED_LIGHTNESS[colour]))
    return np.array([aim, *(target[1:] * (aim + SHADE) / (target[0] + SHADE))], np.float32)


def _named(lab: np.ndarray) -> set[str]:
    """Every word that either namer has for one Lab colour."""
    return {WORDS[int(words(lab[None])[0])] for words in (words_by_table, words_by_rules)}


def _repaint(lab: np.ndarray, core: np.ndarray, found: Dominant, colour: str) -> np.ndarray:
    """(h, w, 3) Lab in the new colour: lightness by one monotone curve, a and b of a matt surface plus its sheen."""
    target = aimed_lab(found, colour)
    light, reference, aim = lab[..., 0], float(np.clip(found.lab[0], 4, 96)), float(target[0])
    bright = float(np.percentile(light[core], 97))
    matt = _looked_up(_lightness_curve(reference, aim, bright), light)
    gloss = _gloss(lab, found)
    new_light = np.clip(np.maximum(matt, matt * (1 - gloss) + light * gloss), 0, 100)
    hue = np.arctan2(target[2], target[1])
    chroma = np.hypot(target[1], target[2]) * (matt + SHADE) / (target[0] + SHADE)
    chroma = np.minimum(chroma, GAMUT_MARGIN * _looked_up(_widest_chroma(hue), new_light)) * (1 - gloss)
    # a little of the object's own play of colour, or it looks like plastic
    own = 0.15 * (lab[..., 1:] - found.lab[1:] * ((light + SHADE) / (reference + SHADE))[..., None])
    own = np.clip(own, -6, 6) * np.clip(chroma / 30, 0, 1)[..., None]
    a, b = chroma * np.cos(hue) + own[..., 0], chroma * np.sin(hue) + own[..., 1]
    return np.dstack([new_light, a, b]).astype(np.float32)


def _lightness_curve(reference: float, aim: float, bright: float) -> PchipInterpolator:
    """Monotone L -> L': multiplicative (paint that reflects less or more) up to the `bright` end; white stays."""
    gain = (aim + SHADE) / (reference + SHADE)
    knots = {0.0: 0.0, reference: aim}
    for at in (0.5 * reference, max(bright, reference + 4)):
        if at < 97:
            knots[at] = float(np.clip((at + SHADE) * gain - SHADE, 0.25 * at * min(gain, 1), 96 + 0.03 * at))
    # a bright thing has no highlights of its own to save: its whites are its paint
    knots[100.0] = 100.0 if bright < 88 or gain > 1 else min(100.0, 116 * gain - SHADE + 6)
    lights = sorted(knots)
    return PchipInterpolator(lights, np.maximum.accumulate([knots[light] for light in lights]))


def _gloss(lab: np.ndarray, found: Dominant) -> np.ndarray:
    """(h, w) 0..1: mirror-like reflection, which shows the lamp's colour and not the paint's (dichromatic model)."""
    light = lab[..., 0]
    if not found.chromatic:  # nothing tells the lamp from a white paint but that it is far brighter
        return np.asarray(0.9 * _ramp(light, float(np.clip(found.lab[0] + 25, 90, 99)), 100) * (found.lab[0] < 80))
    washed = 1 - _ramp(_relative_chroma(lab, found), 0.15, 0.8)
    return np.asarray(washed * _ramp(light, found.lab[0], found.lab[0] + 30))


def _relative_chroma(lab: np.ndarray, found: Dominant) -> np.ndarray:
    """Chroma over the chroma that the dominant paint has at this lightness."""
    expected = np.hypot(*found.lab[1:]) * (lab[..., 0] + SHADE) / (found.lab[0] + SHADE)
    return np.asarray(np.hypot(lab[..., 1], lab[..., 2]) / np.maximum(expected, 1))


def _widest_chroma(hue: float) -> PchipInterpolator:
    """L -> the largest chroma of this hue (radians) that sRGB can show."""
    light = np.linspace(0, 100, 41, dtype=np.float32)
    chroma = np.arange(0, 134, 2, dtype=np.float32)
    grid = np.dstack(np.broadcast_arrays(light[:, None], chroma * np.cos(hue), chroma * np.sin(hue))).astype(np.float32)
    shown = cv2.cvtColor(cv2.cvtColor(grid, cv2.COLOR_LAB2RGB).clip(0, 1), cv2.COLOR_RGB2LAB)
    fits = np.abs(shown - grid).max(2) < 1.5
    return PchipInterpolator(light, chroma[np.maximum(fits.cumprod(1).sum(1) - 1, 0)])


def _looked_up(curve: PchipInterpolator, light: np.ndarray) -> np.ndarray:
    """curve(light) for L in 0..100 from a table of 1/20 steps; a photograph has millions of pixels."""
    table = curve(np.arange(0, 100.1, 0.05)).astype(np.float32)
    return np.asarray(table[np.clip(np.rint(light * 20), 0, len(table) - 1).astype(np.int16)])


def _hue_distance(lab: np.ndarray, other: np.ndarray) -> np.ndarray:
    turn = np.arctan2(lab[..., 2], lab[..., 1]) - np.arctan2(other[2], other[1])
    return np.asarray(np.abs((turn + np.pi) % (2 * np.pi) - np.pi))


def _ramp(value: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Smooth step from 0 at `start` to 1 at `stop`."""
    t = np.clip((value - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def _smooth(weight: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(weight.astype(np.float32), (0, 0), 1.0)


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """Erosion that treats the world beyond the photograph as object: a border is no edge."""
    return cv2.erode(mask.astype(np.uint8), disc(radius)) > 0


def _dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), disc(radius)) > 0


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance in px from a masked pixel to the ground; far where there is none."""
    if mask.all():
        return np.full(mask.shape, 1e3, np.float32)
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
