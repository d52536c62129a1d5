"""Name the colour of a masked object with a basic colour word, or abstain.

Two namers vote pixel by pixel: the nearest of a small table of named Lab prototypes, and rules on hue, chroma and
lightness. Either alone is right for about four objects in five; where both agree it is nine in ten, so a colour is
stated only then. Vivid pixels weigh more, because people name a red cup with a white rim "red".
"""

from functools import lru_cache

import cv2
import numpy as np

WORDS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "beige", "black", "white", "gray")
MIN_SHARE, MIN_SECOND = 0.5, 0.45  # of the votes of the table and of the rules
MAX_PIXELS = 4000  # votes settle long before; keeps the cost independent of the photograph's size
NEIGHBOURS = 3

# (word, sRGB) anchors, written by hand: a focal colour of each basic term (Berlin & Kay 1969) and the light, dark and
# dull neighbours that people still call by it, with shaded whites and dark greens, the usual slips of nearest-focal.
PROTOTYPES: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("red", (200, 20, 30)), ("red", (150, 15, 20)), ("red", (225, 60, 55)), ("red", (120, 20, 25)),
    ("red", (175, 50, 45)),
    ("orange", (245, 130, 30)), ("orange", (225, 95, 25)), ("orange", (250, 165, 90)), ("orange", (205, 100, 45)),
    ("orange", (240, 178, 125)),
    ("yellow", (245, 220, 40)), ("yellow", (215, 185, 40)), ("yellow", (250, 240, 140)), ("yellow", (195, 175, 75)),
    ("green", (30, 140, 50)), ("green", (20, 75, 35)), ("green", (120, 190, 90)), ("green", (110, 125, 45)),
    ("green", (60, 95, 60)), ("green", (160, 205, 60)), ("green", (30, 150, 125)), ("green", (150, 160, 85)),
    ("blue", (30, 70, 190)), ("blue", (20, 35, 95)), ("blue", (80, 160, 220)), ("blue", (150, 190, 225)),
    ("blue", (60, 95, 140)), ("blue", (40, 150, 180)), ("blue", (20, 90, 110)),
    ("purple", (120, 50, 150)), ("purple", (75, 35, 95)), ("purple", (165, 120, 200)), ("purple", (95, 70, 150)),
    ("purple", (140, 40, 120)),
    ("pink", (245, 140, 180)), ("pink", (230, 60, 140)), ("pink", (240, 180, 185)), ("pink", (205, 110, 130)),
    ("pink", (235, 140, 135)),
    ("brown", (120, 75, 40)), ("brown", (75, 45, 28)), ("brown", (150, 100, 60)), ("brown", (105, 55, 40)),
    ("brown", (135, 105, 75)), ("brown", (100, 80, 45)),
    ("beige", (215, 190, 150)), ("beige", (185, 160, 120)), ("beige", (235, 215, 185)), ("beige", (205, 165, 125)),
    ("black", (8, 8, 8)), ("black", (35, 33, 32)), ("black", (22, 28, 26)), ("black", (40, 30, 26)),
    ("white", (252, 252, 250)), ("white", (228, 228, 226)), ("white", (240, 234, 222)), ("white", (222, 230, 238)),
    ("gray", (128, 128, 128)), ("gray", (75, 75, 77)), ("gray", (180, 180, 178)), ("gray", (110, 118, 128)),
    ("gray", (140, 132, 122)), ("gray", (165, 172, 178)), ("gray", (92, 86, 80)), ("gray", (200, 199, 196)),
)  # fmt: skip


def name_colour(image: np.ndarray, mask: np.ndarray) -> tuple[str | None, float]:
    """The basic colour word of the object and its share of the votes in 0..1.

    image (H, W, 3) uint8 RGB, mask (H, W) bool. The word is None where the two namers disagree, where the share is
    under MIN_SHARE or where the mask is empty: a wrong colour in an instruction is worse than none.
    """
    lab = inner_lab(image, mask)
    return _stated(lab) if len(lab) else (None, 0.0)


def _stated(lab: np.ndarray) -> tuple[str | None, float]:
    weights = _vividness(lab)
    by_table, share = _winner(words_by_table(lab), weights)
    by_rules, second = _winner(words_by_rules(lab), weights)
    agreed = by_table == by_rules and share >= MIN_SHARE and second >= MIN_SECOND
    return (WORDS[by_table] if agreed else None), share


def share_named(image: np.ndarray, mask: np.ndarray, word: str) -> float:
    """Share 0..1 of the object's votes that either namer gives to `word`; the mean of the two."""
    lab = inner_lab(image, mask)
    if len(lab) == 0:
        return 0.0
    weights, index = _vividness(lab), WORDS.index(word)
    votes = ((words_by_table(lab) == index) * weights, (words_by_rules(lab) == index) * weights)
    return float(sum(v.sum() for v in votes) / (2 * weights.sum()))


