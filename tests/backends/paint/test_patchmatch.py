"""Properties of the fill, on small drawn grounds."""

import numpy as np
import pytest

from insightedit.backends.paint.patchmatch import fill, soften, strangers
from insightedit.core.errors import BackendError

STRANGER = (255, 0, 255)  # a colour that no ground has


def ground(height: int = 96, width: int = 128, rough: float = 25.0) -> np.ndarray:
    """A textured greenish ground, uint8 (height, width, 3)."""
    random = np.random.default_rng(1)
    noise = random.normal(0, rough, (height, width, 1)) + random.normal(0, 3, (height, width, 3))
    return np.clip(np.array([80, 130, 70]) + noise, 0, 255).astype(np.uint8)


def block(image: np.ndarray, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros(image.shape[:2], bool)
    mask[y0:y1, x0:x1] = True
    return mask


def is_stranger(image: np.ndarray) -> np.ndarray:
    """Pixels much nearer to magenta than any ground pixel is, bool (H, W)."""
    return (image[..., 0] > 180) & (image[..., 1] < 90) & (image[..., 2] > 180)


HOLES = {
    "inside": (30, 40, 60, 80),
    "corner": (0, 0, 30, 40),
    "bottom": (60, 30, 96, 90),
    "row": (40, 0, 50, 128),
    "pixel": (50, 60, 51, 61),
    "corner pixel": (0, 0, 1, 1),
    "most": (2, 2, 90, 110),
}


@pytest.mark.parametrize("rough", [25.0, 0.5])
@pytest.mark.parametrize("place", HOLES.values(), ids=HOLES)
def test_outside_stays_bit_for_bit_and_inside_looks_like_the_ground(place, rough):
    image = ground(rough=rough)
    hole = block(image, *place)
    image[hole] = STRANGER
    before = image.copy()
    filled = fill(image, hole)
    assert (image == before).all() and filled.dtype == np.uint8 and filled.shape == image.shape
    assert (filled[~hole] == image[~hole]).all()
    assert not is_stranger(filled)[hole].any()
    assert np.abs(filled[hole].mean(axis=0) - image[~hole].mean(axis=0)).max() < 12


@pytest.mark.parametrize("rough", [25.0, 0.5])
def test_equal_input_and_seed_give_equal_fills(rough):
    image = ground(rough=rough)
    hole = block(image, 30, 40, 60, 80)
    assert (fill(image, hole, seed=3) == fill(image, hole, seed=3)).all()


def test_above_the_cap_the_fill_keeps_its_fine_texture():
    image = ground(192, 256)
    hole = block(image, 70, 90, 120, 160)
    image[hole] = STRANGER
    filled = fill(image, hole, max_side=96)
    assert (filled[~hole] == image[~hole]).all() and not is_stranger(filled).any()
    assert filled[hole].std() > 0.5 * image[~hole].std()
    assert (filled == fill(image, hole, max_side=96)).all()


@pytest.mark.parametrize("max_side", [768, 80])
def test_what_is_avoided_is_never_copied(max_side):
    image = ground()
    hole = block(image, 40, 20, 70, 50)
    twin = block(image, 40, 80, 70, 110)
    image[hole | twin] = STRANGER
    filled = fill(image, hole, avoid=twin, max_side=max_side)
    assert not is_stranger(filled)[hole].any()
    assert (filled[twin] == image[twin]).all()


def test_avoiding_everything_falls_back_to_using_it():
    image = ground()
    hole = block(image, 40, 40, 60, 60)
    image[hole] = STRANGER
    filled = fill(image, hole, avoid=~hole)
    assert not is_stranger(filled)[hole].any()


def test_no_hole_changes_nothing():
    image = ground()
    assert (fill(image, np.zeros(image.shape[:2], bool)) == image).all()


def test_a_hole_over_everything_is_refused():
    image = ground()
    with pytest.raises(BackendError) as caught:
        fill(image, np.ones(image.shape[:2], bool))
    assert caught.value.mend


def test_a_smooth_gradient_is_continued():
    v, u = np.mgrid[:120, :160]
    grain = np.random.default_rng(0).normal(0, 1, (120, 160, 1))
    image = np.clip(np.stack([60 + u * 0.6, 80 + v * 0.5, 120 + u * 0.3], axis=2) + grain, 0, 255).astype(np.uint8)
    hole = block(image, 40, 50, 85, 110)
    broken = image.copy()
    broken[hole] = STRANGER
    error = np.abs(fill(broken, hole).astype(int) - image)[hole]
    assert error.mean() < 3


def test_softening_changes_only_a_rim_inside_the_hole():
    image = ground()
    hole = block(image, 30, 40, 60, 80)
    filled = np.where(hole[..., None], 200, image).astype(np.uint8)
    soft = soften(image, filled, hole, feather_px=3)
    assert (soft[~hole] == image[~hole]).all()
    assert (soft[40:50, 50:70] == 200).all()
    assert (soft[30, 50:70] != filled[30, 50:70]).any()


def test_the_table_under_the_bottle_is_ground_but_what_stands_on_it_is_not():
    image = ground()
    bottle = block(image, 20, 50, 60, 62)
    table, glass = block(image, 60, 20, 90, 110), block(image, 40, 80, 58, 90)
    apart = strangers(table | glass, bottle)
    assert (apart == glass).all()
    assert (strangers(bottle | glass, table)[bottle]).all()


def test_a_coat_around_a_badge_is_ground():
    image = ground()
    badge, coat = block(image, 40, 50, 50, 60), block(image, 20, 30, 80, 90)
    assert not strangers(coat & ~badge, badge).any()
