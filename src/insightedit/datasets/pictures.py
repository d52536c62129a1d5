"""Pictures of a dataset: from a file, from bytes, and the two of a pair brought to one size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from insightedit.core.errors import Unfit
from insightedit.core.image import Limits, decode, fit_within
from insightedit.core.mask import Mask

LIMITS = Limits(min_side=8)  # datasets hold what they hold; anything a model can be shown
BEHIND = (255, 255, 255)  # where a picture is transparent
SKEW = 0.03  # relative difference of aspect ratios that rounding sides down to multiples of 8 explains


def read(path: Path) -> np.ndarray:
    """A file -> (H, W, 3) uint8 RGB, upright.

    Raises:
        Unfit: missing_file, or as `core.image.decode`.
    """
    try:
        if path.stat().st_size > LIMITS.max_bytes:
            raise Unfit("too_many_bytes", str(path.stat().st_size), f"at most {LIMITS.max_bytes}")
        data = path.read_bytes()
    except OSError as error:
        raise Unfit("missing_file", f"{path}: {error.strerror}", "an image file") from error
    return decode(data, LIMITS, BEHIND)[0]


def read_bytes(data: Any) -> np.ndarray:
    """The bytes of a file -> (H, W, 3) uint8 RGB; `datasets`' struct {bytes, path} is taken as well.

    Raises:
        Unfit: no_image_bytes, or as `core.image.decode`.
    """
    if isinstance(data, dict):
        data = data.get("bytes")
    if not isinstance(data, bytes):
        raise Unfit("no_image_bytes", type(data).__name__, "the bytes of an image file inside the row")
    return decode(data, LIMITS, BEHIND)[0]


def paired(source: np.ndarray, target: np.ndarray, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures at the size of the smaller one, or at `max_side` px (0 = no limit) if that is smaller still.

    AdvancedEdit pairs a photograph of 5616 x 3744 px with a target of 960 x 640.

    Raises:
        Unfit: sizes_differ, where the aspect ratios say that these are not two sides of one picture.
    """
    (height, width), (other_height, other_width) = source.shape[:2], target.shape[:2]
    if abs(width * other_height / (height * other_width) - 1) > SKEW:
        raise Unfit("sizes_differ", f"{width} x {height} and {other_width} x {other_height}", "one aspect ratio")
    source, target = fit_within(source, max_side), fit_within(target, max_side)
    if source.shape[0] * source.shape[1] <= target.shape[0] * target.shape[1]:
        return source, resized(target, source.shape[1], source.shape[0])
    return resized(source, target.shape[1], target.shape[0]), target


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3), Lanczos."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def mask_at(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(h, w) bool -> (H, W) bool of `image`'s size, nearest neighbour."""
    if mask.shape == image.shape[:2]:
        return mask
    return Mask.of(mask).resized(image.shape[1], image.shape[0]).full()
