"""MSE, PSNR and L1 under three conventions of what a mask means, which publications all call by the same name.

    over all values      the masked pictures differ by sum(w^2 d^2); SmartEdit divides by all H W 3 values
    over the background  the same sum, divided by 3 sum(w): the error of what was not to change
    BrushNet's           the same sum over three channels, divided by sum(w) of one: 4.77 dB below the background's

w = 1 - mask, d = difference, values in 0..1. For equal backgrounds the first two are infinite, BrushNet's is 1000.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

PERFECT_BRUSHNET = 1000.0  # dB, what BrushNet and its EditBench report for equal pictures


def squared_error(first: np.ndarray, second: np.ndarray) -> float:
    """Sum of squared differences of two float pictures of one shape, added up in float64."""
    return float(cv2.norm(first, second, cv2.NORM_L2SQR))


def mse(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of squared differences over all values; float (H, W, 3) in 0..1 each."""
    return squared_error(first, second) / first.size


def l1(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of absolute differences over all values; float (H, W, 3) in 0..1 each."""
    return float(cv2.norm(first, second, cv2.NORM_L1)) / first.size


def psnr(error: float) -> float:
    """An MSE of values in 0..1 -> dB; infinite for 0."""
    return -10 * math.log10(error) if error > 0 else math.inf


def background_mse(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> float:
    """Mean over the background's own values.

    Args:
        first, second: float (H, W, 3) in 0..1, already multiplied by the weight.
        weight: float (H, W) in 0..1, its sum above 0; 1 = background.
    """
    return squared_error(first, second) / (3 * float(weight.sum(dtype=np.float64)))


def background_l1(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> float:
    """As `background_mse`, of absolute differences."""
    return float(cv2.norm(first, second, cv2.NORM_L1)) / (3 * float(weight.sum(dtype=np.float64)))


def brushnet_mse(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> float:
    """Three times `background_mse`, as BrushNet's metrics have it."""
    return 3 * background_mse(first, second, weight)


def brushnet_psnr(error: float) -> float:
    """As `psnr`, but 1000 for 0."""
    return min(psnr(error), PERFECT_BRUSHNET)
