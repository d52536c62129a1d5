"""Each fault is what it says it is, and the same every time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from insightedit.core.errors import UnknownName
from insightedit.evaluate.faults import FAULTS, faulty, reencoded
from insightedit.evaluate.known import Known, of_scenes
from insightedit.scenes.render import render
from insightedit.scenes.truth import judge


@pytest.fixture(scope="module")
def scenes():
    return list(of_scenes(8, seed=3, size=48))


def photograph(name, box, source, value):
    """A removal that paints `box` (y0, y1, x0, x1) with grain around `value`."""
    mask = np.zeros(source.shape[:2], bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    fill = np.random.default_rng(value).integers(value - 8, value + 8, source.shape).astype(np.uint8)
    return Known(name, "photo", "remove", "removal", "remove it", source, np.where(mask[..., None], fill, source), mask)


@pytest.fixture(scope="module")
def photo():
    source = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    other = photograph("b", (30, 50, 50, 70), source, 60)
    one = photograph("a", (10, 40, 10, 35), source, 180)
    return Known(**{**one.__dict__, "beside": (other,)})


def differs(first, second):
    return (first != second).any(axis=2)


def test_the_same_seed_gives_the_same_picture(scenes, photo):
    for edit in (*scenes[:4], photo):
        for fault in FAULTS:
            one, again = faulty(edit, fault, 5), faulty(edit, fault, 5)
            assert one is again is None or np.array_equal(one, again), fault
    panned = {faulty(edit, "background_shifted", seed).tobytes() for edit in scenes[:1] for seed in range(6)}
    assert len(panned) == 2  # to either side


def test_nothing_changed_is_the_source(scenes, photo):
    for edit in (*scenes, photo):
        assert np.array_equal(faulty(edit, "nothing_changed"), edit.source)


def test_a_shifted_background_changes_only_outside(scenes, photo):
    for edit in (*scenes, photo):
        seen = differs(faulty(edit, "background_shifted"), edit.target)
        assert seen.any() and not seen[edit.mask].any()


def test_a_blurred_fill_changes_only_inside_and_smooths(scenes, photo):
    made = [(edit, faulty(edit, "blurred_fill")) for edit in (*scenes, photo)]
    assert len([picture for _, picture in made if picture is not None]) > 4
    for edit, picture in made:
        if picture is None:  # it would not show
            continue
        assert not differs(picture, edit.target)[~edit.mask].any()
        fine = [np.abs(cv2.Laplacian(one, cv2.CV_64F))[edit.mask].mean() for one in (picture, edit.target)]
        assert fine[0] < fine[1]


def test_the_wrong_object_leaves_the_right_one(scenes, photo):
    asked = [edit for edit in scenes if edit.task in ("remove", "recolour")]
    assert asked
    for edit in asked:
        picture = faulty(edit, "wrong_object")
        own = edit.rendered.subject_before
        kept = (cv2.absdiff(picture, edit.source).max(axis=2)[own] < 24).mean()  # another's shadow may touch it
        assert kept > 0.8, edit.id
        assert differs(picture, edit.source).any() and not judge(edit.pair, picture).done
    picture = faulty(photo, "wrong_object")
    assert np.array_equal(picture[photo.mask], photo.source[photo.mask])
    assert np.array_equal(differs(picture, photo.source), differs(photo.beside[0].target, photo.source))


def test_an_over_edit_does_what_was_asked_and_more(scenes, photo):
    for edit in scenes:
        picture = faulty(edit, "over_edit")
        if picture is not None:
            assert differs(picture, edit.target).any() and not judge(edit.pair, picture).kept
    picture = faulty(photo, "over_edit")
    assert np.array_equal(picture[photo.mask], photo.target[photo.mask])
    assert differs(picture, photo.target)[photo.beside[0].mask].any()


def test_a_leftover_shadow_is_the_source_s_light_without_the_thing(scenes):
    found = [(edit, faulty(edit, "leftover_shadow")) for edit in scenes]
    assert all(picture is None for edit, picture in found if edit.task in ("add", "recolour"))
    cast = [(edit, picture) for edit, picture in found if picture is not None]
    assert cast
    for edit, picture in cast:
        drawn = edit.rendered
        things = drawn.subject_before | drawn.subject_after
        assert np.array_equal(picture[things], edit.target[things])
        assert np.array_equal(picture[~things], edit.source[~things])
        assert differs(picture, edit.target).sum() >= 8


def test_a_shadow_on_a_photograph_is_dark_and_at_the_foot_of_what_was_removed(photo):
    picture = faulty(photo, "leftover_shadow")
    seen = differs(picture, photo.target)
    assert seen.any() and not seen[~photo.mask].any() and (picture <= photo.target).all()
    assert np.flatnonzero(seen.any(axis=1)).mean() > np.flatnonzero(photo.mask.any(axis=1)).mean()
    recoloured = Known(**{**photo.__dict__, "task": "recolour"})
    assert faulty(recoloured, "leftover_shadow") is None


def test_a_photograph_with_one_edit_has_no_wrong_object(photo):
    alone = Known(**{**photo.__dict__, "beside": ()})
    assert faulty(alone, "wrong_object") is None and faulty(alone, "over_edit") is None


def test_a_new_encoding_changes_pixels_everywhere_and_the_verdict_nowhere(scenes):
    for edit in scenes:
        picture = reencoded(edit.target)
        assert differs(picture, edit.target).mean() > 0.5
    done = [judge(edit.pair, reencoded(edit.target)).success for edit in scenes]
    assert np.mean(done) > 0.8


def test_an_unknown_fault_is_refused(scenes):
    with pytest.raises(UnknownName, match="over_edit"):
        faulty(scenes[0], "overedit")


def test_scenes_are_those_of_the_exam(scenes):
    first = scenes[0]
    assert np.array_equal(render(first.pair.after, 48).image, first.target)
    assert np.array_equal(differs(first.source, first.target), first.mask)