def inner_lab(image: np.ndarray, mask: np.ndarray, limit: int = MAX_PIXELS) -> np.ndarray:
    """(N, 3) CIE Lab of at most `limit` pixels inside the mask, off its rim, evenly spread in scan order."""
    ys, xs = np.nonzero(mask)
    if len(ys) == 0:
        return np.zeros((0, 3), np.float32)
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    inside = mask[y0:y1, x0:x1].astype(np.uint8)
    radius = max(1, int(0.02 * np.sqrt(len(ys))))
    core = cv2.erode(inside, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0
    pixels = image[y0:y1, x0:x1][core if core.sum() >= 50 else inside > 0]
    # a golden-ratio stride visits the object evenly and never in step with a pattern on it
    if len(pixels) > limit:
        pixels = pixels[(np.arange(limit) * 0.6180339887 % 1 * len(pixels)).astype(int)]
    return np.asarray(cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0])


def words_by_table(lab: np.ndarray) -> np.ndarray:
    """(N,) index into WORDS: weighted vote of the nearest prototypes. lab (N, 3)."""
    anchors, words = _table()
    squared = ((lab[:, None] - anchors[None]) ** 2).sum(2)  # (N, P)
    nearest = np.argpartition(squared, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    votes = np.zeros((len(lab), len(WORDS)), np.float32)
    for k in range(NEIGHBOURS):
        rows = np.arange(len(lab))
        votes[rows, words[nearest[:, k]]] += 1 / (squared[rows, nearest[:, k]] + 16)
    return np.asarray(votes.argmax(1))


def words_by_rules(lab: np.ndarray) -> np.ndarray:
    """(N,) index into WORDS from hue sectors (degrees in the a, b plane), split by lightness and chroma."""
    light, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    pale = _by(chroma > 45, "orange", "pink")
    peach, olive = (chroma > 36) & (light > 66), _by(hue > 80, "green", "brown")
    dull = chroma < np.where(light < 80, 13, 10)
    rules: list[tuple[np.ndarray, str | np.ndarray]] = [
        ((light < 14) | ((light < 22) & (chroma < 18)), "black"),
        (dull & (light > 80), "white"),
        (dull & (light < 22), "black"),
        (dull, "gray"),
        ((hue < 10) | (hue >= 345), _by(light > 52, "pink", _by(chroma > 28, "red", "brown"))),
        (hue < 45, _by((chroma > 38) & (light < 60), "red", _by(light > 62, pale, "brown"))),
        (hue < 72, _by(((chroma > 48) & (light > 45)) | peach, "orange", _by(light > 66, "beige", "brown"))),
        (hue < 90, _by((chroma > 48) & (light > 60), "yellow", _by(light > 62, "beige", olive))),
        (hue < 108, _by((light > 60) & (chroma > 30), "yellow", _by((light > 72), "beige", "green"))),
        (hue < 200, "green"),
        (hue < 292, "blue"),
        (hue < 328, "purple"),
        (light > -1, _by(light > 48, "pink", "purple")),
    ]
    words = [_index(word, len(lab)) for _, word in rules]
    return np.select([condition for condition, _ in rules], words)


def _by(condition: np.ndarray, yes: str | np.ndarray, no: str | np.ndarray) -> np.ndarray:
    return np.where(condition, _index(yes, len(condition)), _index(no, len(condition)))


def _index(word: str | np.ndarray, count: int) -> np.ndarray:
    return np.full(count, WORDS.index(word)) if isinstance(word, str) else word


def _vividness(lab: np.ndarray) -> np.ndarray:
    """(N,) vote weights: chroma 25 and less counts once, 75 and more five times; deep shadow, hardly a colour, half."""
    vivid = 1 + 2 * np.clip((np.hypot(lab[:, 1], lab[:, 2]) - 25) / 25, 0, 2)
    return np.asarray(vivid * np.where(lab[:, 0] < 18, 0.5, 1))


def _winner(votes: np.ndarray, weights: np.ndarray) -> tuple[int, float]:
    total = np.bincount(votes, weights, minlength=len(WORDS))
    return int(total.argmax()), float(total.max() / total.sum())


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    """The prototypes as (P, 3) Lab and (P,) indices into WORDS."""
    rgb = np.array([[rgb for _, rgb in PROTOTYPES]], np.float32) / 255
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0], np.array([WORDS.index(word) for word, _ in PROTOTYPES])
