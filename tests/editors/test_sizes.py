"""The authors' size rules, against numbers worked out by hand and against what must hold for any picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.editors import sizes


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((512, 512), (512, 512)),
        ((1024, 1024), (512, 512)),
        ((256, 256), (512, 512)),  # small pictures are enlarged
        ((1024, 768), (512, 384)),
        ((640, 480), (512, 384)),
        ((768, 1024), (384, 512)),
        # factor 512/1000 -> the short side 600 * .512 = 307.2 -> 320 (5 * 64) -> factor .5333; 1000 -> 533 -> 512
        ((1000, 600), (512, 320)),
        # 512/1920 -> 1080 * .2667 = 288 -> 320 -> factor .2963; 1920 -> 568 -> 512
        ((1920, 1080), (512, 320)),
        # 512/400 -> 100 * 1.28 = 128 is two steps already -> 128; 400 * 1.28 = 512
        ((400, 100), (512, 128)),
    ],
)
def test_the_rule_of_instruct_pix2pix(given, wanted):
    assert sizes.instruct_pix2pix(given) == wanted


def test_any_picture_gets_sides_of_64_that_keep_its_shape():
    rng = np.random.default_rng(0)
    for width, height in rng.integers(16, 6000, (500, 2)):
        if max(width, height) / min(width, height) > 8:
            continue
        wide, high = sizes.instruct_pix2pix((int(width), int(height)))
        assert wide % 64 == high % 64 == 0 and min(wide, high) >= 64, (width, height)
        assert abs(math.log(wide / high * height / width)) < math.log(1 + 64 / min(wide, high)) + 1e-9, (width, height)


def test_a_thread_of_a_picture_is_refused_before_memory_is_asked_for():
    with pytest.raises(InputError, match="too long and thin"):
        sizes.instruct_pix2pix((6_000_000, 16))
    with pytest.raises(InputError, match="too long and thin"):
        sizes.about((6_000_000, 16), 512 * 512, 8)


@pytest.mark.parametrize(
    ("given", "multiple", "wanted"),
    [((100, 70), 8, (96, 64)), ((96, 64), 16, (96, 64)), ((5, 33), 16, (16, 32))],
)
def test_flooring_never_enlarges_but_to_one_multiple(given, multiple, wanted):
    assert sizes.floored(given, multiple) == wanted


def test_about_keeps_area_and_shape():
    rng = np.random.default_rng(1)
    for width, height in rng.integers(200, 4000, (300, 2)):
        if max(width, height) / min(width, height) > 4:
            continue
        wide, high = sizes.about((int(width), int(height)), 1024 * 1024, 16)
        assert wide % 16 == high % 16 == 0
        assert wide * high == pytest.approx(1024 * 1024, rel=0.04), (width, height)
        assert wide / high == pytest.approx(width / height, rel=0.04), (width, height)


def test_fit_crops_the_middle_and_resize_squashes():
    image = np.zeros((64, 192, 3), np.uint8)
    image[:, 64:128, 0] = 255  # the middle third is red
    cropped = sizes.fit(image, (64, 64))
    assert cropped.shape == (64, 64, 3) and (cropped[:, 2:-2, 0] > 250).all()
    squashed = sizes.resize(image, (66, 64))
    assert squashed.shape == (64, 66, 3)
    assert squashed[:, :18, 0].max() < 10 and squashed[:, 48:, 0].max() < 10 and squashed[:, 30:36, 0].min() > 250


def test_a_picture_of_the_right_size_is_not_resampled():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert sizes.resize(image, (30, 20)) is image
    assert sizes.size_of(image) == (30, 20)
