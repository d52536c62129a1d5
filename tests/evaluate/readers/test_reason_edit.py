"""Reason-Edit in the released layout: pairing by name, lines counted, the reasoning folder read under both names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from insightedit.core.errors import InputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.sample import status

GOLDEN = Path(__file__).parents[2] / "golden" / "eval"
EXPECTED = json.loads((GOLDEN / "expected" / "mini_reasonedit.json").read_text())["scenarios"]
TREE = GOLDEN / "mini_reasonedit" / "ReasonEdit_benckmark_dir"


@pytest.fixture
def tree(tmp_path) -> Path:
    return Path(shutil.copytree(TREE, tmp_path / TREE.name))


def read(root: Path):
    return open_benchmark("reason-edit", root, partial=True)


def test_images_and_lines_pair_as_in_the_reference():
    found = read(TREE)
    assert found.missing == ("13 samples are there, 219 were published",)
    for scenario, about in EXPECTED.items():
        samples = [one for one in found.samples if one.category == scenario]
        expected = about.get("samples")
        if expected is None:  # a total
            continue
        assert [one.id for one in samples] == [f"{scenario}/{one['file'].removesuffix('.png')}" for one in expected]
        assert [one.instruction for one in samples] == [one["instruction"] for one in expected]
        assert [one.clip_text for one in samples] == [one["clip_text"] for one in expected]
    assert all(status(one) is None for one in found.samples)


def test_the_outputs_of_the_published_script_are_where_a_sample_says():
    for one in read(TREE).samples:
        run = "Reason-15000" if one.split == "reasoning" else "Understand-15000"
        assert (GOLDEN / "mini_reasonedit" / "outputs" / run / one.output).is_file(), one.output


def test_understanding_is_pooled_and_reasoning_is_scored():
    found = read(TREE)
    groups = {group.name: (len(found.members(group)), group.weight_by_size) for group in found.groups}
    assert groups == {"understanding": (10, True), "reasoning": (3, True)}


def test_the_older_name_of_the_reasoning_folder_is_known(tree):
    (tree / "6-Reasoning").rename(tree / "xx-Reasoning-231115")
    assert [one.id for one in read(tree.parent).samples] == [one.id for one in read(TREE).samples]


def test_the_order_of_the_authors_is_kept_and_said():
    found = read(TREE)
    assert [one.id for one in found.samples[:3]] == ["1-Left-Right/1", "1-Left-Right/10", "1-Left-Right/2"]
    assert any("as the authors sort them: 1, 10, 2" in remark for remark in found.remarks)


def test_a_mask_belongs_to_its_image_unless_the_script_is_to_be_repeated():
    """ "10_mask.jpg" sorts before "1_mask.jpg", and "1.png" before "10.png"."""

    def masks(found):
        return [Path(one.mask.name).name for one in found.samples[:3]]

    assert masks(read(TREE)) == ["1_mask.jpg", "10_mask.jpg", "2_mask.jpg"]
    scripted = open_benchmark("reason-edit", TREE, ["pairing=position"], partial=True)
    assert masks(scripted) == ["10_mask.jpg", "1_mask.jpg", "2_mask.jpg"]
    for found in (read(TREE), scripted):
        (said,) = [remark for remark in found.remarks if "pairs 2 images with masks of others" in remark]
        assert "such as 1.png with 10_mask.jpg" in said


def test_by_position_every_mask_is_needed(tree):
    (tree / "4-Color" / "001_mask.jpg").unlink()
    with pytest.raises(InputError, match="2 images but 1 masks"):
        open_benchmark("reason-edit", tree, ["pairing=position"], partial=True)


def test_a_missing_scenario_is_missing_or_an_error(tree):
    shutil.rmtree(tree / "4-Color")
    assert f"{tree} has no folder 4-Color" in read(tree).missing
    with pytest.raises(InputError, match="has no folder 4-Color"):
        open_benchmark("reason-edit", tree)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda at: (at / "002.png").unlink(), "002_mask.jpg: it is the mask of 002.png, which is not there"),
        (lambda at: (at / "Color_text.txt").write_text("a CLIP: b\n"), "2 images but 1 lines in Color_text.txt"),
        (lambda at: (at / "Color_text.txt").unlink(), "there is no such file"),
        (lambda at: (at / "002_mask.jpg").rename(at / "002_mask.png"), "a mask as PNG would be taken for an image"),
        (lambda at: (at / "Color_text.txt").write_bytes(b"\xff\xfe\x00"), "can't decode"),
    ],
)
def test_nothing_is_paired_by_guessing(tree, spoil, why):
    spoil(tree / "4-Color")
    with pytest.raises(InputError, match=rf"{why}.*Expected layout: ReasonEdit_benckmark_dir/"):
        read(tree)


def test_faults_of_one_sample_leave_the_others(tree):
    (tree / "4-Color" / "001_mask.jpg").unlink()
    (tree / "4-Color" / "002.png").write_bytes(b"")
    (tree / "2-Relative-Size" / "Size_text.txt").write_text("no caption here\n   CLIP: a cup\r\n\n")
    faults = {one.id: fault.status for one in read(tree).samples if (fault := status(one))}
    assert faults == {
        "4-Color/001": "missing_mask",
        "4-Color/002": "unreadable",
        "2-Relative-Size/001": "malformed_record",
        "2-Relative-Size/002": "no_instruction",
    }


def test_another_place_is_named_with_the_layout(tmp_path):
    with pytest.raises(InputError, match=r"it has none of the folders.*Expected layout"):
        read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"it is no folder.*Expected layout"):
        read(tmp_path / "file")
