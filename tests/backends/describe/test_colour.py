"""Properties of colour naming: sure of plain paint, robust to shade, silent when in doubt."""

import numpy as np
import pytest

from insightedit.backends.describe.colour import WORDS, name_colour, share_named

PAINTS = {
    "red": (190, 25, 30), "orange": (240, 130, 30), "yellow": (240, 210, 50), "green": (40, 135, 55),
    "blue": (35, 80, 180), "purple": (115, 55, 150), "pink": (240, 140, 180), "brown": (110, 70, 40),
    "black": (20, 20, 21), "white": (240, 240, 238), "gray": (125, 125, 127),
}  # fmt: skip


def patch(paint: tuple[int, int, int], shade: tuple[float, float] = (0.85, 1.05)) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (60, 80, 3) of one paint under a run of light, and a mask of its middle."""
    light = np.linspace(*shade, 80)[None, :, None]
    noise = np.random.default_rng(0).normal(0, 3, (60, 80, 3))
    mask = np.zeros((60, 80), bool)
    mask[5:55, 5:75] = True
    return np.clip(np.array(paint) * light + noise, 0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("word", PAINTS)
def test_plain_paint_gets_its_basic_word(word):
    named, share = name_colour(*patch(PAINTS[word]))
    assert named == word and share >= 0.5


def test_two_equal_halves_of_other_colours_get_no_word():
    image, mask = patch(PAINTS["gray"])
    for k, word in enumerate(("blue", "black", "green", "white")):
        image[:, 20 * k : 20 * k + 20] = PAINTS[word]
    named, share = name_colour(image, mask)
    assert named is None and share < 0.5


def test_a_vivid_object_with_a_white_rim_is_named_by_its_paint():
    image, mask = patch(PAINTS["white"])
    image[:, 40:] = PAINTS["red"]
    assert name_colour(image, mask)[0] == "red"


def test_empty_and_single_pixel_masks_work():
    image, mask = patch(PAINTS["red"])
    assert name_colour(image, np.zeros_like(mask)) == (None, 0.0)
    one = np.zeros_like(mask)
    one[0, 0] = True
    named, share = name_colour(image, one)
    assert (named is None or named in WORDS) and 0 <= share <= 1


def test_size_and_repetition_do_not_change_the_name():
    image, mask = patch(PAINTS["green"])
    large = name_colour(image.repeat(9, 0).repeat(9, 1), mask.repeat(9, 0).repeat(9, 1))
    assert large[0] == name_colour(image, mask)[0] == "green"
    assert large == name_colour(image.repeat(9, 0).repeat(9, 1), mask.repeat(9, 0).repeat(9, 1))


def test_shares_of_all_words_add_up_to_one():
    image, mask = patch(PAINTS["brown"], shade=(0.4, 1.4))
    assert sum(share_named(image, mask, word) for word in WORDS) == pytest.approx(1)
