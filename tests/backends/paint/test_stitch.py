"""Outside the hole nothing changes, and at its rim there is no step."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.backends.paint.stitch import StitchKnobs, feathered, laid, matched, ring_of
from insightedit.backends.paint.window import cut, part, view
from insightedit.core.mask import Mask


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth gradients with some grain, 40..215."""
    rows, columns = np.mgrid[0:height, 0:width]
    base = np.stack([columns / width, rows / height, (rows + columns) / (height + width)], axis=-1)
    grain = np.random.default_rng(seed).normal(0, 3, base.shape)
    return np.clip(50 + 150 * base + grain, 0, 255).astype(np.uint8)


def blob(height: int, width: int, y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_the_feather_rises_inward_only_and_is_opaque_on_the_object():
    mask = Mask.of(blob(300, 300, 150, 150, 40))
    cutting = cut(mask, 256, 8)
    hole = cutting.hole.full()
    weight = feathered(hole, cutting.growth)
    assert not weight[~hole].any()
    assert (weight[hole] > 0).all()
    assert (weight[mask.full()] == 1).all()
    assert 0 < weight[ring_of(~hole, 1)].max() < 0.5


def test_the_frames_border_is_no_rim():
    weight = feathered(blob(200, 200, 199, 100, 60), 10)
    assert weight[199, 100] == 1
    assert feathered(np.ones((5, 5), bool), 3).min() == 1


def test_a_colour_shift_of_the_network_is_mended():
    source = photograph(400, 400)
    cutting = cut(Mask.of(blob(400, 400, 200, 200, 60)), 256, 8)
    seen, _ = view(source, cutting)
    shifted = np.clip(seen * 0.9 - 12, 0, 255).astype(np.uint8)
    inside = cutting.hole.full()

    def error(match: bool) -> float:
        image = laid(source, shifted, cutting, StitchKnobs(match_colour=match)).image
        return float(np.abs(image[inside].astype(float) - source[inside]).mean())

    assert error(False) > 15
    assert error(True) < 5


def test_nothing_brightens_or_darkens_at_the_seam():
    """A network that paints what was there, shifted, leaves no ring: neither of the rim's mean colours moves."""
    source = photograph(500, 500)
    cutting = cut(Mask.of(blob(500, 500, 240, 260, 70)), 256, 8)
    seen, _ = view(source, cutting)
    hole = cutting.hole.full()
    rim = hole & ring_of(~hole, 3)
    for shift in (-15, 15):
        painted = np.clip(seen.astype(int) + shift, 0, 255).astype(np.uint8)
        image = laid(source, painted, cutting).image.astype(float)
        assert np.abs((image[rim] - source[rim]).mean(axis=0)).max() < 1.5


def test_paint_is_a_mixture_and_never_beyond_what_was_mixed():
    source = photograph(300, 300)
    cutting = cut(Mask.of(blob(300, 300, 150, 150, 50)), 256, 8)
    grey = np.full((cutting.window.height, cutting.window.width, 3), 255, np.uint8)
    image = laid(source, grey, cutting, StitchKnobs(match_colour=False)).image
    assert (image >= source).all()
    hole = cutting.hole.full()
    assert (image[hole & ring_of(~hole, 1)] < 255).all()


def test_matching_believes_in_small_shifts_only():
    rng = np.random.default_rng(0)
    source = rng.integers(100, 120, (20, 20, 3), np.uint8)
    ring = np.ones((20, 20), bool)
    other = rng.integers(0, 256, (20, 20, 3)).astype(np.float32)
    out = matched(other, source, ring, most_shift=10, most_gain=1.25)
    assert np.abs(out.mean(axis=(0, 1)) - other.mean(axis=(0, 1))).max() <= 10 + 1e-3
    assert (out.std(axis=(0, 1)) >= other.std(axis=(0, 1)) / 1.25 - 1e-3).all()
    assert matched(other, source, ~ring, 10, 1.25) is other


def test_a_flat_ring_does_not_blow_up_contrast():
    flat = np.full((8, 8, 3), 100, np.float32)
    source = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.isfinite(matched(flat, source, np.ones((8, 8), bool), 255, 4)).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_hole_that_fills_its_window_still_ends_softly_at_its_rim(share):
    from insightedit.backends.paint.window import WindowKnobs

    source = photograph(200, 200)
    mask = np.zeros((200, 200), bool)
    mask[60:140, 60:140] = True
    tight = WindowKnobs(context_share=0, context_least_px=0, max_zoom=16)
    cutting = cut(Mask.of(mask), 64, 8, tight)
    assert part(cutting.hole, cutting.window.box).all()
    white = np.full((cutting.window.height, cutting.window.width, 3), 255, np.uint8)
    image = laid(source, white, cutting, StitchKnobs(feather_share=share)).image
    x0, y0, *_ = cutting.window.box
    assert (image[y0, x0] < 255).all() == (share > 0)
