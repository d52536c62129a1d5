"""From what somebody noted to objects of the working image."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from insightedit.backends.describe.annotations import describe, overlap
from insightedit.core.mask import Mask
from insightedit.core.record import Note, Photo, Rle

SQUARE = [40.0, 80.0, 200.0, 80.0, 200.0, 240.0, 40.0, 240.0]


def photo(*notes: Note, width=260, height=220, note_width=260, note_height=220, caption="") -> Photo:
    return Photo(
        photo_id="p", uri="a.jpg", sha256="0", phash=0, cluster="p", width=width, height=height, orig_width=width,
        orig_height=height, note_width=note_width, note_height=note_height, notes=list(notes), caption=caption,
    )  # fmt: skip


def note(**known) -> Note:
    return Note(**({"note_id": "1", "category": "cup"} | known))


def only(given: Photo):
    _, (thing,), rejects = describe(given)
    assert rejects == []
    return thing


def refused(given: Photo) -> str:
    _, objects, (reject,) = describe(given)
    assert objects == [] and reject.step == "describe" and reject.photo_id == "p" and reject.uri == "a.jpg"
    return reject.reason


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_scaled_annotations_land_where_they_should(scale):
    frame = {"width": 1040 // scale, "height": 880 // scale, "note_width": 1040, "note_height": 880}
    rle = Rle(**Mask.from_polygons([SQUARE], 1040, 880).rle())
    wanted = [40 // scale, 80 // scale, 200 // scale, 240 // scale]
    for given in (note(box=[40, 80, 200, 240]), note(polygons=[SQUARE]), note(rle=rle)):
        thing = only(photo(given, **frame))
        assert thing.box == wanted, thing.mask_from
        if thing.mask:
            mask = Mask.from_rle(thing.mask.model_dump())
            assert (mask.width, mask.height, mask.area) == (frame["width"], frame["height"], (160 // scale) ** 2)


def test_annotations_scaled_unevenly_by_rounding_follow_each_axis():
    thing = only(photo(note(box=[100, 100, 900, 900]), width=110, height=90, note_width=1000, note_height=1000))
    assert thing.box == [11, 9, 99, 81]


def test_outlines_are_rasterised_as_coco_does():
    polygons = [[10.5, 20, 90, 33.3, 60, 120], [100, 100, 140, 100, 140, 140, 100, 140]]
    thing = only(photo(note(polygons=polygons)))
    theirs = coco.decode(coco.merge(coco.frPyObjects(polygons, 220, 260))).astype(bool)
    np.testing.assert_array_equal(Mask.from_rle(thing.mask.model_dump()).full(), theirs)
    assert thing.mask_from == "polygon" and thing.box == list(Mask.of(theirs).box)


def test_an_outline_goes_before_a_box():
    assert only(photo(note(polygons=[SQUARE], box=[0, 0, 20, 20]))).box == [40, 80, 200, 220]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (note(box=[10, 10, 10, 90]), "box_of_no_area"),
        (note(box=[90, 10, 10, 90]), "box_of_no_area"),
        (note(box=[float("nan"), 10, 90, 90]), "box_of_no_area"),
        (note(box=[300, 10, 400, 90]), "box_outside_image"),
        (note(box=[-100, 10, 50, 90]), "box_outside_image"),
        (note(box=[10, 10, float("inf"), 90]), "box_outside_image"),
        (note(box=[10, 10, 90, 20]), "too_small"),
        (note(), "no_box"),
        (note(polygons=[[1, 1, 1, 1, 1, 1]]), "mask_of_no_area"),
        (note(polygons=[[300, 1, 400, 1, 400, 90]]), "mask_of_no_area"),
        (note(polygons=[[1, 1, 1e9, 1, 1, 90]]), "malformed_polygon"),
        (note(polygons=[[1, 1, 20, 1, 20, 4, 1, 4]]), "too_small"),
        (note(rle=Rle(size=[440, 520], counts="PPYo1")), "rle_size_mismatch"),
        (note(rle=Rle(size=[220, 260], counts="junk")), "malformed_rle"),
        (note(rle=Rle(**Mask.of(np.zeros((220, 260), bool)).rle())), "mask_of_no_area"),
        (note(category="", box=[10, 10, 90, 90]), "no_name"),
        (note(category="7 (a cup)", box=[10, 10, 90, 90]), "no_name"),
        (note(category="an epic that tells of one cup in seven words", box=[10, 10, 90, 90]), "no_name"),
        (note(is_crowd=True, box=[10, 10, 90, 90]), "crowd"),
    ],
)
def test_what_cannot_be_used_is_rejected_by_its_reason(given, reason):
    assert refused(photo(given)) == reason


def test_a_box_that_sticks_out_a_little_is_cut_to_the_frame():
    assert only(photo(note(box=[-3, -2, 100, 100]))).box == [0, 0, 100, 100]
    assert only(photo(note(box=[200, 150, 262, 223]))).box == [200, 150, 260, 220]


def test_one_bad_note_costs_no_other():
    _, objects, rejects = describe(
        photo(note(box=[10, 10, 90, 90]), note(note_id="2"), note(note_id="3", polygons=[SQUARE]))
    )
    assert [thing.object_id for thing in objects] == ["p-1", "p-3"]
    assert [(reject.object_id, reject.reason) for reject in rejects] == [("p-2", "no_box")]


def test_an_object_noted_twice_is_one_object():
    twice = photo(note(box=[10, 10, 90, 90]), note(note_id="2", box=[10, 11, 90, 91]))
    _, objects, rejects = describe(twice)
    assert len(objects) == 1 and rejects[0].reason == "noted_twice"
    _, objects, _ = describe(
        photo(note(box=[10, 10, 90, 90]), note(note_id="2", category="saucer", box=[10, 11, 90, 91]))
    )
    assert len(objects) == 2


def test_every_object_has_an_id_of_its_own_whatever_the_notes_say():
    boxes = [[10.0 + 40 * n, 10, 40.0 + 40 * n, 90] for n in range(6)]
    ids = ["1", "", "1", "n1", "", "1"]
    given = photo(*(note(note_id=name, box=box) for name, box in zip(ids, boxes, strict=True)), note(note_id=""))
    _, objects, rejects = describe(given)
    names = [each.object_id for each in (*objects, *rejects)]
    assert len(objects) == 6 and len(set(names)) == 7


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Wine_Bottle", "wine bottle"),
        ("cup (red)", "cup"),
        ("TV", "TV"),
        ("rock'n'roll  sign", "rock'n'roll sign"),
        ("t-shirt", "t-shirt"),
    ],
)
def test_names_are_as_one_says_them(text, name):
    assert only(photo(note(name=text, box=[10, 10, 90, 90]))).name == name


def test_a_caption_is_made_only_where_nobody_wrote_one():
    boxes = {"1": [10, 10, 90, 90], "2": [100, 10, 190, 90], "3": [10, 100, 90, 190]}
    notes = [note(note_id=key, category="cup" if key != "3" else "spoon", box=box) for key, box in boxes.items()]
    assert describe(photo(*notes))[0] == "A photograph showing: cup, spoon."
    assert describe(photo(*notes, caption="Tea time."))[0] == "Tea time."


def test_overlap_is_intersection_over_union():
    assert overlap([0, 0, 10, 10], [0, 0, 10, 10]) == 1
    assert overlap([0, 0, 10, 10], [5, 0, 15, 10]) == pytest.approx(50 / 150)
    assert overlap([0, 0, 10, 10], [10, 0, 20, 10]) == 0
