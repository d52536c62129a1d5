"""Drawn pairs: things apart, in the picture, not hidden; the same pair for the same seed."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np

from insightedit.scenes.render import render
from insightedit.scenes.sampling import GAP, pair_seed, sample, samples

PAIRS = list(islice(samples(2), 60))


def test_a_seed_gives_one_pair_and_another_seed_another():
    assert [sample(pair.seed) for pair in PAIRS[:10]] == PAIRS[:10]
    assert next(samples(2, start=7)) == PAIRS[7]
    assert len({pair.scene_id for pair in PAIRS}) == len(PAIRS)
    assert len({pair_seed(0, index) for index in range(20_000)}) == 20_000


def test_a_pair_and_its_reverse_share_an_id_and_reverse_twice_is_the_pair():
    for pair in PAIRS[:10]:
        assert pair.reversed().scene_id == pair.scene_id and pair.reversed().reversed() == pair
        assert len(pair.scene_id) == 16


def test_two_scenes_differ_in_the_subject_only():
    for pair in PAIRS:
        if pair.task == "remove":
            assert pair.after == pair.before.without(pair.subject) and pair.result is None
            continue
        assert pair.after == pair.before.having(pair.subject, pair.result)
        kept = ("right", "away", "turn", "size", "material")
        assert all(getattr(pair.thing, name) == getattr(pair.result, name) for name in kept)
        assert (pair.thing.shape == pair.result.shape) == (pair.task == "recolour")


def test_things_stand_apart():
    for pair in PAIRS:
        things = pair.before.things
        for index, one in enumerate(things):
            for other in things[:index]:
                assert (
                    math.hypot(one.right - other.right, one.away - other.away) >= one.radius + other.radius + GAP - 1e-6
                )


def test_every_thing_is_seen_well_in_both_pictures():
    for pair in PAIRS[:25]:
        for scene in (pair.before, pair.after):
            picture = render(scene)
            for index in range(len(scene.things)):
                mask = picture.mask(index)
                rows, columns = np.nonzero(mask)
                assert mask.sum() >= 12, (pair.seed, index)
                alone = render(scene.__class__((scene.things[index],), scene.camera, scene.light, scene.ground)).mask(0)
                assert mask.sum() >= 0.5 * alone.sum()
                assert min(rows) > 0 or max(rows) < 63
                assert 0 <= min(columns) <= max(columns) <= 63


def test_all_tasks_shapes_and_counts_occur():
    assert {pair.task for pair in PAIRS} == {"remove", "replace", "recolour"}
    things = [thing for pair in PAIRS for thing in pair.before.things]
    assert {thing.shape for thing in things} == {"sphere", "cube", "cylinder", "cone"}
    assert len({thing.colour for thing in things}) == 8 and {thing.material for thing in things} == {"matte", "metal"}
    assert {len(pair.before.things) for pair in PAIRS} == {2, 3, 4, 5}
