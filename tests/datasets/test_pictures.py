"""Pictures of a dataset: bad ones are unfit, the two of a pair get one size."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.core.errors import Unfit
from insightedit.datasets import pictures


def test_a_large_photograph_comes_down_to_its_edited_side(art):
    """AdvancedEdit: 5616 x 3744 beside 960 x 640, sides rounded down to multiples of 8."""
    source, target = art.pixels(0, 562, 374), art.pixels(1, 96, 64)
    one, other = pictures.paired(source, target, 0)
    assert one.shape == other.shape == (64, 96, 3)
    assert np.array_equal(other, target)
    swapped = pictures.paired(target, source, 0)
    assert np.array_equal(swapped[0], target) and np.array_equal(swapped[1], one)


def test_equal_sizes_stay_as_they_are_and_a_limit_holds(art):
    source, target = art.pixels(0, 100, 50), art.pixels(1, 100, 50)
    assert pictures.paired(source, target, 0)[0] is source
    one, other = pictures.paired(source, target, 40)
    assert one.shape == other.shape == (20, 40, 3)


def test_two_pictures_that_are_no_pair_are_unfit(art):
    with pytest.raises(Unfit, match="sizes_differ"):
        pictures.paired(art.pixels(0, 100, 50), art.pixels(1, 50, 100), 0)


def test_bad_bytes_and_files_are_unfit(tmp_path, art):
    path = tmp_path / "cut.png"
    path.write_bytes(art.png(0)[:60])
    for call in (
        lambda: pictures.read(path),
        lambda: pictures.read(tmp_path / "none.png"),
        lambda: pictures.read_bytes(b""),
        lambda: pictures.read_bytes(None),
        lambda: pictures.read_bytes({"bytes": None, "path": "x.png"}),
        lambda: pictures.read_bytes("text"),
    ):
        with pytest.raises(Unfit):
            call()
    assert np.array_equal(pictures.read_bytes({"bytes": art.png(3), "path": None}), art.pixels(3))
