"""COCO files: what they say of which photograph, and what is refused in them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from albums import SQUARE, coco, image, jpeg, note, put, taken, tar
from pycocotools import mask as coco_mask

from insightedit.construct.source.coco import Annotations
from insightedit.construct.source.plan import survey
from insightedit.core.errors import InputError
from insightedit.core.mask import Mask


def one(tmp_path, **annotation):
    """The notes and rejects of a file with one annotation."""
    found = Annotations(coco(tmp_path / "a.json", [image(1, "a.jpg")], [note(7, 1, **annotation)]))
    return found.facts["a.jpg"].notes, found.rejects


def test_annotations_are_joined_by_path_and_by_bare_name(tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "y/b.jpg"):
        put(tmp_path / name, jpeg())
    images = [
        image(1, "x/a.jpg"),
        image(2, "y\\a.jpg"),
        image(3, "./b.jpg"),
        image(4, "gone.jpg"),
        image(5, "idle.jpg"),
    ]
    path = coco(tmp_path / "a.json", images, [note(number, number) for number in (1, 2, 3, 4)])
    listing = survey(tmp_path, path)
    assert {item.uri: [each.note_id for each in item.facts.notes] for item in listing.found} == {
        "x/a.jpg": ["1"], "y/a.jpg": ["2"], "y/b.jpg": ["3"],
    }  # fmt: skip
    assert [(reject.reason, reject.uri) for reject in listing.rejects] == [("annotated_file_missing", "gone.jpg")]


def test_a_bare_name_speaks_of_one_photograph_only(tmp_path):
    for name in ("a.jpg", "other/a.jpg"):
        put(tmp_path / name, jpeg())
    listing = survey(tmp_path, coco(tmp_path / "a.json", [image(1, "a.jpg")], [note(1, 1)]))
    assert [len(item.facts.notes) for item in listing.found] == [1, 0]
    assert [(reject.reason, reject.uri) for reject in listing.rejects] == [("name_used_twice", "other/a.jpg")]


def test_members_of_a_tar_are_joined_by_their_name_and_keep_what_stands_beside_them(tmp_path):
    sidecar = b'{"license": "CC BY 2.0", "author": "Ann", "caption": "beside"}'
    tar(tmp_path / "s.tar", {"000.jpg": jpeg(), "000.json": sidecar, "x/001.jpg": jpeg(1)})
    images = [image(1, "000.jpg", license=None, caption="noted"), image(2, "001.jpg")]
    listing = survey(tmp_path, coco(tmp_path / "a.json", images, [note(1, 1), note(2, 2)]))
    first, second = (item.facts for item in listing.found)
    assert (first.licence, first.author, first.caption) == ("CC BY 2.0", "Ann", "noted")
    assert (second.licence, len(first.notes), len(second.notes)) == ("CC BY 4.0", 1, 1)


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "x/../../secret.jpg", "..\\secret.jpg", "a\0b.jpg"])
def test_a_file_name_that_leads_elsewhere_is_only_a_name(tmp_path, name):
    put(tmp_path / "secret.jpg", jpeg(3))
    put(tmp_path / "in" / "a.jpg", jpeg())
    path = coco(tmp_path / "a.json", [image(1, "a.jpg"), image(2, name)], [note(1, 1), note(2, 2)])
    photos, rejects = taken(tmp_path / "in", tmp_path / "work", path)
    assert [photo.uri for photo in photos] == ["a.jpg"]
    assert [reject.reason for reject in rejects] == ["annotated_file_missing"]


def test_images_say_whose_they_are(tmp_path):
    images = [
        image(1, "a.jpg", author="Ann", source="album", source_url="https://a.example", caption=" said \n so "),
        image(2, "b.jpg", license=99, license_text="by permission", flickr_url="https://b.example"),
        image(3, "c.jpg", license=None, coco_url="https://c.example"),
        image(4, "d.jpg", license_text="ignored beside an id"),
    ]
    facts = Annotations(coco(tmp_path / "set.json", images, [])).facts
    a = facts["a.jpg"]
    assert (a.author, a.source_dataset, a.caption, a.licence) == ("Ann", "album", "said so", "CC BY 4.0")
    assert a.licence_url == "https://creativecommons.org/licenses/by/4.0/"
    assert (facts["b.jpg"].licence, facts["b.jpg"].licence_url) == ("by permission", "")
    assert (facts["c.jpg"].licence, facts["c.jpg"].source_dataset) == ("", "set")
    assert [facts[name].source_url for name in ("a.jpg", "b.jpg", "c.jpg")] == [f"https://{x}.example" for x in "abc"]
    assert facts["d.jpg"].licence == "CC BY 4.0"


def test_a_caption_annotation_captions_its_image_and_notes_no_object(tmp_path):
    captions = [{"id": 1, "image_id": 1, "caption": "first"}, {"id": 2, "image_id": 1, "caption": "second"}]
    facts = Annotations(coco(tmp_path / "a.json", [image(1, "a.jpg")], [*captions, note(3, 1)])).facts["a.jpg"]
    assert facts.caption == "first" and [each.note_id for each in facts.notes] == ["3"]


def test_a_box_becomes_corners_and_words_are_kept(tmp_path):
    (found,), _ = one(tmp_path, short_caption="red  cup", detailed_caption="a red cup", iscrowd=1)
    assert (found.box, found.category, found.supercategory) == ([10, 20, 50, 60], "cup", "thing")
    assert (found.name, found.detail, found.is_crowd) == ("red cup", "a red cup", True)


def test_polygons_and_both_run_length_codes_say_the_same(tmp_path):
    theirs = coco_mask.frPyObjects([SQUARE], 220, 260)[0]
    runs, full = [], coco_mask.decode(theirs).ravel(order="F")
    for value, count in zip(*_groups(full), strict=True):
        runs += [0, count] if value and not runs else [count]
    (polygon,), _ = one(tmp_path, segmentation=[SQUARE])
    (packed,), _ = one(tmp_path, segmentation={"size": [220, 260], "counts": theirs["counts"].decode()})
    (plain,), rejects = one(tmp_path, segmentation={"size": [220, 260], "counts": runs})
    assert rejects == [] and polygon.polygons == [SQUARE] and polygon.rle is None
    assert packed.rle == plain.rle
    np.testing.assert_array_equal(
        Mask.from_rle(packed.rle.model_dump()).full(), Mask.from_polygons(polygon.polygons, 260, 220).full()
    )


def _groups(values) -> tuple[list[int], list[int]]:
    edges = np.flatnonzero(np.diff(values)) + 1
    parts = np.split(values, edges)
    return [int(part[0]) for part in parts], [len(part) for part in parts]


MALFORMED = {
    "two points": {"segmentation": [[1, 2, 3, 4]]},
    "odd numbers": {"segmentation": [[1, 2, 3, 4, 5, 6, 7]]},
    "text for a polygon": {"segmentation": "polygon"},
    "a number for a polygon": {"segmentation": 5},
    "words in a polygon": {"segmentation": [["a"] * 6]},
    "three numbers for a box": {"bbox": [1, 2, 3]},
    "a word for a box": {"bbox": "abcd"},
    "a box beyond all numbers": {"bbox": [0, 0, 10**400, 1]},
    "runs too few": {"segmentation": {"size": [220, 260], "counts": [5, 5]}},
    "runs too many": {"segmentation": {"size": [220, 260], "counts": [5, 10**7]}},
    "runs below zero": {"segmentation": {"size": [220, 260], "counts": [5, -5]}},
    "runs as junk": {"segmentation": {"size": [220, 260], "counts": "junk!"}},
    "runs without end": {"segmentation": {"size": [220, float("inf")], "counts": [1]}},
    "runs of a huge frame": {"segmentation": {"size": [1 << 40, 1 << 40], "counts": "1"}},
    "runs without size": {"segmentation": {"counts": [1]}},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_annotation_is_rejected_by_its_id_and_the_others_stay(tmp_path, name):
    bad, good = note(7, 1, **MALFORMED[name]), note(8, 1)
    found = Annotations(coco(tmp_path / "a.json", [image(1, "a.jpg")], [bad, good]))
    assert [each.note_id for each in found.facts["a.jpg"].notes] == ["8"]
    (reject,) = found.rejects
    assert reject.reason == "malformed_annotation" and "annotation 7" in reject.seen and reject.uri == "a.json"


def test_entries_that_belong_nowhere_are_rejected(tmp_path):
    images = [image(1, "a.jpg"), {"id": 2}, image(3, "a.jpg"), {"id": 4, "file_name": 5}]
    found = Annotations(coco(tmp_path / "a.json", images, [note(1, 99), note(2, [1]), note(3, None)]))
    assert [reject.reason for reject in found.rejects] == [
        "annotation_of_unknown_image", "annotation_of_unknown_image", "annotation_of_unknown_image",
        "image_without_file_name", "image_listed_twice", "image_without_file_name",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"licenses": 5}, {"licenses": [{"id": [1]}, "x"]}, {"categories": {"1": "cup"}}, {"categories": [{"id": {}}]},
        {"licenses": None, "categories": None},
    ],
)  # fmt: skip
def test_foreign_lists_say_nothing_and_stop_nothing(tmp_path, change):
    images = [image(1, "a.jpg", license=[1], width="wide", height=-3, caption=7, author="\ud83d lone")]
    found = Annotations(
        coco(tmp_path / "a.json", images, [note(1, 1, category_id=[1], short_caption="\udc00")], **change)
    )
    facts = found.facts["a.jpg"]
    assert (facts.note_width, facts.note_height, facts.licence, facts.author) == (0, 0, "", "? lone")


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"images": [], "annotations": {}}', '{"images": ["a"], "annotations": []}', "5"]
)
def test_what_is_not_coco_is_an_input_error(tmp_path, text):
    with pytest.raises(InputError, match=r"a\.json is not a COCO annotation file"):
        Annotations(put(tmp_path / "a.json", text.encode()))


def test_malformed_json_is_an_input_error_that_names_the_line(tmp_path):
    text = json.dumps({"images": [], "annotations": []}, indent=1).replace("]", "],", 1)
    with pytest.raises(InputError, match=r"a\.json is not valid JSON: line 2, column"):
        Annotations(put(tmp_path / "a.json", text.encode()))
