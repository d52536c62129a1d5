"""Windows hold their hole, lie in the photograph, and are what the network takes."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.backends.paint.window import WindowKnobs, around, cut, part, view
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask


def random_masks(count: int = 60):
    """Blobs of all sizes and places, many of them cut by the frame, in frames of all shapes."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        height, width = (int(side) for side in rng.integers(40, 900, 2))
        full = np.zeros((height, width), bool)
        y, x = int(rng.integers(-20, height)), int(rng.integers(-20, width))
        h, w = (int(side) for side in rng.integers(1, 400, 2))
        full[max(0, y) : y + h + 21, max(0, x) : x + w + 21] = True
        full &= rng.random(full.shape) < 0.8
        if full.any():
            yield Mask.of(full)


@pytest.mark.parametrize(("side", "multiple"), [(512, 8), (256, 16), (1024, 32)])
def test_the_hole_lies_in_the_window_and_the_window_in_the_photograph(side, multiple):
    for mask in random_masks():
        cutting = cut(mask, side, multiple)
        (x0, y0, x1, y1), (a, b, c, d) = cutting.window.box, cutting.hole.box
        assert 0 <= x0 <= a < c <= x1 <= mask.width
        assert 0 <= y0 <= b < d <= y1 <= mask.height
        assert not (mask.full() & ~cutting.hole.full()).any()


@pytest.mark.parametrize(("side", "multiple"), [(512, 8), (256, 16), (1024, 32)])
def test_a_canvas_has_the_pixels_the_sides_and_the_aspect_that_it_should(side, multiple):
    for mask in random_masks():
        window = cut(mask, side, multiple).window
        x0, y0, x1, y1 = window.box
        assert window.width % multiple == window.height % multiple == 0
        for length, seen in ((x1 - x0, window.width), (y1 - y0, window.height)):
            ideal = length * side / ((x1 - x0) * (y1 - y0)) ** 0.5
            assert abs(seen - ideal) <= max(multiple / 2, multiple - ideal)


def test_a_window_is_square_wherever_there_is_room():
    mask = np.zeros((1365, 2048), bool)
    mask[400:500, 300:900] = True
    window = cut(Mask.of(mask), 512, 8).window
    x0, y0, x1, y1 = window.box
    assert x1 - x0 == y1 - y0
    assert (window.width, window.height) == (512, 512)


def test_a_full_frame_keeps_the_photographs_aspect():
    window = cut(Mask.of(np.ones((300, 1200), bool)), 512, 8).window
    assert window.box == (0, 0, 1200, 300)
    assert (window.width, window.height) == (1024, 256)


def test_small_objects_are_not_enlarged_without_end():
    mask = np.zeros((2000, 2000), bool)
    mask[1000:1005, 1000:1005] = True
    knobs = WindowKnobs(max_zoom=2)
    assert cut(Mask.of(mask), 512, 8, knobs).window.zoom == pytest.approx(2)


def test_growth_goes_with_the_object_and_never_falls_under_the_networks_cell():
    frame = np.zeros((1600, 1600), bool)
    frame[600:1000, 600:1000] = True
    wide = cut(Mask.of(frame), 512, 8, WindowKnobs(grow_share=0.1, grow_least_px=1))
    assert wide.growth == 40
    least = cut(Mask.of(frame), 512, 8, WindowKnobs(grow_share=0, grow_least_px=16))
    assert least.growth * least.window.zoom >= 16
    for mask in random_masks(20):
        cutting = cut(mask, 256, 8)
        assert cutting.growth * cutting.window.zoom >= WindowKnobs().grow_least_px - 1e-6


def test_growth_covers_a_border_that_the_object_touches():
    frame = np.zeros((400, 400), bool)
    frame[300:400, 0:100] = True
    hole = cut(Mask.of(frame), 256, 8).hole.full()
    assert hole[300:, 0].all()
    assert hole[399, :100].all()


def test_the_seen_hole_holds_every_pixel_of_the_hole():
    rng = np.random.default_rng(1)
    for mask in random_masks(20):
        image = rng.integers(0, 256, (mask.height, mask.width, 3), np.uint8)
        cutting = cut(mask, 256, 8)
        seen, hole = view(image, cutting)
        assert seen.shape == (cutting.window.height, cutting.window.width, 3)
        assert hole.shape == seen.shape[:2]
        y, x = np.nonzero(part(cutting.hole, cutting.window.box))
        x0, y0, x1, y1 = cutting.window.box
        rows = ((y + 0.5) * hole.shape[0] / (y1 - y0)).astype(int)
        columns = ((x + 0.5) * hole.shape[1] / (x1 - x0)).astype(int)
        assert hole[rows, columns].all()


def test_a_part_of_a_mask_is_the_same_part_of_its_frame():
    for mask in random_masks(20):
        box = (mask.width // 4, mask.height // 3, mask.width - 3, mask.height - 1)
        assert np.array_equal(part(mask, box), mask.full()[box[1] : box[3], box[0] : box[2]])


def test_an_empty_mask_is_unfit():
    with pytest.raises(Unfit, match="empty_mask"):
        cut(Mask.of(np.zeros((10, 10), bool)), 512, 8)


def test_context_is_a_share_of_the_hole_and_at_least_so_many_px():
    hole = np.zeros((4000, 4000), bool)
    hole[2000:2400, 2000:2200] = True
    box = around(Mask.of(hole), 512, 8, WindowKnobs(context_share=0.5)).box
    assert box[3] - box[1] == 400 + 2 * 200
    box = around(Mask.of(hole), 512, 8, WindowKnobs(context_share=0, context_least_px=70)).box
    assert box[3] - box[1] == 400 + 2 * 70
