"""Rendered scenes as a dataset: both directions of a pair, exact masks, no sentence of the held-out part."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from insightedit.datasets.rendered import Rendered, RenderedKnobs
from insightedit.scenes.grammar import holds, split_of


def reader(**knobs) -> Rendered:
    return Rendered(RenderedKnobs(**{"count": 10, "size": 48} | knobs))


def test_scenes_are_lawful_and_change_only_inside_their_mask(lawful):
    examples = lawful(reader())
    assert len(examples) == 20
    for one in examples:
        assert one.source.shape == (48, 48, 3) and one.mask.any()
        assert np.array_equal((one.source != one.target).any(2), one.mask)


def test_an_odd_index_is_the_way_back():
    one = reader(count=30)
    pairs = [(one.example(2 * n, 0), one.example(2 * n + 1, 0)) for n in range(30)]
    same = [(a, b) for a, b in pairs if a.id[:-2] == b.id[:-2]]  # else one of them gave way to another pair
    assert len(same) > 15
    back = {"remove": "add", "replace": "replace", "recolour": "recolour"}
    for forward, backward in same:
        assert np.array_equal(forward.source, backward.target) and np.array_equal(forward.target, backward.source)
        assert back[forward.task] == backward.task


@pytest.mark.parametrize("part", ["train", "heldout"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_level_and_part_are_as_wanted_and_the_sentence_is_true(share, part):
    one = reader(reasoning=share, part=part)
    for index in range(20):
        pair, _, said = one._worded(index, 1)
        assert said.level == ("advanced" if share else "simple")
        assert split_of(pair, said) == part and holds(pair, said)
        assert one.example(index, 1).instruction == said.text


def test_tasks_sentences_and_parts_vary():
    one = reader(count=60, size=32)
    drawn = [one.example(n, 0) for n in range(120)]
    tasks = Counter(example.task for example in drawn)
    assert set(tasks) == {"remove", "add", "replace", "recolour"} and min(tasks.values()) > 8
    assert len({one.example(0, seed).instruction for seed in range(12)}) > 3
    other = reader(seed=1, count=60, size=32)
    assert not np.array_equal(other.example(0, 0).source, drawn[0].source)
    assert reader(part="heldout").example(0, 0).instruction
