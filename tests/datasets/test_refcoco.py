"""RefCOCO: a drawn sentence, the whole object under a drawn colour."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.overlay import TEMPLATES
from insightedit.datasets.refcoco import RefCOCO, RefCOCOKnobs

TWO = [[2, 2, 12, 2, 12, 12, 2, 12], [8, 2, 18, 2, 18, 12, 8, 12]]  # they overlap


def ref(number: int, split: str = "train", **changes) -> dict:
    sentences = [
        {"sent_id": number * 2 + k, "sent": f"thing {number} {word}", "raw": "", "tokens": []}
        for k, word in enumerate(("left", "on the LEFT"))
    ]
    return {
        "ref_id": number, "ann_id": 100 + number, "image_id": 10 + number, "category_id": 1, "split": split,
        "file_name": f"COCO_train2014_{number:012d}_{number}.jpg", "sent_ids": [], "sentences": sentences, **changes,
    }  # fmt: skip


def tree(root, art, refs, *, form="p", images="images/mscoco/images/train2014", annotations=None):
    folder = root / "refcoco"
    folder.mkdir(parents=True)
    if form == "p":
        (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, 2))
    else:
        (folder / "refs(unc).json").write_text(json.dumps(refs))
    frames = [{"id": 10 + n, "file_name": f"COCO_train2014_{n:012d}.jpg", "width": 24, "height": 16} for n in range(6)]
    notes = [{"id": 100 + n, "image_id": 10 + n, "segmentation": TWO, "iscrowd": 0} for n in range(6)]
    instances = {"images": frames, "annotations": annotations or notes, "categories": []}
    (folder / "instances.json").write_text(json.dumps(instances))
    for n in range(6):
        art.put(root / images / f"COCO_train2014_{n:012d}.jpg", art.pixels(n))
    return root


def reader(root, **knobs) -> RefCOCO:
    return RefCOCO(RefCOCOKnobs(path=root, **knobs))


@pytest.mark.parametrize("form", ["p", "json"])
def test_the_split_is_read_and_overlapping_polygons_have_no_hole(tmp_path, art, lawful, form):
    root = tree(tmp_path, art, [ref(0), ref(1, "val"), ref(2, "testA"), ref(3, "testB"), ref(4)], form=form)
    examples = lawful(reader(root))
    assert [one.id for one in examples] == ["0", "4"]
    assert len(reader(root, split="val")) == 1 and len(reader(root, split="test")) == 2
    for one in examples:
        assert np.array_equal(one.source, art.pixels(int(one.id)))
        assert one.task == "overlay" and one.mask[3:11, 3:17].all()
        assert not (one.source == one.target)[one.mask].all() and (one.source == one.target)[~one.mask].all()


def test_seeds_draw_other_sentences_and_colours(tmp_path, art):
    one = reader(tree(tmp_path, art, [ref(0)]))
    told = {one.example(0, seed).instruction for seed in range(60)}
    assert all("thing 0 left" in text or "thing 0 on the left" in text for text in told) and len(told) > 30
    shapes = {text.replace("thing 0 left", "{object}").replace("thing 0 on the left", "{object}") for text in told}
    assert len(shapes) > len(TEMPLATES)


def test_both_places_of_the_images(tmp_path, art):
    assert len(reader(tree(tmp_path / "a", art, [ref(0)], images="train2014"))) == 1
    root = tree(tmp_path / "b", art, [ref(0)], images="elsewhere/coco")
    with pytest.raises(InputError, match="neither train2014"):
        reader(root)
    assert len(reader(root, images=root / "elsewhere" / "coco")) == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none of the first images is there"):
        reader(root, images=tmp_path / "empty")


def test_refs_without_object_picture_or_words_are_left_out_and_counted(tmp_path, art):
    refs = [ref(0), ref(1, ann_id=9), ref(2, image_id=99), ref(3, sentences=[{"sent": " "}]), ref(4, ann_id="x")]
    one = reader(tree(tmp_path, art, refs))
    assert len(one) == 1
    assert one.left_out == {"unknown_annotation": 1, "unknown_image": 1, "no_sentence": 1, "malformed_record": 1}


def test_a_bad_polygon_and_a_missing_picture_are_unfit(tmp_path, art):
    notes = [{"id": 100 + n, "segmentation": [[1, 2]] if n == 1 else TWO, "iscrowd": 0} for n in range(3)]
    root = tree(tmp_path, art, [ref(0), ref(1), ref(2)], annotations=notes)
    next(root.rglob("COCO_train2014_000000000002.jpg")).unlink()
    one = reader(root)
    for number, reason in ((1, "malformed_polygon"), (2, "missing_file")):
        with pytest.raises(Unfit, match=reason):
            one.example(number, 0)


def test_malformed_files_are_named(tmp_path, art):
    root = tree(tmp_path, art, [ref(0)])
    (root / "refcoco" / "instances.json").write_text("[]")
    with pytest.raises(InputError, match=r"instances\.json.*Expected layout: ROOT/refcoco/refs\(unc\)\.p"):
        reader(root)
    (root / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="not a list of refs"):
        reader(root)
    (root / "refcoco" / "refs(unc).p").unlink()
    with pytest.raises(InputError, match=r"neither refs\(unc\)\.p nor refs\(unc\)\.json"):
        reader(root)
