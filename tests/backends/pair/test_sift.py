"""The filter's arithmetic on numbers that can be checked by eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from insightedit.backends.pair.sift import SiftKnobs, sift


@dataclass
class Table:
    before: np.ndarray
    after: np.ndarray
    direction: np.ndarray
    image: np.ndarray


def table(*rows) -> Table:
    return Table(*np.array(rows, dtype=np.float64).T)


GOOD = (0.25, 0.26, 0.30, 0.80)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (GOOD, ""),
        ((0.2, 0.2, 0.2, 0.7), ""),  # a threshold itself passes
        ((0.199, 0.3, 0.3, 0.9), "before_unlike_caption"),
        ((0.3, 0.199, 0.3, 0.9), "after_unlike_caption"),
        ((0.3, 0.3, 0.199, 0.9), "direction_differs"),
        ((0.3, 0.3, 0.3, 0.699), "pictures_differ"),
        ((0.3, 0.3, float("nan"), 0.9), "direction_differs"),
        ((0.1, 0.1, 0.1, 0.1), "before_unlike_caption"),  # the first that fails
    ],
)
def test_each_threshold_decides_by_itself(row, reason):
    kept, reasons = sift(table(row), SiftKnobs())
    assert reasons == [reason] and kept == ([] if reason else [0])


def test_the_best_directions_are_kept_in_order_and_the_rest_says_why():
    directions = [0.21, 0.5, 0.1, 0.4, 0.5, 0.3, 0.35]
    rows = [(0.25, 0.26, direction, 0.8) for direction in directions]
    kept, reasons = sift(table(*rows), SiftKnobs())
    assert kept == [1, 4, 3, 6]  # at a tie the earlier sample first
    assert reasons == ["not_among_best", "", "direction_differs", "", "", "not_among_best", ""]


def test_thresholds_and_number_are_knobs():
    rows = [(0.15, 0.15, 0.05, 0.5), GOOD]
    loose = SiftKnobs(min_text=0.1, min_direction=0.0, min_image=0.4, most=1)
    assert sift(table(*rows), loose) == ([1], ["not_among_best", ""])


def test_no_samples_keep_nothing():
    assert sift(Table(*np.zeros((4, 0))), SiftKnobs()) == ([], [])
