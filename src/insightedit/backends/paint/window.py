"""Where to crop, so that a network of 512 px edits a 2K photograph: a window around the hole, and what is seen in it.

The network works on `side` x `side` pixels, or on as many in another shape: networks of this kind are trained on a
fixed number of pixels, whatever the aspect, and memory goes with that number. A fixed short side would need four times
the memory for a window of 4 : 1, a fixed long side would give it a quarter of the detail. Windows are square wherever
the photograph has room, so that canvases of different objects go through the network in one batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import Box, Mask, grow, growth_px


class WindowKnobs(Knobs):
    """How far the hole reaches beyond the object, and the window beyond the hole.

    `grow_share` is of the object's size (root of its area); `grow_least_px` are px of the canvas, so of the network: a
    latent cell is 8 of them, and a hole that ends inside a cell keeps the object's rim. `context_share` is of the
    longer side of the hole's box, on each side; `context_least_px` px of the photograph. `max_zoom` bounds how much a
    small object is enlarged: by widening the window, since a network paints a blurred crop blurred.
    """

    grow_share: float = Field(default=0.1, ge=0, le=2)
    grow_least_px: int = Field(default=12, ge=1, le=256)
    context_share: float = Field(default=0.5, ge=0, le=8)
    context_least_px: int = Field(default=32, ge=0, le=4096)
    max_zoom: float = Field(default=2.0, ge=1, le=16)


@dataclass(frozen=True)
class Window:
    """A part of the photograph and the size at which the network sees it.

    Attributes:
        box: x0, y0, x1, y1 in px of the photograph, half-open.
        width, height: of the canvas in px, multiples of the network's.
    """

    box: Box
    width: int
    height: int

    @property
    def zoom(self) -> float:
        """Canvas px per photograph px."""
        x0, y0, x1, y1 = self.box
        return math.sqrt(self.width * self.height / ((x1 - x0) * (y1 - y0)))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the box in an array (H, W, ...)."""
        x0, y0, x1, y1 = self.box
        return slice(y0, y1), slice(x0, x1)


@dataclass(frozen=True, eq=False)
class Cutting:
    """A hole and the window around it.

    Attributes:
        hole: the object's mask, grown.
        window: contains the hole.
        growth: px of the photograph between the object's mask and the hole's rim.
    """

    hole: Mask
    window: Window
    growth: int


def cut(mask: Mask, side: int, multiple: int, knobs: WindowKnobs = WindowKnobs()) -> Cutting:
    """The hole and the window for an object.

    Args:
        mask: the object, in the photograph's frame.
        side: the network's working side in px.
        multiple: of which the canvas's sides are.
        knobs: growth and context.

    Raises:
        Unfit: empty_mask.
    """
    if not mask.area:
        raise Unfit("empty_mask", "no pixel", "an object with a mask")
    growth = growth_px(mask, knobs.grow_share, 1, max(mask.width, mask.height))
    hole = grow(mask, growth)
    window = around(hole, side, multiple, knobs)
    while growth < (least := math.ceil(knobs.grow_least_px / window.zoom)):
        growth, hole = least, grow(mask, least)  # ends: the window, and so a canvas px, is at most the whole frame
        window = around(hole, side, multiple, knobs)
    return Cutting(hole, window, growth)


def around(hole: Mask, side: int, multiple: int, knobs: WindowKnobs = WindowKnobs()) -> Window:
    """The window around a hole: it contains the hole and lies inside the photograph.

    Args:
        hole: not empty.
        side, multiple: as in `cut`.
        knobs: its context and zoom are read.
    """
    x0, y0, x1, y1 = hole.box
    longer = max(x1 - x0, y1 - y0)
    context = max(knobs.context_least_px, math.ceil(knobs.context_share * longer))
    wanted = max(longer + 2 * context, math.ceil(side / knobs.max_zoom))
    left, right = _span(x0, x1, wanted, hole.width)
    top, bottom = _span(y0, y1, wanted, hole.height)
    width, height = _canvas(right - left, bottom - top, side, multiple)
    return Window((left, top, right, bottom), width, height)


def _span(start: int, end: int, wanted: int, limit: int) -> tuple[int, int]:
    """`wanted` px around start..end, shifted to lie in 0..limit; all of it where it is shorter."""
    length = min(wanted, limit)
    low = (start + end - length) // 2
    low = min(max(low, 0), limit - length)
    return low, low + length


def _canvas(width: int, height: int, side: int, multiple: int) -> tuple[int, int]:
    """Sides with about side x side pixels in the window's aspect; each is rounded by less than half a multiple."""
    scale = side / math.sqrt(width * height)

    def rounded(length: int) -> int:
        return max(1, round(length * scale / multiple)) * multiple

    return rounded(width), rounded(height)


def view(image: np.ndarray, cutting: Cutting) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees.

    Args:
        image: the photograph, uint8 RGB (H, W, 3).
        cutting: of `cut`, for this photograph.

    Returns:
        The canvas's image, uint8 RGB (h, w, 3), and hole, bool (h, w), which holds every pixel that the hole touches.
    """
    window = cutting.window
    size = (window.width, window.height)
    seen = resized(image[window.slices], size)  # (h, w, 3)
    crop = part(cutting.hole, window.box).astype(np.float32)
    shrinks = window.width <= crop.shape[1] and window.height <= crop.shape[0]
    hole = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR) > 0  # (h, w)
    return seen, hole


def part(mask: Mask, box: Box) -> np.ndarray:
    """The part of a mask inside a box, bool (h, w), without making the whole frame."""
    x0, y0, x1, y1 = box
    left, top, right, bottom = mask.box
    out = np.zeros((y1 - y0, x1 - x0), bool)
    a, b, c, d = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
    if a < c and b < d:
        out[b - y0 : d - y0, a - x0 : c - x0] = mask.crop[b - top : d - top, a - left : c - left]
    return out


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) at (width, height), Lanczos; the same array where it has that size."""
    if image.shape[1::-1] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
