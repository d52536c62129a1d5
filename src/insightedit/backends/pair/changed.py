"""Where the two pictures of a sampled pair differ, as one mask outside of which they are then made equal.

A dataset of masked edits promises that its pictures are equal outside the mask. Two sampled pictures differ almost
everywhere by a level or two; what is below the threshold is taken from the first picture, so the promise holds.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import disc


class ChangedKnobs(Knobs):
    """What counts as changed. Lengths are shares of the picture's shorter side."""

    threshold: float = Field(default=12.0, ge=0, le=255)  # levels of 255, of the smoothed difference
    smooth: float = Field(default=0.004, ge=0)  # spread of that smoothing: single pixels of noise are no change
    close: float = Field(default=0.02, ge=0)  # holes and gaps up to twice this are filled
    speck: float = Field(default=0.02, ge=0)  # parts of a smaller area than this squared are dropped
    margin: float = Field(default=0.016, ge=0)  # grown by this; over it the one picture passes into the other
    max_share: float = Field(default=1.0, gt=0, le=1)  # of the picture; a larger mask is no local edit


def settled(before: np.ndarray, after: np.ndarray, knobs: ChangedKnobs) -> tuple[np.ndarray, np.ndarray]:
    """The second picture, equal to the first outside a mask, and that mask.

    Args:
        before, after: uint8 RGB (H, W, 3).
        knobs: what counts as changed.

    Returns:
        uint8 (H, W, 3), and bool (H, W): every pixel that may differ.

    Raises:
        Unfit: nothing_changed, changed_everywhere.
    """
    core = _changed(before, after, knobs)
    if not core.any():
        raise Unfit("nothing_changed", "0 px", f"a difference of {knobs.threshold:g} levels")
    margin = max(1, round(knobs.margin * min(core.shape)))
    mask = cv2.dilate(core.astype(np.uint8), disc(margin)) > 0
    if mask.mean() > knobs.max_share:
        raise Unfit("changed_everywhere", f"{mask.mean():.0%}", f"{knobs.max_share:.0%} at most")
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5)  # (H, W), 0 inside the core
    weight = np.clip(1 - away / (margin + 1), 0, 1)[..., None] * mask[..., None]  # (H, W, 1)
    blended = before + weight * (after.astype(np.float32) - before)
    return blended.round().astype(np.uint8), mask


def _changed(before: np.ndarray, after: np.ndarray, knobs: ChangedKnobs) -> np.ndarray:
    """bool (H, W): where the smoothed difference passes the threshold, gaps closed and specks dropped."""
    side = min(before.shape[:2])
    difference = cv2.absdiff(before, after).max(axis=2).astype(np.float32)
    if knobs.smooth:
        difference = cv2.GaussianBlur(difference, (0, 0), knobs.smooth * side)
    found = (difference > knobs.threshold).astype(np.uint8)
    if radius := round(knobs.close * side):
        room = cv2.copyMakeBorder(found, radius, radius, radius, radius, cv2.BORDER_CONSTANT, value=0)
        found = cv2.morphologyEx(room, cv2.MORPH_CLOSE, disc(radius))[radius:-radius, radius:-radius]
    _, parts, facts, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    large = facts[:, cv2.CC_STAT_AREA] >= (knobs.speck * side) ** 2
    large[0] = False  # the ground
    return np.asarray(large[parts])
