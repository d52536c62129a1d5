"""Differences of two pictures inside and outside a mask."""

from __future__ import annotations

import cv2
import numpy as np

from insightedit.core.image import JPEG_BLOCK
from insightedit.core.mask import Mask


def changed_inside(source: np.ndarray, edited: np.ndarray, mask: Mask) -> float:
    """Mean absolute difference inside the mask, levels of 255; 0 for an empty mask.

    Args:
        source, edited: uint8 (H, W, 3).
        mask: of that frame.
    """
    if not mask.area:
        return 0.0
    x0, y0, x1, y1 = mask.box
    difference = cv2.absdiff(source[y0:y1, x0:x1], edited[y0:y1, x0:x1])
    return float(difference[mask.crop].mean())


def block_grid(mask: np.ndarray) -> np.ndarray:
    """bool (H, W): the mask rounded out to the 8 x 8 blocks of JPEG, beyond which a change cannot reach."""
    height, width = mask.shape
    down, right = -height % JPEG_BLOCK, -width % JPEG_BLOCK
    padded = np.pad(mask, ((0, down), (0, right)))
    blocks = padded.reshape(padded.shape[0] // JPEG_BLOCK, JPEG_BLOCK, -1, JPEG_BLOCK).any(axis=(1, 3))
    return blocks.repeat(JPEG_BLOCK, axis=0).repeat(JPEG_BLOCK, axis=1)[:height, :width]


def outside_difference(source: np.ndarray, edited: np.ndarray, mask: np.ndarray) -> tuple[bool, float | None]:
    """Are the stored pictures equal outside the mask (block grid), and if not, their PSNR there in dB (else None)."""
    outside = ~block_grid(mask)
    difference = cv2.absdiff(source, edited)
    if not cv2.bitwise_and(difference, difference, mask=outside.view(np.uint8)).any():
        return True, None
    return False, float(10 * np.log10(255.0**2 / np.mean(difference[outside].astype(np.float64) ** 2)))
