"""Boxes as arrays: overlap, suppression of duplicates, pixels of a region inside them."""

from __future__ import annotations

import cv2
import numpy as np

from insightedit.core.mask import Box


def iou(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) and (M, 4), xyxy -> (N, M), 0..1; 0 where both are empty."""
    corner = np.maximum(ones[:, None, :2], others[None, :, :2])  # (N, M, 2)
    opposite = np.minimum(ones[:, None, 2:], others[None, :, 2:])  # (N, M, 2)
    shared = (opposite - corner).clip(0).prod(axis=-1)  # (N, M)
    union = area(ones)[:, None] + area(others)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared, dtype=float), where=union > 0))


def area(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) xyxy -> (N,) px²; 0 for a box turned inside out."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=-1))


def suppress(boxes: np.ndarray, scores: np.ndarray, most: float) -> list[int]:
    """Greedy non-maximum suppression: indices kept, best first; none overlaps a better one by an IoU over `most`.

    Equal scores are ordered by the box itself, so that the result does not depend on the order of the input.
    """
    order = np.lexsort((*boxes.T[::-1], -scores))  # the last key weighs most
    kept: list[int] = []
    for index in order.tolist():
        if not kept or iou(boxes[index : index + 1], boxes[kept]).max() <= most:
            kept.append(index)
    return kept


def on_pixels(boxes: np.ndarray, width: int, height: int) -> list[Box]:
    """Float boxes (N, 4) -> whole px, half-open, inside the frame and at least 1 px wide and high.

    Rounded outwards: the thing lies inside its box.
    """
    low = np.floor(boxes[:, :2]).clip(0, (width - 1, height - 1)).astype(int)  # (N, 2)
    high = np.ceil(boxes[:, 2:]).clip(0, (width, height)).astype(int)  # (N, 2)
    high = np.maximum(high, low + 1)
    return [(x0, y0, x1, y1) for (x0, y0), (x1, y1) in zip(low.tolist(), high.tolist(), strict=True)]


def pixels_inside(region: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How many True of `region` bool (H, W) each whole-px box (N, 4) holds -> (N,)."""
    total = cv2.integral(region.astype(np.uint8))  # (H + 1, W + 1)
    x0, y0, x1, y1 = boxes.T
    return np.asarray(total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0])


def strongest_inside(boxes: np.ndarray, scores: np.ndarray, region: np.ndarray, least: float = 0.5) -> float:
    """The best score among the boxes that lie in a region, 0..1; 0 where none does.

    A box lies there if at least `least` of it is within the region's own bounds, and it shares with the region at least
    `least` of the smaller of the two areas: a thin thing fills little of its box, and a larger thing around the region
    is not in it.

    Args:
        boxes: (N, 4) xyxy px.
        scores: (N,) 0..1.
        region: bool (H, W).
        least: share, 0..1.
    """
    if not region.any() or not len(boxes):
        return 0.0
    height, width = region.shape
    within = boxes.clip(0, (width, height, width, height))
    whole = np.array(on_pixels(within, width, height))  # (N, 4)
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    bounded = area(np.concatenate([whole[:, :2].clip((x0, y0)), whole[:, 2:].clip(None, (x1, y1))], axis=1))
    shared = pixels_inside(region, whole) / np.minimum(area(whole), np.count_nonzero(region))
    there = (area(within) > 0) & (bounded >= least * area(whole)) & (shared >= least)
    return float(scores[there].max(initial=0.0))
