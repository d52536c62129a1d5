"""Step 1: photographs with notes become descriptions, the others leave with a reason."""

from __future__ import annotations

import pytest

from insightedit.construct.describe import Describe, DescribeKnobs
from insightedit.construct.work import Description, Painting, Segmentation, Work
from insightedit.core.record import Edit, Note, Object, Photo, Picture, Reject, Rle


def photo(count: int) -> Photo:
    notes = [Note(note_id=str(n), category="cup", box=[20.0 * n, 10, 20.0 * n + 18, 40]) for n in range(count)]
    return Photo(
        photo_id="p", uri="a.jpg", sha256="0", phash=0, cluster="p", width=900, height=60, orig_width=900,
        orig_height=60, note_width=900, note_height=60, notes=notes,
    )  # fmt: skip


def step(**knobs) -> Describe:
    return Describe(DescribeKnobs(**knobs))


def test_there_is_one_result_per_photograph_in_order():
    found = step().process([Work(photo(2), {}), Work(photo(0), {}), Work(photo(1), {})])
    assert [type(each) for each in found] == [Description, Reject, Description]
    assert (found[1].reason, found[1].photo_id, found[1].step) == ("no_annotation", "p", "describe")


def test_a_photograph_whose_notes_are_all_unusable_says_why():
    (found,) = step(min_side_px=50).process([Work(photo(3), {})])
    assert found.reason == "no_usable_object" and "3 noted" in found.seen and "too_small" in found.seen


def test_objects_beyond_the_limit_are_rejected_and_not_lost():
    (found,) = step(max_objects=3).process([Work(photo(5), {})])
    assert [thing.object_id for thing in found.objects] == ["p-0", "p-1", "p-2"]
    assert [(each.object_id, each.reason) for each in found.rejects] == [
        ("p-3", "too_many_objects"), ("p-4", "too_many_objects"),
    ]  # fmt: skip


def test_pictures_stay_behind_unless_a_step_needs_them():
    rle = Rle(size=[2, 2], counts="4")
    edit = Edit(
        edit_id="e", photo_id="p", object_id="p-0", task="replace", method="recolour", natural="source",
        category="cup", object_before="cup", source_sha256="s", edited_sha256="t", mask=rle, box=[0, 0, 1, 1],
    )  # fmt: skip
    painted = Painting(photo_id="p", edits=[edit], pictures=[Picture(sha256="s", jpeg=b"x")])
    work = Work(photo(1), {"paint": painted})
    (light,) = step().arrange([work])
    assert light.value("paint", Painting).pictures == [] and light.edits == [edit]

    class Greedy(Describe):
        needs = frozenset({"paint"})

    (heavy,) = Greedy(DescribeKnobs()).arrange([work])
    assert heavy.picture("s") == b"x"


def test_work_gives_values_by_step_and_class_only():
    work = Work(photo(1), {}).with_value("describe", Description(photo_id="p", caption="", objects=[]))
    assert work.value("describe", Description).caption == "" and work.key == "p"
    with pytest.raises(TypeError, match="step 'describe' left a Description, not a Painting"):
        work.value("describe", Painting)
    assert Work(photo(1), {}).values == {}


def test_an_edit_travels_with_its_object():
    thing = Object(object_id="p-0", category="cup", name="cup", box=[0, 0, 1, 1])
    rle = Rle(size=[2, 2], counts="4")
    edits = [
        Edit(edit_id=str(n), photo_id="p", object_id="p-0", task="replace", method="recolour", natural="source",
             category="cup", object_before="cup", source_sha256="s", edited_sha256=str(n), mask=rle, box=[0, 0, 1, 1])
        for n in range(2)
    ]  # fmt: skip
    work = Work(
        photo(1), {"segment": Segmentation(photo_id="p", objects=[thing]), "paint": Painting(photo_id="p", edits=edits)}
    )
    assert list(work.edits_with_objects()) == [(edit, thing) for edit in edits]
