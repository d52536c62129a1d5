"""What a network painted, laid onto the photograph: bit-equal outside the hole, no step at its rim.

A network returns its whole canvas through its autoencoder, which shifts colours and blurs the background that was not
asked for; the users' most frequent complaint (editors.md, common rule). Here the photograph stays, and the paint is
feathered inward only: a rim soft to the outside would change the background and let the old object shine through.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import Field

from insightedit.backends.paint.recolour import Painted
from insightedit.backends.paint.window import Cutting, part, resized
from insightedit.core.config import Knobs
from insightedit.core.mask import disc


class StitchKnobs(Knobs):
    """How paint meets photograph.

    `feather_share` is of the growth between object and rim: at 1 the paint is opaque from the object's old edge inward.
    `match_colour` mends the colour shift by the mean and standard deviation of a ring of `ring_px` canvas px around the
    hole; `most_shift` (levels) and `most_gain` bound what is believed to be a shift rather than another picture.
    """

    feather_share: float = Field(default=1.0, ge=0, le=1)
    match_colour: bool = True
    ring_px: int = Field(default=24, ge=1, le=256)
    most_shift: float = Field(default=24.0, ge=0, le=255)
    most_gain: float = Field(default=1.25, ge=1, le=4)


def laid(source: np.ndarray, painted: np.ndarray, cutting: Cutting, knobs: StitchKnobs = StitchKnobs()) -> Painted:
    """The painted canvas, laid onto its photograph.

    Args:
        source: the photograph, uint8 RGB (H, W, 3).
        painted: the canvas as the network returned it, uint8 RGB (h, w, 3).
        cutting: hole and window that the canvas was made for.
        knobs: feather and colour.

    Returns:
        The photograph with the hole filled, and the hole as support: outside it every pixel is the source's.
    """
    box = cutting.window.box
    hole = part(cutting.hole, box)  # (h, w)
    behind = source[cutting.window.slices]  # (h, w, 3)
    paint = resized(painted, (hole.shape[1], hole.shape[0])).astype(np.float32)
    if knobs.match_colour:
        ring = ring_of(hole, max(1, round(knobs.ring_px / cutting.window.zoom)))
        paint = matched(paint, behind, ring, knobs.most_shift, knobs.most_gain)
    weight = _weight(cutting, round(knobs.feather_share * cutting.growth))[hole][:, None]  # (N, 1)
    mixed = weight * paint[hole] + (1 - weight) * behind[hole]  # (N, 3)
    image = source.copy()
    image[cutting.window.slices][hole] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return Painted(image, cutting.hole.full())


def _weight(cutting: Cutting, width: int) -> np.ndarray:
    """`feathered` over the window, float32 (h, w); a hole that fills the window still ends at the window's rim."""
    x0, y0, x1, y1 = cutting.window.box
    a, b = max(0, x0 - 1), max(0, y0 - 1)
    wider = (a, b, min(cutting.hole.width, x1 + 1), min(cutting.hole.height, y1 + 1))
    weight = feathered(part(cutting.hole, wider), width)
    return np.asarray(weight[y0 - b : y1 - b, x0 - a : x1 - a])


def feathered(hole: np.ndarray, width: int) -> np.ndarray:
    """Weight of the paint, float32 (H, W): 0 outside the hole, rising to 1 over `width` px inward of its rim.

    Where the hole meets the array's border there is no rim: what lies beyond is not known to be background.
    """
    if hole.all():
        return np.ones(hole.shape, np.float32)
    inward = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # 0 outside, then >= 1
    return np.asarray(np.minimum(inward / (width + 1), 1), np.float32)


def ring_of(hole: np.ndarray, width: int) -> np.ndarray:
    """The pixels outside a hole that lie within `width` px of it, bool (H, W)."""
    return np.asarray(cv2.dilate(hole.astype(np.uint8), disc(width)).astype(bool) & ~hole)


def matched(paint: np.ndarray, source: np.ndarray, ring: np.ndarray, most_shift: float, most_gain: float) -> np.ndarray:
    """The paint with each channel's mean and standard deviation over the ring brought to the source's.

    Args:
        paint: float32 (H, W, 3), 0..255.
        source: uint8 (H, W, 3), what lies under it.
        ring: bool (H, W), where both show the same; empty leaves the paint as it is.
        most_shift: levels by which a mean is moved at most.
        most_gain: factor by which a contrast is raised, or divided, at most.

    Returns:
        float32 (H, W, 3).
    """
    if not ring.any():
        return paint
    there, wanted = paint[ring], source[ring].astype(np.float32)  # (N, 3)
    spread = np.maximum(there.std(axis=0), 1.0)  # below a level there is no contrast to compare
    gain = np.clip(np.maximum(wanted.std(axis=0), 1.0) / spread, 1 / most_gain, most_gain)
    shift = np.clip(wanted.mean(axis=0) - there.mean(axis=0), -most_shift, most_shift)
    return np.asarray((paint - there.mean(axis=0)) * gain + there.mean(axis=0) + shift, np.float32)
