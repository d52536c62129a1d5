"""Records in one piece of memory: what went in comes out."""

from __future__ import annotations

import pickle

import pytest

from insightedit.datasets.packed import Packed

RECORDS = [{"a": [1, 2.5, None]}, "ü\n\t", [], {"deep": {"er": ["x"] * 9}}, 7]


def test_records_come_back_after_a_pickle():
    packed = pickle.loads(pickle.dumps(Packed(RECORDS)))  # noqa: S301
    assert len(packed) == 5
    assert [packed[number] for number in (4, 0, 3, 1, 2)] == [RECORDS[number] for number in (4, 0, 3, 1, 2)]


@pytest.mark.parametrize("number", [-1, 5])
def test_numbers_outside_are_refused(number):
    with pytest.raises(IndexError):
        Packed(RECORDS)[number]


def test_nothing_can_be_packed():
    assert len(Packed([])) == 0
