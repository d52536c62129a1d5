"""Polygons are united, never added up."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask
from insightedit.datasets.segments import union

LEFT, RIGHT = [2, 2, 12, 2, 12, 12, 2, 12], [8, 2, 18, 2, 18, 12, 8, 12]


def test_overlapping_polygons_have_no_hole():
    mask = union([[LEFT, RIGHT]], 24, 16)
    assert mask[3:11, 3:17].all()  # the reference's sum is 2 where both are, and `== 1` drops it
    assert not mask[:, 19:].any() and not mask[13:].any()


def test_several_objects_and_codes_are_united():
    square = np.zeros((16, 24), bool)
    square[10:15, 18:23] = True
    code = Mask.of(square).rle()
    both = union([[LEFT], code], 24, 16)
    assert np.array_equal(both, union([[LEFT]], 24, 16) | square)
    assert np.array_equal(union([[LEFT], [RIGHT]], 24, 16), union([[LEFT, RIGHT]], 24, 16))


@pytest.mark.parametrize(
    "bad", [[], None, "x", [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, "3", 4, 5, 6]], [[float("nan")] * 6],
            [[1e9] * 6], {"size": [3, 3], "counts": [9]}, {"size": [16, 24], "counts": [1, 2]}, {}],
)  # fmt: skip
def test_malformed_ones_are_unfit(bad):
    with pytest.raises(Unfit):
        union([bad], 24, 16)
