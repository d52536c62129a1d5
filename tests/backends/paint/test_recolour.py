"""Properties of recolouring, on a drawn shaded ball: only it changes, its light stays, its name is as asked."""

import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from insightedit.backends.describe.colour import name_colour
from insightedit.backends.paint.recolour import COLOURS, recolour, suitable_colours

RADIUS, CENTRE = 40, (75, 100)  # px, (row, column)


def ball(paint: tuple[int, int, int], soft: float = 1.0, depth: float = 0.75) -> tuple[np.ndarray, np.ndarray]:
    """A photograph uint8 (150, 200, 3) of a matt ball lit from the upper left, and its mask bool (150, 200)."""
    y, x = np.mgrid[:150, :200].astype(np.float32)
    away = np.hypot(y - CENTRE[0], x - CENTRE[1])
    light = 1.15 - depth * np.hypot(y - CENTRE[0] + 18, x - CENTRE[1] + 18) / (2 * RADIUS)
    alpha = np.clip((RADIUS - away) / soft + 0.5, 0, 1)[..., None]
    noise = np.random.default_rng(0).normal(0, 3, (150, 200, 3))
    image = alpha * np.array(paint) * light[..., None] + (1 - alpha) * np.array((90, 110, 100)) + noise
    return np.clip(image, 0, 255).astype(np.uint8), away <= RADIUS


def lightness(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0]


@pytest.mark.parametrize("colour", COLOURS)
def test_the_result_is_named_as_asked(colour):
    paint = {"red": (40, 90, 190), "orange": (70, 130, 220), "pink": (70, 130, 220), "white": (150, 230, 255)}.get(
        colour, (200, 30, 40)
    )
    image, mask = ball(paint, depth=0.45)  # in deep shade a white thing is gray, an orange one brown
    named, share = name_colour(recolour(image, mask, colour).image, mask)
    assert named == colour and share > 0.5, f"{colour} is seen as {named} ({share:.2f})"


@pytest.mark.parametrize("colour", ["blue", "yellow", "black"])
def test_nothing_changes_outside_the_support_and_it_hugs_the_mask(colour):
    image, mask = ball((200, 30, 40))
    painted = recolour(image, mask, colour)
    assert (painted.image[~painted.support] == image[~painted.support]).all()
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    assert away[painted.support].max() <= 6
    assert painted.support[cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0].mean() > 0.99


@pytest.mark.parametrize("paint", [(200, 30, 40), (150, 150, 150)])
def test_shading_keeps_its_order(paint):
    image, mask = ball(paint)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((11, 11))) > 0  # the blur below must not reach the ground
    before = lightness(cv2.GaussianBlur(image, (0, 0), 1.5))[inner]
    for colour in ("blue", "green", "yellow", "black", "white"):
        after = lightness(cv2.GaussianBlur(recolour(image, mask, colour).image, (0, 0), 1.5))[inner]
        assert spearmanr(before, after).statistic > 0.95, colour


def test_no_rim_of_the_old_colour_stays():
    image, mask = ball((210, 30, 30), soft=3)
    red = cv2.cvtColor(recolour(image, mask, "blue").image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1]
    assert np.percentile(cv2.GaussianBlur(red, (0, 0), 1), 99.9) < 30  # the paint itself has a = 60
    band = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) > 0
    warm = (cv2.GaussianBlur(recolour(image, mask, "blue").image.astype(np.float32), (0, 0), 1) * [1, 0, -1]).sum(2)
    assert (warm[band] > 25).mean() < 0.01


def test_the_ground_is_not_stained():
    image, mask = ball((210, 30, 30))
    outside = ~(cv2.dilate(mask.astype(np.uint8), np.ones((7, 7))) > 0)
    changed = np.abs(recolour(image, mask, "green").image.astype(int) - image)[outside]
    assert changed.max() <= 4


def test_other_colours_of_a_many_coloured_object_stay():
    image, mask = ball((200, 30, 40))
    image[65:85, 90:110] = (30, 160, 60)
    after = recolour(image, mask, "blue").image
    assert np.abs(after[70:80, 95:105].astype(int) - image[70:80, 95:105]).mean() < 6


def test_a_white_object_takes_colour_too():
    image, mask = ball((235, 235, 232))
    assert name_colour(recolour(image, mask, "red").image, mask)[0] == "red"


def test_equal_input_gives_equal_output():
    image, mask = ball((200, 30, 40))
    assert (recolour(image, mask, "blue").image == recolour(image.copy(), mask.copy(), "blue").image).all()


WINDOWS = [np.s_[0:1, 0:1], np.s_[0:3, 0:200], np.s_[:, :], np.s_[148:, 196:], np.s_[70:80, 95:99]]


@pytest.mark.parametrize("window", WINDOWS)
def test_tiny_and_border_touching_masks_work(window):
    image, _ = ball((200, 30, 40))
    mask = np.zeros(image.shape[:2], bool)
    mask[window] = True
    painted = recolour(image, mask, "blue")
    assert (painted.image[~painted.support] == image[~painted.support]).all()
    assert isinstance(suitable_colours(image, mask), list)


def test_an_empty_mask_changes_nothing():
    image, mask = ball((200, 30, 40))
    painted = recolour(image, np.zeros_like(mask), "blue")
    assert (painted.image == image).all() and not painted.support.any()
    assert suitable_colours(image, np.zeros_like(mask)) == []


def test_an_unknown_colour_is_refused_with_the_known_ones():
    image, mask = ball((200, 30, 40))
    with pytest.raises(ValueError, match="purple"):
        recolour(image, mask, "mauve")


def test_suitable_colours_are_other_colours_and_no_light_is_invented():
    for paint, own in (((200, 30, 40), "red"), ((40, 80, 190), "blue"), ((45, 140, 60), "green")):
        offered = suitable_colours(*ball(paint))
        assert offered and own not in offered
    assert not {"white", "yellow", "pink"} & set(suitable_colours(*ball((30, 30, 30))))
    assert suitable_colours(*ball((255, 255, 255))) == [] or "white" not in suitable_colours(*ball((255, 255, 255)))


def test_a_burnt_out_lamp_is_left_alone():
    image, mask = ball((200, 30, 40))
    image[mask] = 255
    assert suitable_colours(image, mask) == []
