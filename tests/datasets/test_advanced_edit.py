"""AdvancedEdit as the authors' tools write it: tasks, kinds of instruction, scores, additions from removals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.core.mask import Mask
from insightedit.datasets.advanced_edit import AdvancedEdit, AdvancedEditKnobs

MASK = np.zeros((120, 180), bool)
MASK[30:60, 40:100] = True


def record(task, number=0, **changes) -> dict:
    """With the fields of data_processing/assets/{3,4,5}_*/1543.json."""
    value = {
        "target_img_path": f"/home/them/pexels/out/{number}.png", "origin_img_path": f"/home/them/pexels/{number}.jpg",
        "instruction": ["remove the dark jeans"] if task == "remove" else ["change the cup to a vase"],
        "task_type": task, "detailed_caption": "d", "img_caption": "c", "class_origin": "dark_jeans",
        "class_target": "",
        "bbox": [40, 30, 60, 30], "segmentation": Mask.of(MASK).rle(), "reasoning_instruction1": "What is worn must go",
        "reasoning_instruction2": "Which garment covers the legs? Take it off",
    }  # fmt: skip
    return value | changes


def tree(root, art, *documents, folder="json"):
    (root / folder).mkdir(parents=True)
    for number, records in enumerate(documents):
        text = records if isinstance(records, str) else json.dumps({str(n): one for n, one in enumerate(records)})
        (root / folder / f"{1543 + number}.json").write_text(text)
    for number in range(3):
        art.put(root / "pictures" / f"{number}.jpg", art.pixels(2 * number, 180, 120))
        art.put(root / "pictures" / "out" / f"{number}.png", art.pixels(2 * number + 1, 60, 40))
    return {"path": root / folder, "images": root / "pictures", "strip": "/home/them/pexels/"}


def reader(**knobs) -> AdvancedEdit:
    return AdvancedEdit(AdvancedEditKnobs(**knobs))


def by_part(one: AdvancedEdit) -> dict[str, list]:
    return {part.label: [one.example(part.start + n, 0) for n in range(part.count)] for part in one.parts}


def test_every_task_and_kind_is_a_part(tmp_path, art, lawful):
    knobs = tree(tmp_path, art, [record("remove"), record("replace", 1)], [record("replace", 2)])
    one = reader(**knobs)
    lawful(one)
    parts = {part.label: (part.count, part.share) for part in one.parts}
    third, half = pytest.approx(0.5 / 3), pytest.approx(0.25)
    assert parts == {
        "remove/simple": (1, third), "add/simple": (1, third), "replace/simple": (2, third),
        "remove/reasoning": (1, half), "replace/reasoning": (2, half),
    }  # fmt: skip
    examples = by_part(one)
    removal, addition = examples["remove/simple"][0], examples["add/simple"][0]
    assert removal.instruction == "remove the dark jeans" and addition.instruction == "add the dark jeans"
    assert np.array_equal(removal.source, addition.target) and np.array_equal(removal.target, addition.source)
    assert np.array_equal(removal.target, art.pixels(1, 60, 40)) and removal.source.shape == (40, 60, 3)
    assert examples["remove/reasoning"][0].instruction in (
        "What is worn must go",
        "Which garment covers the legs? Take it off",
    )
    assert {example.task for example in examples["replace/reasoning"]} == {"replace"}


def test_an_addition_that_is_written_is_not_derived_again(tmp_path, art):
    """The authors write it next to its removal, with the paths swapped."""
    written = record("add", class_origin="", class_target="dark_jeans", instruction=["add the dark jeans"])
    written |= {"origin_img_path": written["target_img_path"], "target_img_path": written["origin_img_path"]}
    one = reader(**tree(tmp_path, art, [record("remove"), written]))
    assert {part.label: part.count for part in one.parts}["add/simple"] == 1
    addition = by_part(one)["add/simple"][0]
    assert np.array_equal(addition.source, art.pixels(1, 60, 40))


def test_reading_backwards_can_be_switched_off(tmp_path, art):
    one = reader(**tree(tmp_path, art, [record("remove")]), add_from_remove=False)
    assert {part.label for part in one.parts} == {"remove/simple", "remove/reasoning"}


def test_without_reasoning_all_draws_are_simple(tmp_path, art):
    bare = record("remove", reasoning_instruction1=None)
    del bare["reasoning_instruction2"]
    one = reader(**tree(tmp_path, art, [bare]))
    assert {part.label for part in one.parts} == {"remove/simple", "add/simple"}
    only = reader(**tree(tmp_path / "b", art, [bare]), reasoning=1.0)
    assert sum(part.share for part in only.parts) > 0


def test_scores_are_thresholds_where_they_are_set(tmp_path, art):
    good = {"instruction_follow": 5, "non-overedit": 4, "reasoning": "r"}
    poor = {"instruction_follow": 0, "non-overedit": 5, "reasoning": "r"}
    quality = {"naturalness": 5, "no_artifacts": 3, "reasoning": "r"}
    records = [
        record("replace", 0, qwen_VIE_SC=good, qwen_VIE_PQ=quality), record("replace", 1, qwen_VIE_SC=poor),
        record("replace", 2, qwen_VIE_SC=None),
    ]  # fmt: skip
    knobs = tree(tmp_path, art, records)
    assert len(reader(**knobs)) == 6 and not reader(**knobs).left_out
    followed = reader(**knobs, min_follow=3, index=tmp_path / "index")
    assert len(followed) == 4 and followed.left_out == {"low_instruction_follow": 1}
    again = reader(**knobs, min_follow=3, index=tmp_path / "index")
    assert len(again) == 4 and again.left_out == followed.left_out
    scored = reader(**knobs, min_follow=3, unscored=False, index=tmp_path / "index")
    assert len(scored) == 2 and scored.left_out == {"low_instruction_follow": 1, "unscored": 1}
    with pytest.raises(InputError, match="low_no_artifacts"):
        reader(**knobs, min_artifacts=4, unscored=False)


def test_masks_are_brought_to_the_pictures_size(tmp_path, art):
    one = reader(**tree(tmp_path, art, [record("remove")]), masks=True)
    mask = one.example(0, 0).mask
    wanted = np.zeros((40, 60), bool)
    wanted[10:20, 14:33] = True
    assert mask.shape == (40, 60) and np.count_nonzero(mask ^ wanted) <= 40
    assert reader(**tree(tmp_path / "b", art, [record("remove")])).example(0, 0).mask is None


def test_malformed_files_and_records_are_counted(tmp_path, art):
    odd = [record("recolour"), record("remove", origin_img_path=3), record("replace", 1)]
    one = reader(**tree(tmp_path, art, '{"0": {"a": 1},}', odd, "[]"))
    assert one.left_out == {"malformed_file": 2, "unknown_task": 1, "malformed_record": 1} and len(one) == 2


def test_one_bad_picture_is_unfit_and_a_wrong_root_is_refused(tmp_path, art):
    knobs = tree(tmp_path, art, [record("replace", 1), record("replace", 2)])
    (tmp_path / "pictures" / "2.jpg").unlink()
    one = reader(**knobs)
    bad = [number for number in range(len(one)) if one._table[number][1] == 1]
    with pytest.raises(Unfit, match="missing_file"):
        one.example(bad[0], 0)
    with pytest.raises(InputError, match="none of the first images is there"):
        reader(**knobs | {"strip": ""})
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"no JSON file below.*Expected layout: below ROOT one JSON per picture"):
        reader(path=tmp_path / "none")


def test_blank_paths_as_in_the_authors_examples_are_no_pictures(tmp_path, art):
    blank = record("remove", origin_img_path=" ", target_img_path=" ")
    with pytest.raises(InputError, match="none of the first images is there"):
        reader(**tree(tmp_path, art, [blank]))
