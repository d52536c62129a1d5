"""The sizes at which the authors of each editor ran it, as pure functions: (width, height) in px -> (width, height).

Sources: `edit_cli.py` of InstructPix2Pix (MagicBrush and InstructDiffusion use the same rule), SmartEdit's test script,
diffusers' pipelines. Numbers are facts of these files; the code is ours.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageOps

from insightedit.core.errors import InputError

Size = tuple[int, int]  # (width, height) in px, Pillow's order

INSTRUCT_PIX2PIX_STEP = 64  # px; sides are multiples of it
LONGEST = 8  # times the resolution: what a long thin picture may grow to before it is refused


def instruct_pix2pix(size: Size, resolution: int = 512) -> Size:
    """InstructPix2Pix: scaled to a longer side of `resolution`, then until the shorter is the next multiple of 64.

    Both sides are then rounded down to multiples of 64.

    Raises:
        InputError: so long and thin that its longer side would exceed 8 x `resolution`.
    """
    width, height = size
    factor = resolution / max(width, height)
    factor = math.ceil(min(width, height) * factor / INSTRUCT_PIX2PIX_STEP) * INSTRUCT_PIX2PIX_STEP / min(width, height)
    wanted = (_floor(int(width * factor), INSTRUCT_PIX2PIX_STEP), _floor(int(height * factor), INSTRUCT_PIX2PIX_STEP))
    return _not_too_long(wanted, size, LONGEST * resolution)


def squash(resolution: int = 256) -> Size:
    """SmartEdit: a square, whatever the aspect ratio was."""
    return resolution, resolution


def floored(size: Size, multiple: int) -> Size:
    """As it is, each side rounded down to a multiple (at least one)."""
    return _floor(size[0], multiple), _floor(size[1], multiple)


def about(size: Size, pixels: int, multiple: int) -> Size:
    """The same aspect ratio at about `pixels` in all, each side rounded to a multiple (at least one).

    Raises:
        InputError: so long and thin that its longer side would exceed 8 times the square root of `pixels`.
    """
    width, height = size
    factor = math.sqrt(pixels / (width * height))
    rounded = [max(multiple, round(side * factor / multiple) * multiple) for side in (width, height)]
    return _not_too_long((rounded[0], rounded[1]), size, LONGEST * max(multiple, round(math.sqrt(pixels))))


def fit(image: np.ndarray, size: Size) -> np.ndarray:
    """Scale to cover `size` and crop the middle, Lanczos; (H, W, 3) -> (height, width, 3)."""
    return np.asarray(ImageOps.fit(Image.fromarray(image), size, method=Image.Resampling.LANCZOS))


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Scale both sides to `size`, Lanczos; (H, W, 3) -> (height, width, 3)."""
    if size_of(image) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def size_of(image: np.ndarray) -> Size:
    """(H, W, 3) -> (width, height)."""
    return image.shape[1], image.shape[0]


def _floor(side: int, multiple: int) -> int:
    return max(multiple, side // multiple * multiple)


def _not_too_long(wanted: Size, given: Size, longest: int) -> Size:
    if max(wanted) > longest:
        seen = f"{given[0]} x {given[1]} would be edited at {wanted[0]} x {wanted[1]}, the longest side is {longest}"
        raise InputError("the picture is too long and thin", seen, "Crop it, or edit it in parts")
    return wanted
