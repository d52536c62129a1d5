"""EditBench in BrushNet's form: masks from run lengths that count from one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.pictures import mask_pixels
from insightedit.evaluate.sample import shown, status


def write(root, art, **masks):
    records = {}
    for number, (key, mask) in enumerate(masks.items()):
        art.put(root / "EditBench" / "images" / f"{key}.jpg", number, 64, 64)
        records[key] = {"image": f"images/{key}.jpg", "caption": f"a {key}", "inpainting_mask": mask}
    (root / "EditBench" / "mapping_file.json").write_text(json.dumps(records))
    return open_benchmark("editbench", root, partial=True)


def test_runs_start_at_one_and_follow_the_rows(tmp_path, art):
    found = write(tmp_path, art, cup=[1, 3, 512, 2], cat="262144 1")
    flat = mask_pixels(found.samples[1 - [one.id for one in found.samples].index("cat")].mask).reshape(-1)
    assert np.flatnonzero(flat).tolist() == [0, 1, 2, 511, 512] and set(flat.tolist()) == {0, 255}
    cat = next(one for one in found.samples if one.id == "cat")
    assert np.flatnonzero(mask_pixels(cat.mask).reshape(-1)).tolist() == [512 * 512 - 1]
    assert (cat.instruction, cat.clip_text, cat.caption_target) == ("a cat",) * 3
    assert shown(cat).mask.shape == (512, 512)


def test_a_malformed_code_is_the_fault_of_its_sample(tmp_path, art):
    bad = {"odd": [1], "zero": [0, 4], "far": [262144, 2], "word": "1 x", "none": None, "good": [5, 5]}
    found = {one.id: status(one) for one in write(tmp_path, art, **bad).samples}
    assert {key: fault.status for key, fault in found.items() if fault} == dict.fromkeys(list(bad)[:-1], "unreadable")
    assert "a run beyond the frame" in found["far"].why


def test_a_missing_file_is_named_with_the_layout(tmp_path):
    with pytest.raises(InputError, match=r"mapping_file.json.*Expected layout: EditBench/"):
        open_benchmark("editbench", tmp_path)
