"""What is measured abstains where a person could disagree."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.backends.describe.measure import DOUBT, NEAR_TIE, measured, size_ranks
from insightedit.core.mask import Mask
from insightedit.core.record import Object, Rle


def thing(name: str, box: tuple[int, int, int, int], frame=(300, 300)) -> Object:
    full = np.zeros(frame, bool)
    full[box[1] : box[3], box[0] : box[2]] = True
    mask = Mask.of(full)
    return Object(object_id=name, category=name, name=name, box=list(box), mask=Rle(**mask.rle()), area=mask.area)


def test_sizes_are_ranked_from_the_largest():
    assert size_ranks([100, 1000, 10]) == [2, 1, 3]
    assert size_ranks([]) == [] and size_ranks([7]) == [1]


def test_near_ties_have_no_rank_and_still_count_for_the_others():
    assert size_ranks([1000, 900, 100]) == [None, None, 3]
    assert size_ranks([100, 1000, 110, 5]) == [None, 1, None, 4]
    assert size_ranks([0, 0]) == [None, None]


def test_a_rank_is_stated_only_where_the_order_is_clear():
    rng = np.random.default_rng(0)
    for _ in range(200):
        areas = [int(area) for area in rng.integers(1, 2000, int(rng.integers(1, 9)))]
        for index, rank in enumerate(size_ranks(areas)):
            others = areas[:index] + areas[index + 1 :]
            clear = all(max(areas[index], other) >= NEAR_TIE * min(areas[index], other) for other in others)
            assert rank == (1 + sum(other > areas[index] for other in others) if clear else None)


@pytest.mark.parametrize(
    ("centre", "across"),
    [(20, "left"), (85, "left"), (95, None), (100, None), (105, None), (115, "middle"), (150, "middle"),
     (185, "middle"), (200, None), (215, "right"), (280, "right")],
)  # fmt: skip
def test_thirds_abstain_near_their_edges(centre, across):
    image = np.zeros((300, 300, 3), np.uint8)
    wide, tall = thing("a", (centre - 10, 140, centre + 10, 160)), thing("b", (140, centre - 10, 160, centre + 10))
    down = {"left": "top", "middle": "middle", "right": "bottom", None: None}[across]
    first, second = measured(image, [wide, tall])
    assert (first.across, first.down) == (across, "middle") and (second.across, second.down) == ("middle", down)


def test_doubt_is_a_share_of_the_frame_and_not_of_pixels():
    for size in (90, 900):
        image = np.zeros((size, size, 3), np.uint8)
        edge = size / 3
        near, clear = round(edge + 0.5 * DOUBT * size), round(edge + 1.6 * DOUBT * size)
        found = measured(image, [thing("a", (at - 2, 2, at + 2, 6), (size, size)) for at in (near, clear)])
        assert [item.across for item in found] == [None, "middle"]


def test_a_colour_is_stated_where_it_is_plain_and_not_where_it_is_mixed():
    image = np.full((300, 300, 3), 255, np.uint8)
    image[100:200, 0:100] = (200, 20, 30)
    image[100:200, 150:200], image[100:200, 200:250] = (200, 20, 30), (30, 70, 190)
    image[100:200, 250:275] = (245, 220, 40)
    plain, mixed = measured(image, [thing("a", (0, 100, 100, 200)), thing("b", (150, 100, 300, 200))])
    assert (plain.colour, mixed.colour) == ("red", None) and plain.colour_share > 0.95


def test_an_object_without_mask_has_no_colour():
    bare = thing("a", (10, 10, 50, 50)).but(mask=None)
    assert measured(np.zeros((300, 300, 3), np.uint8), [bare])[0].colour is None


def test_nothing_else_about_an_object_changes():
    before = [thing("a", (10, 10, 90, 90)), thing("b", (210, 210, 260, 260))]
    after = measured(np.zeros((300, 300, 3), np.uint8), before)
    blank = {"size_rank": None, "across": None, "down": None, "colour": None, "colour_share": None}
    assert [item.but(**blank) for item in after] == before
