"""Seeds are names, not draws."""

from insightedit.core.seed import derive


def test_seeds_never_change_between_versions_or_machines():
    assert derive(0, "photo-1", "paint") == 2011661087
    assert derive(0) == 1609362278
    assert derive(7, "a", 3) == 1828871391


def test_seeds_depend_on_every_part_and_on_its_place():
    seeds = [derive(0, "a", "b"), derive(0, "b", "a"), derive(1, "a", "b"), derive(0, "ab"), derive(0, "a", "b", "")]
    assert len(set(seeds)) == 5


def test_seeds_fit_every_library_and_spread():
    seeds = [derive(0, number) for number in range(2000)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == 2000
    assert abs(sum(seeds) / 2000 / 2**30 - 1) < 0.05
