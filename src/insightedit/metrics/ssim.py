"""Structural similarity (Wang et al. 2004): Gaussian window 11 x 11, sigma 1.5, k1 = .01, k2 = .03, mean over channels.

The window is separable and OpenCV filters rows and columns with vector instructions; torchmetrics' two-dimensional
grouped convolution takes ten times as long for the same numbers (2e-4; its float32 leaves .99995 for equal pictures,
where this is 1). Not scikit-image's default (uniform 7 x 7, sample covariance) and not MATLAB's, which shrinks first.
"""

from __future__ import annotations

import cv2
import numpy as np

WINDOW, SIGMA = 11, 1.5  # px
HALF = WINDOW // 2
C1, C2 = 0.01**2, 0.03**2  # (k L)^2 for values in 0..1
KERNEL = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_32F)
LEAST_SIDE = HALF + 1  # px; reflection needs as many beyond the border
LEAST_SIDE_CROPPED = WINDOW


def ssim_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Similarity around every value, the frame reflected beyond its border.

    Args:
        first, second: float32 (H, W, 3) in 0..1, sides of `LEAST_SIDE` px at least.

    Returns:
        float32 (H, W, 3), at most 1.
    """
    mean_1, mean_2 = _smooth(first), _smooth(second)
    product, squares = mean_1 * mean_2, mean_1 * mean_1 + mean_2 * mean_2
    covariance = _smooth(first * second) - product
    variances = _smooth(first * first + second * second) - squares
    above = (2 * product + C1) * (2 * covariance + C2)
    return np.asarray(above / ((squares + C1) * (variances + C2)))


def ssim(first: np.ndarray, second: np.ndarray, *, cropped: bool = False) -> float:
    """Mean of `ssim_map`.

    Args:
        first, second: as `ssim_map`; sides of `LEAST_SIDE_CROPPED` px at least if `cropped`.
        cropped: without a frame of 5 px, as torchmetrics up to 1.4.1 had it; the difference reaches .008.
    """
    similar = ssim_map(first, second)
    if cropped:
        similar = similar[HALF:-HALF, HALF:-HALF]
    return float(similar.mean(dtype=np.float64))


def background_ssim(first: np.ndarray, second: np.ndarray, background: np.ndarray) -> float | None:
    """Mean of `ssim_map` over windows that lie in the background wholly; None if there is none.

    Args:
        first, second: as `ssim_map`, not masked: black areas would count as agreement.
        background: bool (H, W).
    """
    window = np.ones((WINDOW, WINDOW), np.uint8)
    inside = cv2.erode(background.astype(np.uint8), window, borderType=cv2.BORDER_REFLECT_101) > 0
    return float(ssim_map(first, second)[inside].mean(dtype=np.float64)) if inside.any() else None


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.sepFilter2D(values, -1, KERNEL, KERNEL, borderType=cv2.BORDER_REFLECT_101))
