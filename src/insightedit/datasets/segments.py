"""Annotations of COCO's kind as one mask: the union of their polygons, never the sum.

SmartEdit's loader adds the rasters of an object's polygons and keeps what equals 1: where two overlap, the object has a
hole (model.md 9.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask


def union(segmentations: Sequence[Any], width: int, height: int) -> np.ndarray:
    """Polygons or run-length codes of one or several objects -> bool (height, width).

    Args:
        segmentations: one per object: a list of polygons [x1, y1, x2, y2, ...], or {"size", "counts"}.
        width: of the annotated frame, px.
        height: of it.

    Raises:
        Unfit: malformed_polygon, malformed_rle, empty_mask.
    """
    full = np.zeros((height, width), bool)
    for segmentation in segmentations:
        full |= _one(segmentation, width, height)
    if not full.any():
        raise Unfit("empty_mask", "no pixel", "an object")
    return full


def _one(segmentation: Any, width: int, height: int) -> np.ndarray:
    if isinstance(segmentation, dict):
        found = Mask.from_rle(segmentation)
        if (found.width, found.height) != (width, height):
            raise Unfit("malformed_rle", f"{found.width} x {found.height} px", f"{width} x {height} px")
        return found.full()
    if not isinstance(segmentation, list) or not segmentation:
        raise Unfit("malformed_polygon", type(segmentation).__name__, "a list of polygons")
    for polygon in segmentation:
        if not _is_polygon(polygon):
            raise Unfit("malformed_polygon", str(polygon)[:60], "x1, y1, x2, y2, ... of three points at least")
    return Mask.from_polygons(segmentation, width, height).full()


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in polygon)
