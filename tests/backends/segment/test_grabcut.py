"""Properties of the mask from a box, on a small drawn scene: a red disc on textured green."""

import numpy as np
import pytest

from insightedit.backends.segment.grabcut import mask_from_box, mask_quality

BOX = (50, 40, 110, 100)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A photograph uint8 (150, 200, 3) and the true mask bool (150, 200) of the disc that fills BOX."""
    v, u = np.mgrid[:150, :200]
    disc = (u - 79.5) ** 2 + (v - 69.5) ** 2 <= 30**2
    noise = np.random.default_rng(0).normal(0, 8, (150, 200, 3))
    image = np.where(disc[..., None], (200, 40, 30), (60, 120, 60)) + noise
    return np.clip(image, 0, 255).astype(np.uint8), disc


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return (one & two).sum() / (one | two).sum()


def test_finds_the_disc_and_says_so(scene):
    image, disc = scene
    found = mask_from_box(image, BOX)
    assert iou(found.mask, disc) > 0.9
    assert found.score > 0.5 and found.rim > 0.8 and found.tightness > 0.9


def test_never_leaves_the_box(scene):
    image, _ = scene
    for box in (BOX, (60, 50, 90, 80), (0, 0, 75, 75), (150, 100, 500, 400), (0, 0, 200, 150)):
        mask = mask_from_box(image, box).mask
        assert mask.shape == image.shape[:2] and mask.dtype == bool
        mask[box[1] : box[3], box[0] : box[2]] = False
        assert not mask.any(), box


def test_equal_input_gives_equal_masks(scene):
    image, _ = scene
    one, two = mask_from_box(image, BOX), mask_from_box(image, BOX)
    assert (one.mask == two.mask).all() and one.score == two.score


def test_works_on_a_crop_scaled_down(scene):
    image, disc = scene
    big = image.repeat(6, axis=0).repeat(6, axis=1)
    found = mask_from_box(big, tuple(6 * v for v in BOX), long_side=160)
    assert iou(found.mask, disc.repeat(6, axis=0).repeat(6, axis=1)) > 0.9


def test_excluded_pixels_stay_out(scene):
    image, disc = scene
    exclude = disc & (np.arange(200) < 75)
    mask = mask_from_box(image, BOX, exclude=exclude).mask
    assert not (mask & exclude).any() and iou(mask, disc & ~exclude) > 0.8


def test_an_exclusion_of_the_whole_box_is_ignored(scene):
    image, disc = scene
    assert iou(mask_from_box(image, BOX, exclude=np.ones_like(disc)).mask, disc) > 0.9


@pytest.mark.parametrize("box", [(10, 10, 10, 60), (10, 10, 11, 60), (190, 140, 260, 141), (300, 300, 400, 400)])
def test_a_box_without_room_gives_an_empty_mask(scene, box):
    image, _ = scene
    found = mask_from_box(image, box)
    assert not found.mask.any() and found.score == 0


def test_nothing_in_the_box_scores_low(scene):
    image, _ = scene
    assert mask_from_box(image, (130, 40, 190, 100)).score < 0.3


def test_a_true_mask_scores_above_a_displaced_one(scene):
    image, disc = scene
    true, moved = mask_quality(image, disc, BOX), mask_quality(image, np.roll(disc, 25, axis=1), BOX)
    assert true.score > moved.score and true.rim > moved.rim
    assert true.mask is disc


def test_an_empty_mask_has_no_quality(scene):
    image, disc = scene
    assert mask_quality(image, np.zeros_like(disc), BOX).score == 0
