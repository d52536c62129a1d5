"""An order that is computed: every index once, another order for another seed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from insightedit.datasets.permutation import permuted


@pytest.mark.parametrize("size", [*range(1, 40), 255, 256, 257, 1000])
def test_every_index_comes_once(size):
    for seed in (0, 1, 2**31 - 1):
        assert sorted(permuted(place, size, seed) for place in range(size)) == list(range(size))


def test_seeds_and_places_are_well_mixed():
    orders = [[permuted(place, 500, seed) for place in range(500)] for seed in range(20)]
    fixed = [sum(a == b for a, b in zip(order, range(500), strict=True)) for order in orders]
    assert max(fixed) < 10  # one is expected
    rising = [sum(b > a for a, b in pairwise(order)) for order in orders]
    assert all(190 < count < 310 for count in rising)
    firsts = [permuted(0, 500, seed) for seed in range(2000)]
    assert len(set(firsts)) > 450 and 220 < sum(firsts) / len(firsts) < 280


def test_the_order_is_the_same_for_ever():
    """A change here changes what a resumed run sees."""
    assert [permuted(place, 12_423_374, 5) for place in (0, 1, 12_423_373)] == [11338916, 2864574, 4833330]


def test_places_outside_are_refused():
    for place in (-1, 5):
        with pytest.raises(ValueError, match="position"):
            permuted(place, 5, 0)
