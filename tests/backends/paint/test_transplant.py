"""Properties of transplants: a clean cut-out, a paste that stays in its box, and a fit that refuses what cannot be."""

import cv2
import numpy as np
import pytest

from insightedit.backends.paint.transplant import CutOut, cut_out, fits, place, sharpness

BOX = (60, 40, 160, 140)


def photo(paint: tuple[int, int, int], ground: tuple[int, int, int], blur: float = 0) -> np.ndarray:
    """uint8 (180, 240, 3): a disc of radius 40 px on textured ground."""
    y, x = np.mgrid[:180, :240].astype(np.float32)
    alpha = np.clip(40.5 - np.hypot(y - 90, x - 110), 0, 1)[..., None]
    noise = np.random.default_rng(0).normal(0, 1, (45, 60, 1)).repeat(4, 0).repeat(4, 1) * 25
    image = alpha * np.array(paint) + (1 - alpha) * np.clip(np.array(ground) + noise, 0, 255)
    image = np.clip(image, 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(image, (0, 0), blur) if blur else image


def disc() -> np.ndarray:
    y, x = np.mgrid[:180, :240]
    return np.hypot(y - 90, x - 110) <= 40


@pytest.fixture(scope="module")
def donor() -> CutOut:
    return cut_out(photo((210, 60, 40), (60, 120, 70)), disc())


def test_a_cut_out_is_tight_and_its_rim_holds_no_old_ground(donor):
    assert abs(donor.alpha.shape[0] - 81) <= 6 and abs(donor.alpha.shape[1] - 81) <= 6
    rim = (donor.alpha > 0.1) & (donor.alpha < 0.9)
    assert rim.any()
    assert (np.abs(donor.pixels[rim].astype(int) - (210, 60, 40)).max(1) < 60).mean() > 0.9


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="empty"):
        cut_out(photo((210, 60, 40), (60, 120, 70)), np.zeros((180, 240), bool))


@pytest.mark.parametrize("box", [BOX, (0, 0, 50, 90), (200, 120, 240, 180), (-30, -20, 60, 60), (300, 300, 350, 350)])
def test_a_paste_stays_in_its_box_and_changes_nothing_else(donor, box):
    ground = photo((90, 90, 160), (110, 110, 110))
    painted = place(ground, donor, box)
    assert (painted.image[~painted.support] == ground[~painted.support]).all()
    inside = np.zeros_like(painted.support)
    inside[max(0, box[1]) : max(0, box[3]), max(0, box[0]) : max(0, box[2])] = True
    assert not (painted.support & ~inside).any()


def test_it_stands_on_the_bottom_of_the_box(donor):
    painted = place(photo((90, 90, 160), (110, 110, 110)), donor, (60, 20, 160, 150))
    rows = np.nonzero(painted.support.any(1))[0]
    assert rows[-1] == 149


def test_its_middle_is_the_donor(donor):
    painted = place(photo((90, 90, 160), (110, 110, 110)), donor, BOX)
    middle = painted.image[80:110, 95:125].reshape(-1, 3).mean(0)
    assert middle[0] > middle[1] + 60 and middle[0] > middle[2] + 60


def test_equal_input_gives_equal_output(donor):
    ground = photo((90, 90, 160), (110, 110, 110))
    assert (place(ground, donor, BOX).image == place(ground.copy(), donor, BOX).image).all()


def test_a_sharp_donor_is_blurred_into_a_blurred_scene(donor):
    scene = photo((90, 90, 160), (110, 110, 110), blur=4)
    sharp = place(photo((90, 90, 160), (110, 110, 110)), donor, BOX)
    soft = place(scene, donor, BOX)
    row = np.s_[90, 60:160, 0]
    assert np.abs(np.diff(soft.image[row].astype(int))).max() < np.abs(np.diff(sharp.image[row].astype(int))).max()


def test_sharpness_grows_with_blur():
    widths = [sharpness(photo((210, 60, 40), (60, 120, 70), blur=sigma)) for sigma in (0, 2, 4)]
    assert widths[0] < widths[1] < widths[2]


def test_fit_falls_to_nothing_outside_the_scale_limits_and_with_a_wrong_shape(donor):
    assert fits(donor, (0, 0, 84, 84)) > 0.9
    assert fits(donor, (0, 0, 40, 40)) == 0 and fits(donor, (0, 0, 200, 200)) == 0
    assert fits(donor, (0, 0, 84, 160)) < 0.2
    scene = photo((90, 90, 160), (110, 110, 110))
    assert 0 <= fits(donor, BOX, scene) <= fits(donor, BOX)
