"""Differences inside and outside a mask, against the slow and obvious way."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.core.image import decode_own, encode_jpeg
from insightedit.core.mask import Mask
from insightedit.metrics.pixel import block_grid, changed_inside, outside_difference


def cases(count: int = 40):
    for seed in range(count):
        rng = np.random.default_rng(seed)
        shape = tuple(int(side) for side in rng.integers(1, 60, 2))
        yield seed, rng, rng.random(shape) < rng.choice([0.0, 0.002, 0.05])


def test_the_block_grid_is_every_pixel_whose_block_holds_a_masked_one():
    for seed, _, mask in cases():
        wanted = np.zeros_like(mask)
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                top, left = y // 8 * 8, x // 8 * 8
                wanted[y, x] = mask[top : top + 8, left : left + 8].any()
        np.testing.assert_array_equal(block_grid(mask), wanted, err_msg=f"seed {seed}")


def test_the_change_inside_is_the_mean_over_masked_pixels():
    for seed, rng, mask in cases():
        source, edited = (rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8) for _ in range(2))
        wanted = np.abs(source[mask].astype(int) - edited[mask]).mean() if mask.any() else 0.0
        assert changed_inside(source, edited, Mask.of(mask)) == pytest.approx(wanted), f"seed {seed}"


def test_an_edit_inside_its_mask_leaves_stored_pictures_equal_outside():
    for seed, rng, mask in cases():
        source = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
        edited = source.copy()
        edited[mask] = 255 - edited[mask]
        stored = [decode_own(encode_jpeg(picture)) for picture in (source, edited)]
        assert outside_difference(*stored, mask) == (True, None), f"seed {seed}"


def test_a_leak_is_measured_in_decibels():
    source = np.full((40, 40, 3), 100, np.uint8)
    edited, mask = source.copy(), np.zeros((40, 40), bool)
    mask[0:8, 0:8] = True
    edited[20, 20] = 110
    wanted = 10 * np.log10(255**2 / (3 * 100 / (3 * (1600 - 64))))
    equal, psnr = outside_difference(source, edited, mask)
    assert not equal and psnr == pytest.approx(wanted)


def test_a_mask_of_the_whole_frame_leaves_nothing_to_differ():
    source = np.zeros((9, 9, 3), np.uint8)
    assert outside_difference(source, 255 - source, np.ones((9, 9), bool)) == (True, None)
