"""ImgEdit-Bench: types, hard edits without a type, chains; found at the root or one folder below."""

from __future__ import annotations

import json

import pytest

from insightedit.core.errors import InputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.sample import status


def write(root, art, records, name="basic_edit.json"):
    for record in records.values():
        if isinstance(record, dict) and ".." not in record["id"]:
            art.put(root / record["id"], 1)
    (root / name).write_text(json.dumps(records))
    return root


def test_types_are_categories_and_the_overall_is_their_plain_mean(tmp_path, art):
    records = {
        "2": {"id": "animal/a.jpg", "prompt": "add a hat", "edit_type": "add"},
        "10": {"id": "human/b.jpg", "prompt": "make it  night", "edit_type": "background"},
    }
    found = open_benchmark("imgedit", write(tmp_path / "Basic", art, records).parent, partial=True)
    assert [(one.id, one.category, one.instruction) for one in found.samples] == [
        ("2", "add", "add a hat"), ("10", "background", "make it night"),
    ]  # fmt: skip
    assert [one.output for one in found.samples] == ["2.png", "10.png"] and not any(map(status, found.samples))
    assert [(group.name, group.weight_by_size) for group in found.groups] == [("overall", False)]


def test_chains_and_edits_without_a_type(tmp_path, art):
    records = {
        "1": {"id": "a.jpg", "turn1": "one", "turn2": "two", "turn10": "ten"},
        "2": {"id": "b.jpg", "prompt": "hard"},
    }
    root = write(tmp_path, art, records, "multi.json")
    chain, hard = open_benchmark("imgedit", root, ["file=multi.json"], partial=True).samples
    assert (chain.turns, chain.category) == (("one", "two", "ten"), "chain")
    assert (hard.turns, hard.category) == ((), "all")


def test_faults_of_one_item(tmp_path, art):
    records = {"1": {"id": "a.jpg", "prompt": " "}, "2": 5, "3": {"id": "../../x.jpg", "prompt": "do"}}
    found = open_benchmark("imgedit", write(tmp_path, art, records), partial=True)
    assert [status(one).status for one in found.samples] == ["no_instruction", "malformed_record", "outside_root"]


def test_pictures_may_lie_elsewhere(tmp_path, art):
    root = write(tmp_path / "json", art, {"1": {"id": "a.jpg", "prompt": "do", "edit_type": "add"}})
    (root / "a.jpg").rename(tmp_path / "a.jpg")
    (one,) = open_benchmark("imgedit", root, [f"images={tmp_path}"], partial=True).samples
    assert status(one) is None


def test_a_missing_file_is_named_with_the_layout(tmp_path):
    with pytest.raises(InputError, match=r"there is no basic_edit.json.*Expected layout: basic_edit.json \{KEY"):
        open_benchmark("imgedit", tmp_path)
