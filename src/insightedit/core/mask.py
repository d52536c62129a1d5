"""Masks: a bool crop with its place in the frame; COCO RLE and polygons; growing that respects the border.

A mask of a 21-megapixel photograph is kept as the crop around the object. Growing a crop costs what the object costs,
not what the frame costs; writing it back into the frame would take longer than the growing itself (offline.md 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from insightedit.core.errors import Unfit

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in px, half-open


@dataclass(frozen=True, eq=False)
class Mask:
    """A binary mask: `crop` bool (h, w) at (`left`, `top`) of a frame of `width` x `height` px."""

    crop: np.ndarray
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, full: np.ndarray) -> Mask:
        """From a bool (H, W) array; an empty mask keeps an empty crop."""
        height, width = full.shape
        rows, columns = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
        if not len(rows):
            return cls(np.zeros((0, 0), bool), 0, 0, width, height)
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        return cls(full[top:bottom, left:right].astype(bool), left, top, width, height)

    def full(self) -> np.ndarray:
        """bool (H, W)."""
        frame = np.zeros((self.height, self.width), bool)
        frame[self.top : self.top + self.crop.shape[0], self.left : self.left + self.crop.shape[1]] = self.crop
        return frame

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.crop))

    @property
    def share(self) -> float:
        """Share of the frame, 0..1."""
        return self.area / (self.width * self.height)

    @property
    def box(self) -> Box:
        """The crop's box; the smallest one around the mask when the mask came from `of` or an RLE."""
        return self.left, self.top, self.left + self.crop.shape[1], self.top + self.crop.shape[0]

    @property
    def border_share(self) -> float:
        """Share of the crop's outline that lies on the frame's border, 0..1; how much the frame cuts the object."""
        if not self.area:
            return 0.0
        x0, y0, x1, y1 = self.box
        sides = ((x0 == 0, self.crop[:, 0]), (x1 == self.width, self.crop[:, -1]))
        ends = ((y0 == 0, self.crop[0]), (y1 == self.height, self.crop[-1]))
        touching = sum(int(np.count_nonzero(line)) for on, line in (*sides, *ends) if on)
        return touching / (2 * (x1 - x0) + 2 * (y1 - y0))

    def rle(self) -> dict[str, Any]:
        """Compressed COCO RLE of the full frame: {"size": [H, W], "counts": str}."""
        code = coco.encode(np.asfortranarray(self.full().astype(np.uint8)))
        return {"size": [self.height, self.width], "counts": code["counts"].decode("ascii")}

    @classmethod
    def from_rle(cls, rle: dict[str, Any]) -> Mask:
        """From a COCO RLE, compressed (counts: str or bytes) or not (counts: list).

        Raises:
            Unfit: malformed_rle.
        """
        return cls.of(coco.decode(compressed(rle)).astype(bool))

    @classmethod
    def from_polygons(cls, polygons: Sequence[Sequence[float]], width: int, height: int) -> Mask:
        """Union of polygons [x1, y1, x2, y2, ...] in px of a `width` x `height` frame, rasterised as COCO does.

        Raises:
            Unfit: malformed_polygon; pycocotools crashes on points far away and on NaN.
        """
        reach = max(width, height)
        if not all(-reach <= value <= 2 * reach for polygon in polygons for value in polygon):
            raise Unfit("malformed_polygon", "points far outside the frame", f"points of {width} x {height} px")
        parts = coco.frPyObjects([list(map(float, polygon)) for polygon in polygons], height, width)
        return cls.of(coco.decode(coco.merge(parts)).astype(bool))

    def resized(self, width: int, height: int) -> Mask:
        """The same mask in a frame of another size (nearest neighbour)."""
        if (width, height) == (self.width, self.height):
            return self
        full = cv2.resize(self.full().view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        return Mask.of(full.astype(bool))


def compressed(rle: dict[str, Any]) -> dict[str, Any]:
    """A COCO RLE of either kind as a compressed one ({"size": [H, W], "counts": bytes}) that fills its frame exactly.

    Checked here because pycocotools reads and shows foreign memory where the runs are too few.

    Raises:
        Unfit: malformed_rle.
    """
    try:
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"]
        if isinstance(counts, list):
            counts = coco.frPyObjects({"counts": counts, "size": [height, width]}, height, width)["counts"]
        elif isinstance(counts, str):
            counts = counts.encode("ascii")
        runs = _runs(counts)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise Unfit("malformed_rle", str(error)[:120], "COCO run-length code") from error
    if not 0 < min(height, width) <= max(height, width) < 1 << 24 or runs.min() < 0 or runs.sum() != height * width:
        raise Unfit("malformed_rle", f"runs of {runs.sum()} px", f"the {height} x {width} px of its size")
    return {"size": [height, width], "counts": counts}


def _runs(counts: bytes) -> np.ndarray:
    """int64 (N,): the runs of a compressed RLE.

    A run is written 5 bits a character, the lowest first, and from the fourth on as its difference to the last but one.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(~codes & 32)  # characters without the "more follows" bit
    if not len(ends) or ends[-1] != len(codes) - 1 or codes.min() < 0 or codes.max() > 63:
        raise ValueError("counts end early or hold a character that no count is made of")
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if places.max() > 7:  # 40 bits
        raise ValueError("a run is too long")
    steps = np.add.reduceat((codes & 31) << 5 * places, starts)
    steps -= ((codes[ends] & 16) != 0) * (np.int64(1) << 5 * (places[ends] + 1))  # the sign
    runs = steps.copy()
    runs[1::2], runs[2::2] = np.cumsum(steps[1::2]), np.cumsum(steps[2::2])
    return runs


def grow(mask: Mask, out_px: int, back_px: int = 0) -> Mask:
    """Dilate by a square of `out_px`, then erode by `back_px`; border-safe.

    Equal to scipy's `binary_dilation` with a 5 x 5 element iterated out_px / 2 times and `binary_erosion` iterated
    back_px / 2 times (InsightEdit's official step 3: 80 and 30 px), except at the frame's border: what lies outside the
    frame counts as unknown rather than as background, so an object cut by the frame keeps touching it (data.md 2).
    Growing by out_px >= back_px never loses a pixel.
    """
    if not mask.area:
        return mask
    x0, y0 = max(0, mask.left - out_px), max(0, mask.top - out_px)
    x1 = min(mask.width, mask.left + mask.crop.shape[1] + out_px)
    y1 = min(mask.height, mask.top + mask.crop.shape[0] + out_px)
    crop = np.zeros((y1 - y0, x1 - x0), np.uint8)
    top, left = mask.top - y0, mask.left - x0
    crop[top : top + mask.crop.shape[0], left : left + mask.crop.shape[1]] = mask.crop
    grown = cv2.dilate(crop, _square(out_px), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if back_px:
        grown = _erode_inside(grown, back_px, x0 == 0, y0 == 0, x1 == mask.width, y1 == mask.height)
    return Mask(grown.astype(bool), x0, y0, mask.width, mask.height)


def _square(radius: int) -> np.ndarray:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def disc(radius: int) -> np.ndarray:
    """Structuring element uint8 (2 radius + 1, 2 radius + 1): a filled circle."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _erode_inside(crop: np.ndarray, radius: int, left: bool, top: bool, right: bool, bottom: bool) -> np.ndarray:
    """Erode with background beyond the sides of the crop, but not beyond those sides that are the frame's border."""
    above, below, before, after = (radius * (not side) for side in (top, bottom, left, right))
    padded = cv2.copyMakeBorder(crop, above, below, before, after, borderType=cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, _square(radius), borderType=cv2.BORDER_CONSTANT, borderValue=255)
    return eroded[above : eroded.shape[0] - below, before : eroded.shape[1] - after]


def growth_px(mask: Mask, share: float, least: int, most: int) -> int:
    """How far to grow: `share` of the object's size (root of its area), within `least`..`most` px.

    Relative to the object, because an absolute 50 px is 1 % of a 5K photograph and 8 % of a 640-px one (data.md 2).
    """
    return int(np.clip(round(share * mask.area**0.5), least, most))
