"""Images as parts of a request: sized, encoded once, never as text inside a prompt."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from insightedit.core.image import Limits, decode, encode, encode_jpeg, fit_within

Detail = Literal["low", "high", "auto"]
QUALITY = 90  # of the JPEG that is sent: no judge tells it from 95, and it is a third smaller
TINY = Limits(min_side=1)  # a crop may be small


@dataclass(frozen=True)
class ImagePart:
    """One image of a request, encoded.

    Args:
        sha256: of the encoded bytes: what was sent is what the request is named by.
        width, height: px, as sent.
        detail: how closely the model looks: OpenAI charges "low" a fixed number of tokens, "high" by tiles of 512 px.
        data_url: the `image_url` of the protocol.
    """

    sha256: str
    width: int
    height: int
    detail: Detail
    data_url: str = field(repr=False)


def encode_part(
    image: np.ndarray | bytes, max_side: int = 1024, detail: Detail = "auto", lossless: bool = False
) -> ImagePart:
    """Size and encode one image; takes milliseconds of CPU: on the event loop use `image_part`.

    Args:
        image: uint8 RGB (H, W, 3), or the bytes of an image file; a JPEG that is small enough goes as it is.
        max_side: px of the longer side; 0 = as it is. Never enlarges.
        detail: see `ImagePart`.
        lossless: PNG instead of JPEG.

    Raises:
        Unfit: the bytes are no image.
    """
    pixels = decode(image, TINY)[0] if isinstance(image, bytes) else image  # (H, W, 3)
    sized = fit_within(pixels, max_side)
    if isinstance(image, bytes) and sized is pixels and image.startswith(b"\xff\xd8") and not lossless:
        data = image
    else:
        data = encode(sized, ".png") if lossless else encode_jpeg(sized, QUALITY)
    kind = "png" if lossless else "jpeg"
    height, width = sized.shape[:2]
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return ImagePart(hashlib.sha256(data).hexdigest(), width, height, detail, url)


async def image_part(
    image: np.ndarray | bytes, max_side: int = 1024, detail: Detail = "auto", lossless: bool = False
) -> ImagePart:
    """`encode_part` in a thread: decoding and encoding release the interpreter, and the event loop goes on.

    Raises:
        Unfit: the bytes are no image.
    """
    return await asyncio.to_thread(encode_part, image, max_side, detail, lossless)
