"""gRefCOCO: several objects are painted together, none leaves the picture as it is."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from insightedit.core.mask import Mask
from insightedit.datasets.grefcoco import GRefCOCO
from insightedit.datasets.referring import ReferringKnobs

LEFT, RIGHT = [[2, 2, 8, 2, 8, 8, 2, 8]], [[14, 4, 20, 4, 20, 12, 14, 12]]


@pytest.mark.parametrize("form", ["json", "p"])
def test_merged_none_and_crowd(tmp_path, art, lawful, form):
    crowd = np.zeros((16, 24), bool)
    crowd[14:] = True
    code = Mask.of(crowd).rle()
    notes = [
        {"id": 1, "image_id": 5, "segmentation": LEFT, "iscrowd": 0},
        {"id": 2, "image_id": 5, "segmentation": RIGHT, "iscrowd": 0},
        {"id": 3, "image_id": 5, "segmentation": code, "iscrowd": 1},
    ]
    refs = [
        {"ref_id": n, "image_id": 5, "ann_id": ids, "category_id": [1], "split": "train", "no_target": ids == [-1],
         "sentences": [{"sent_id": n, "sent": "two cats", "exist": True}]}
        for n, ids in enumerate(([1, 2], [-1], [1, 3], [3], [2]))
    ]  # fmt: skip
    folder = tmp_path / "grefcoco"
    folder.mkdir()
    if form == "json":
        (folder / "grefs(unc).json").write_text(json.dumps(refs))
    else:
        (folder / "grefs(unc).p").write_bytes(pickle.dumps(refs))
    frames = [{"id": 5, "file_name": "a.jpg", "width": 24, "height": 16}]
    (folder / "instances.json").write_text(json.dumps({"images": frames, "annotations": notes, "categories": []}))
    art.put(tmp_path / "images" / "train2014" / "a.jpg", art.pixels(0))
    reader = GRefCOCO(ReferringKnobs(path=tmp_path))
    examples = {one.id: one for one in lawful(reader)}
    assert reader.left_out == {"only_a_crowd": 1}
    assert set(examples) == {"0", "1", "2", "4"}
    both, none, left, right = (examples[key] for key in "0124")
    assert np.array_equal(both.mask, left.mask | right.mask) and left.mask[3:7, 3:7].all() and not left.mask[14:].any()
    assert not none.mask.any() and np.array_equal(none.source, none.target) and "two cats" in none.instruction
