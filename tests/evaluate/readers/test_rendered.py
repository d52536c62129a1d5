"""Rendered scenes: always there, exact, the same everywhere."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from insightedit.core.errors import ConfigError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.readers.rendered import verdict
from insightedit.evaluate.sample import shown, status


@pytest.fixture(scope="module")
def found():
    return open_benchmark("scenes", settings=["count=16", "size=32"])


def test_tasks_and_levels_are_balanced(found):
    assert set(Counter(one.category for one in found.samples).values()) == {4}
    assert {group.name: len(found.members(group)) for group in found.groups} == {
        "all": 16, "simple": 8, "advanced": 8, "as-trained": 8, "held-out": 8,
    }  # fmt: skip


def test_what_lies_outside_the_mask_is_equal(found):
    for one in found.samples:
        seen = shown(one)
        assert status(one) is None and seen.source.shape == (32, 32, 3)
        assert np.array_equal((seen.source != seen.target).any(axis=2), seen.mask == 255)


def test_the_target_passes_and_the_source_does_not(found):
    one = found.samples[0]
    assert verdict(one, shown(one).target).success and not verdict(one, shown(one).source).success


def test_an_equal_seed_gives_equal_samples(found):
    again = open_benchmark("scenes", settings=["count=16", "size=32"])
    assert again.samples == found.samples and again.fingerprint() == found.fingerprint()
    assert [one.content() for one in again.samples[:2]] == [one.content() for one in found.samples[:2]]
    assert open_benchmark("scenes", settings=["count=16", "size=40"]).fingerprint() != found.fingerprint()
    other = open_benchmark("scenes", settings=["count=16", "size=32", "seed=1"])
    assert other.samples[0].asked() != found.samples[0].asked()
    assert pickle.loads(pickle.dumps(found.samples[0])) == found.samples[0]  # noqa: S301


def test_an_addition_and_its_removal_are_told_apart(found):
    removal = next(one for one in found.samples if one.category == "remove")
    assert removal.clip_text is None
    assert all(one.clip_text.startswith("a ") for one in found.samples if one.category != "remove")


def test_a_wrong_size_is_refused():
    with pytest.raises(ConfigError, match="size"):
        open_benchmark("scenes", settings=["size=8"])
