"""Images: safe decoding, resizing, and the encoding of a pair from one RGB buffer."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps

from insightedit.core.errors import BackendError, InputError, Unfit

# Decoders that run no other program (no PostScript, no PDF) and that photographs come in. MPO, the JPEG of many phones,
# is opened by JPEG's; naming it here would be a KeyError in Pillow for every format behind it.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".jp2"})
OUTPUTS = frozenset({".png", ".jpg", ".jpeg", ".webp"})  # what `encode` writes
JPEG_BLOCK = 8  # px: without chroma subsampling a JPEG block is 8 x 8, so a change spreads no further


@dataclass(frozen=True)
class Limits:
    """What a photograph may be: bytes of the file, pixels of the frame, shorter side in px."""

    max_bytes: int = 64_000_000
    max_pixels: int = 100_000_000
    min_side: int = 200


Colour = tuple[int, int, int]  # RGB, 0..255

MENDS = {
    "empty_file": "Fetch or save the file again",
    "truncated": "Fetch or save the file again",
    "not_an_image": "Give a picture: JPEG, PNG, WebP, TIFF, BMP, GIF or JPEG 2000",
    "too_many_bytes": "Save it smaller",
    "too_many_pixels": "Shrink it first",
    "too_small": "Use a larger picture",
    "animated": "Save the one frame that you mean",
    "transparent": "Flatten it onto a colour: --background white",
}


def read(path: Path, limits: Limits = Limits(), background: Colour | None = None) -> np.ndarray:
    """A file the user named -> uint8 RGB (H, W, 3), upright; see `decode`.

    Args:
        path: the file.
        limits: what is accepted.
        background: a transparent picture is laid on this colour; None refuses it.

    Raises:
        InputError: the file is missing or unreadable, or unfit for one of the reasons of `decode`, each with its mend.
    """
    try:
        if not path.is_file():
            raise InputError(f"cannot read {path}", "there is no such file", "Check the path")
        if path.stat().st_size > limits.max_bytes:
            raise Unfit("too_many_bytes", str(path.stat().st_size), f"at most {limits.max_bytes}")
        return decode(path.read_bytes(), limits, background)[0]
    except Unfit as error:
        what = f"cannot use {path}"
        raise InputError(what, f"{error.reason} ({error.seen}; wanted: {error.wanted})", MENDS[error.reason]) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"cannot read {path}", why, "Check the path and its rights") from error


def decode(
    data: bytes, limits: Limits = Limits(), background: Colour | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Bytes of a file -> uint8 RGB (H, W, 3), turned upright, and (width, height) as seen upright.

    CMYK, greyscale, palette and 16-bit images become 8-bit RGB; an embedded colour profile is converted to sRGB; alpha
    is dropped where it is opaque; a transparent picture is laid on `background` if one is given. Sizes are checked from
    the header, before any pixel is decoded.

    Raises:
        Unfit: empty_file, too_many_bytes, not_an_image, too_many_pixels, too_small, animated, truncated, transparent.
    """
    if not data:
        raise Unfit("empty_file", "0 bytes", "an image file")
    if len(data) > limits.max_bytes:
        raise Unfit("too_many_bytes", str(len(data)), f"at most {limits.max_bytes}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's bomb warning: the limit below is ours, and an error
        image = _open(data)
        _check_header(image, limits)
        return rgb_pixels(image, background), _upright_size(image)


def _open(data: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Unfit("too_many_pixels", str(error)[:200], "fewer pixels") from error
    except Exception as error:  # every decoder raises its own kind on hostile bytes; all mean the same here
        raise Unfit("not_an_image", f"{type(error).__name__}: {error}"[:200], "one of " + ", ".join(FORMATS)) from error


def _check_header(image: ImageFile.ImageFile, limits: Limits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise Unfit("too_many_pixels", f"{width} x {height}", f"at most {limits.max_pixels} pixels")
    if min(width, height) < limits.min_side:
        raise Unfit("too_small", f"{width} x {height}", f"a shorter side of at least {limits.min_side} px")
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # an MPO's further frames are previews of a photo
        raise Unfit("animated", f"{getattr(image, 'n_frames', 1)} frames", "a single picture")


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if image.getexif().get(0x0112) in (5, 6, 7, 8) else (width, height)


def rgb_pixels(image: Image.Image, background: Colour | None = None) -> np.ndarray:
    """An opened picture -> uint8 RGB (H, W, 3), turned upright; see `decode` for what is converted.

    Raises:
        Unfit: truncated, transparent.
    """
    try:
        image.load()
        upright = _srgb(ImageOps.exif_transpose(image), image.info.get("icc_profile"))
        return np.asarray(_rgb(_opaque(upright, background)))  # (H, W, 3)
    except Unfit:
        raise
    except Exception as error:  # as in _open: truncated or hostile data end in any of a dozen exceptions
        raise Unfit("truncated", f"{type(error).__name__}: {error}"[:200], "a file that decodes to its end") from error


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the embedded profile; a profile that does not parse says nothing, so the values stay as they are."""
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return image
        return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return image


def _opaque(image: Image.Image, background: Colour | None) -> Image.Image:
    """Drop an alpha channel that hides nothing; refuse one that does (no photograph has holes), or fill them."""
    if image.mode in ("P", "L", "RGB") and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        alpha = image.convert("RGBA").getchannel("A")
        if np.asarray(alpha).min() >= 250:
            return image.convert("RGBA").convert("RGB")
        if background is None:
            raise Unfit("transparent", "pixels that one can see through", "an opaque picture")
        behind = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit or float grey: Pillow's own convert would clip at 255
        values = np.asarray(image).astype(np.float64)
        top = 65535.0 if image.mode.startswith("I") else max(float(values.max()), 1e-9)
        return Image.fromarray(np.clip(values / top * 255 + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def fit_within(image: np.ndarray, max_side: int) -> np.ndarray:
    """Shrink (H, W, 3) so that its longer side is at most `max_side` px (0 = no limit); never enlarges."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if not max_side or longer <= max_side:
        return image
    size = (max(1, round(width * max_side / longer)), max(1, round(height * max_side / longer)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """uint8 RGB (H, W, 3) -> JPEG, 4:4:4. Equal 8 x 8 blocks of pixels decode to equal pixels, whatever lies around."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def encode(image: np.ndarray, suffix: str) -> bytes:
    """uint8 RGB (H, W, 3) -> file contents by suffix: .png lossless; .jpg and .jpeg 4:4:4 quality 95; .webp quality 95.

    Raises:
        KeyError: a suffix that is not in `OUTPUTS`.
    """
    how: dict[str, dict[str, Any]] = {
        ".png": {"format": "PNG"},
        ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
        ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
        ".webp": {"format": "WEBP", "quality": 95},
    }
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **how[suffix.lower()])
    return buffer.getvalue()


def decode_own(data: bytes) -> np.ndarray:
    """An image that this toolkit encoded -> uint8 (H, W, 3) or, for a mask, (H, W)."""
    return np.asarray(Image.open(io.BytesIO(data), formats=("JPEG", "PNG")))


def encode_mask_png(mask: np.ndarray) -> bytes:
    """bool (H, W) -> 8-bit greyscale PNG, 0 or 255 (1-bit PNGs confuse several readers)."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """What a network painted, float (H, W, 3) in [0, 1] -> uint8.

    Raises:
        BackendError: its numbers are not finite, which a picture would show as black.
    """
    if not np.isfinite(pixels).all():
        why = "not every pixel is a finite number, as happens when float16 overflows"
        raise BackendError("the network returned no picture", why, "Use dtype float32 or bfloat16")
    return np.asarray((pixels * 255).round(), np.uint8)
