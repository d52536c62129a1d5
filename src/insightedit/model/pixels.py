"""Pictures to tensors and back: the working size, what the VAE sees, what CLIP sees.

Source and vision input are squashed from the same whole picture, so their grids stay aligned at any aspect ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from insightedit.core.errors import InputError, Unfit
from insightedit.core.image import rgb_pixels
from insightedit.model.config import CLIP_MEAN, CLIP_STD

MIN_SIDE = 16  # px: below this there is nothing to edit
MAX_PIXELS = 100_000_000


def picture(image: object) -> Image.Image:
    """A PIL image or uint8 (H, W, 3) array -> upright opaque RGB.

    Raises:
        InputError: it is neither, one can see through it, or it is too small or too large.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"cannot edit an array of {image.dtype} {image.shape}", "pictures are uint8 (H, W, 3) RGB",
                             "Convert it, or pass a PIL image")  # fmt: skip
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise InputError(f"cannot edit a {type(image).__name__}", "it is no picture", "Pass PIL images or uint8 arrays")
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise InputError("cannot edit an animation", f"it has {getattr(image, 'n_frames', 1)} frames", "Pass one frame")
    width, height = image.size
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        raise InputError(f"cannot edit a picture of {width} x {height}",
                         f"sides of at least {MIN_SIDE} px and at most {MAX_PIXELS // 10**6} megapixels are taken",
                         "Resize it")  # fmt: skip
    try:
        return Image.fromarray(rgb_pixels(image))
    except Unfit as unfit:
        mend = f"Give {unfit.wanted}; a transparent one can be flattened onto a colour first"
        raise InputError("cannot edit this picture", f"{unfit.reason}: {unfit.seen}", mend) from unfit


def working_size(width: int, height: int, resolution: int, multiple: int, square: bool) -> tuple[int, int]:
    """(width, height) in px to work at: about resolution^2 pixels, the aspect ratio kept, multiples of `multiple`.

    With `square` it is resolution x resolution whatever the picture is, as SmartEdit does.
    """
    if square:
        width = height = resolution
    scale = resolution / (width * height) ** 0.5
    near = [max(multiple, round(side * scale / multiple) * multiple) for side in (width, height)]
    return near[0], near[1]


def source_pixels(images: Sequence[Image.Image], size: tuple[int, int]) -> torch.Tensor:
    """Squash to (width, height) -> (B, 3, H, W) in [-1, 1]."""
    return _stack([image.resize(size, Image.Resampling.BICUBIC) for image in images]) * 2 - 1


def vision_pixels(images: Sequence[Image.Image], side: int) -> torch.Tensor:
    """Squash to a square, no crop -> (B, 3, side, side), CLIP-normalised."""
    pixels = _stack([image.resize((side, side), Image.Resampling.BICUBIC) for image in images])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (pixels - mean) / std


def pictures(pixels: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1], one (width, height) each -> PIL images of those sizes."""
    bytes_ = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    images = [Image.fromarray(array) for array in bytes_]
    return [
        one if one.size == size else one.resize(size, Image.Resampling.LANCZOS)
        for one, size in zip(images, sizes, strict=True)
    ]


def _stack(images: Sequence[Image.Image]) -> torch.Tensor:
    arrays = np.stack([np.asarray(image, dtype=np.float32) for image in images]) / 255  # (B, H, W, 3)
    return torch.from_numpy(arrays).permute(0, 3, 1, 2)
