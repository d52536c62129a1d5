"""Pictures and masks: exact, the same every time, and different only where the edit shows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.scenes import rays
from insightedit.scenes import render as renderer
from insightedit.scenes.rays import View
from insightedit.scenes.render import Stage, as_arrays, render, render_pair, render_pairs
from insightedit.scenes.sampling import samples

PAIRS = list(islice(samples(11), 12))


def by_task(task: str):
    return next(pair for pair in PAIRS if pair.task == task)


def test_every_drawing_of_a_pair_has_the_same_bytes_alone_or_in_any_batch():
    whole = as_arrays(render_pairs(PAIRS))
    for index, pair in enumerate(PAIRS):
        one = render_pair(pair)
        assert (one.before.image == whole["before"][index]).all() and (one.after.image == whole["after"][index]).all()
        assert (one.changed == whole["changed"][index]).all()
    assert whole["before"].dtype == np.uint8 and whole["before"].shape == (12, 64, 64, 3)


def test_the_bytes_are_those_of_the_version_that_rows_name():
    """A change here needs another number in `published.ENGINE`: rows promise that their seed draws them again."""
    digest = hashlib.sha256()
    for one in render_pairs(PAIRS[:4]):
        digest.update(one.before.image.tobytes() + one.after.image.tobytes())
    assert digest.hexdigest()[:16] == "8b3d45e107f40411"


def test_the_order_of_things_and_the_scenes_drawn_before_change_nothing():
    scene = PAIRS[3].before
    stage = Stage(scene, 64)
    stage.draw(PAIRS[3].after)
    turned = replace(scene, things=scene.things[::-1])
    assert (stage.draw(scene).image == render(scene).image).all()
    assert (stage.draw(turned).image == render(scene).image).all()


def test_looking_only_where_a_thing_can_be_leaves_nothing_out(monkeypatch):
    quick = [render_pair(pair) for pair in PAIRS]
    monkeypatch.setattr(View, "crop", lambda self, points: (slice(0, self.side), slice(0, self.side)))
    monkeypatch.setattr(renderer, "may_shade", lambda *things: True)
    for one, pair in zip(quick, PAIRS, strict=True):
        slow = render_pair(pair)
        assert (slow.before.image == one.before.image).all() and (slow.after.image == one.after.image).all()


@pytest.mark.parametrize("size", [32, 96, 256])
def test_other_sizes_show_the_same_scene(size):
    pair = by_task("replace")
    small, one = render_pair(pair), render_pair(pair, size)
    assert one.before.image.shape == (size, size, 3)
    for mask in ("changed", "subject_before", "subject_after"):
        assert abs(getattr(one, mask).mean() - getattr(small, mask).mean()) < 0.03
    assert abs(one.before.image.mean() - small.before.image.mean()) < 3


@pytest.mark.parametrize("size", [31, 257, 0])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(InputError, match="32 to 256"):
        render(PAIRS[0].before, size)


def test_a_change_is_caused_by_the_thing_and_shows_on_it():
    for pair in PAIRS:
        one = render_pair(pair)
        subject = one.subject_before | one.subject_after
        assert (one.changed & subject).sum() > 0.9 * subject.sum()
        assert one.changed.mean() < 0.4
        assert not one.after.mask(None).any()


def test_a_removed_thing_takes_its_shadow_and_its_reflection_along():
    beyond = [render_pair(pair) for pair in PAIRS if pair.task == "remove"]
    shadows = [int((one.changed & ~one.subject_before).sum()) for one in beyond]
    assert sum(size > 5 for size in shadows) >= len(shadows) - 1  # one may lie behind its thing
    for one in beyond:  # what stays is as it would be had the thing never been there
        assert (one.after.image == render(one.pair.before.without(one.pair.subject)).image).all()
    metal = next(pair for pair in islice(samples(12), 200) if _mirrors(pair))
    one = render_pair(metal)
    other = next(index for index, thing in enumerate(metal.before.things) if thing.material == "metal")
    assert (one.changed & one.before.mask(other) & ~one.subject_before).any()


def _mirrors(pair) -> bool:
    """A recolouring, which leaves shadows alone, beside a metal thing that is seen to reflect it."""
    things = pair.before.things
    if pair.task != "recolour" or things[pair.subject].material == "metal":
        return False
    metal = [index for index, thing in enumerate(things) if thing.material == "metal"]
    one = render_pair(pair)
    return len(metal) == 1 and bool((one.changed & ~one.subject_before).any())


def test_masks_are_the_thing_and_owners_are_right():
    pair = by_task("recolour")
    one = render_pair(pair)
    lonely = render(replace(pair.before, things=(pair.thing,)))
    assert (one.subject_before == one.subject_after).all()
    assert not (one.subject_before & ~lonely.mask(0)).any()
    bare = render(replace(pair.before, things=()))
    assert (bare.owner == rays.GROUND).all()


def test_reading_backwards_swaps_the_sides():
    one = render_pair(by_task("remove"))
    back = one.reversed()
    assert back.pair.task == "add" and back.before is one.after and (back.changed == one.changed).all()
    assert (back.subject_after == one.subject_before).all() and not back.subject_before.any()


def test_a_stage_refuses_a_scene_with_other_surroundings():
    with pytest.raises(ValueError, match="other surroundings"):
        Stage(PAIRS[0].before, 64).draw(PAIRS[1].before)
