"""ReasonSeg from LISA's own files: drawing order, labels, and sentences without a name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.reason_seg import ReasonSeg, ReasonSegKnobs


def square(left, top, right, bottom, label="target") -> dict:
    return {"label": label, "labels": [label], "shape_type": "polygon", "image_name": "x.jpg",
            "points": [[left, top], [right, top], [right, bottom], [left, bottom]], "group_id": None}  # fmt: skip


def put(root, art, name, shapes, *, text="What keeps you dry?", sentence=True, encoding="utf-8", **more) -> None:
    folder = root / "train"
    folder.mkdir(parents=True, exist_ok=True)
    note = {"text": text if isinstance(text, list) else [text], "is_sentence": sentence, "shapes": shapes, **more}
    (folder / f"{name}.json").write_bytes(json.dumps(note, ensure_ascii=False).encode(encoding))
    art.put(folder / f"{name}.jpg", art.pixels(int(name.split("_")[0]), 40, 30))


def reader(root) -> ReasonSeg:
    return ReasonSeg(ReasonSegKnobs(path=root))


def test_polygons_are_drawn_from_large_to_small(tmp_path, art, lawful):
    shapes = [
        square(10, 10, 14, 14, "ignore"),
        square(12, 12, 13, 13),
        square(4, 4, 24, 24),
        square(0, 0, 39, 29, "flag"),
    ]
    put(tmp_path, art, "0", shapes)
    (one,) = lawful(reader(tmp_path))
    wanted = np.zeros((30, 40), bool)
    wanted[4:25, 4:25] = True
    wanted[10:15, 10:15] = False  # ignored: not painted
    wanted[12:14, 12:14] = True  # the smallest comes last
    assert np.array_equal(one.mask, wanted)
    assert np.array_equal(one.source[~wanted], one.target[~wanted])


def test_a_question_comes_first_and_the_object_is_it(tmp_path, art):
    put(tmp_path, art, "0", [square(4, 4, 24, 24)], text=["What keeps you dry?", "Rain protection, where?"])
    told = {reader(tmp_path).example(0, seed).instruction for seed in range(80)}
    assert all(text.startswith(("What keeps you dry? ", "Rain protection, where? ")) for text in told)
    assert all(" it" in text for text in told) and len(told) > 30


def test_a_phrase_names_it_and_a_name_is_used_where_there_is_one(tmp_path, art):
    put(tmp_path, art, "0", [square(4, 4, 24, 24)], text="the Red umbrella.", sentence=False)
    put(tmp_path, art, "1", [square(4, 4, 24, 24)], Name="Umbrella")
    one = reader(tmp_path)
    assert all("the red umbrella" in one.example(0, seed).instruction for seed in range(9))
    assert "the red umbrella." not in one.example(0, 0).instruction
    named = one.example(1, 3).instruction
    assert named.startswith("What keeps you dry? ") and "umbrella" in named


def test_files_are_in_the_order_of_their_numbers(tmp_path, art):
    for name in ("10_x", "9_x", "100_x"):
        put(tmp_path, art, name, [square(4, 4, 24, 24)])
    assert [reader(tmp_path).example(n, 0).id for n in range(3)] == ["9_x", "10_x", "100_x"]


def test_windows_text_is_read(tmp_path, art):
    put(tmp_path, art, "0", [square(4, 4, 24, 24)], text="The café\u2019s sign?", encoding="cp1252")
    assert reader(tmp_path).example(0, 0).instruction.startswith("The café\u2019s sign?")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shapes": []}, "empty_mask"),
        ({"shapes": [square(4, 4, 9, 9, "ignore")]}, "empty_mask"),
        ({"shapes": [{"label": "target"}]}, "malformed_record"),
        ({"shapes": [{"label": "target", "points": [["a", 1]]}]}, "malformed_polygon"),
        ({"shapes": [{"label": "target", "points": [[1e12, 1]]}]}, "malformed_polygon"),
        ({"shapes": [square(4, 4, 9, 9)], "text": [" "]}, "no_sentence"),
    ],
)
def test_bad_records_are_unfit(tmp_path, art, change, reason):
    put(tmp_path, art, "0", **change)
    with pytest.raises(Unfit, match=reason):
        reader(tmp_path).example(0, 0)


def test_bad_json_is_unfit_and_an_empty_place_is_refused(tmp_path, art):
    put(tmp_path, art, "0", [square(4, 4, 9, 9)])
    (tmp_path / "train" / "0.json").write_text("{")
    with pytest.raises(Unfit, match="malformed_record"):
        reader(tmp_path).example(0, 0)
    (tmp_path / "train" / "0.json").unlink()
    with pytest.raises(InputError, match=r"matches \*\.json.*Expected layout: ROOT/train/NAME\.jpg"):
        reader(tmp_path)
