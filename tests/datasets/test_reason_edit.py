"""ReasonEdit's synthetic pairs: one of several instructions is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.reason_edit import ReasonEdit, ReasonEditKnobs


def tree(root, art, count=3, **changes):
    records = {}
    for n in range(count):
        art.put(root / "SyntheticData" / f"{n}_in.png", art.pixels(2 * n))
        art.put(root / "SyntheticData" / f"{n}_out.png", art.pixels(2 * n + 1))
        records[f"{n:04d}"] = {
            "origin_img_path": f"SyntheticData/{n}_in.png",
            "target_img_path": f"SyntheticData/{n}_out.png",
            "instruction": [f"first {n}", f"second {n}"],
        }
    for key, change in changes.items():
        records[key.strip("_")] |= change
    (root / "reason.json").write_text(json.dumps(records))
    return root / "reason.json"


def test_pairs_with_a_drawn_instruction(tmp_path, art, lawful):
    reader = ReasonEdit(ReasonEditKnobs(path=tree(tmp_path, art)))
    examples = lawful(reader)
    assert [one.id for one in examples] == ["0000", "0001", "0002"]
    assert np.array_equal(examples[1].source, art.pixels(2)) and np.array_equal(examples[1].target, art.pixels(3))
    assert {reader.example(2, seed).instruction for seed in range(30)} == {"first 2", "second 2"}


def test_bad_records_are_unfit(tmp_path, art):
    changes = {
        "_0000": {"instruction": []},
        "_0001": {"target_img_path": "../../etc/passwd"},
        "_0002": {"origin_img_path": None},
        "_0003": {"target_img_path": "SyntheticData/none.png"},
    }
    reader = ReasonEdit(ReasonEditKnobs(path=tree(tmp_path, art, 4, **changes)))
    for number, reason in enumerate(("no_instruction", "outside_root", "malformed_record", "missing_file")):
        with pytest.raises(Unfit, match=reason):
            reader.example(number, 0)


def test_a_wrong_root_says_so_at_once(tmp_path, art):
    path = tree(tmp_path, art)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"none of the first images is there.*Expected layout: one JSON file"):
        ReasonEdit(ReasonEditKnobs(path=path, images=tmp_path / "empty"))
    path.write_text("[]")
    with pytest.raises(InputError, match="its top level is a list, not an object"):
        ReasonEdit(ReasonEditKnobs(path=path))
