"""MagicBrush: every turn is a pair."""

from __future__ import annotations

import os

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.magicbrush import MagicBrush, MagicBrushKnobs

os.environ["HF_HUB_OFFLINE"] = "1"
datasets = pytest.importorskip("datasets")


def table(art):
    rows = [
        {
            "img_id": str(50 + n // 2), "turn_index": n % 2 + 1, "source_img": {"bytes": art.png(3 * n), "path": None},
            "mask_img": {"bytes": art.png(0), "path": None}, "instruction": f" put {n} " if n != 5 else "",
            "target_img": {"bytes": art.png(3 * n + 1) if n != 4 else b"broken", "path": None},
        }
        for n in range(6)
    ]  # fmt: skip
    features = datasets.Features({name: datasets.Value("string") for name in rows[0]})
    features["turn_index"] = datasets.Value("int32")
    for name in ("source_img", "mask_img", "target_img"):
        features[name] = datasets.Image()
    return datasets.Dataset.from_list(rows, features=features)


def test_turns_of_parquet_and_arrow(tmp_path, art, lawful):
    whole = table(art)
    whole.select(range(4)).save_to_disk(tmp_path / "saved")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    whole.select(range(4)).to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001-abc.parquet")
    for folder in ("saved", "hub"):
        examples = lawful(MagicBrush(MagicBrushKnobs(path=tmp_path / folder)))
        assert [one.id for one in examples] == ["50-1", "50-2", "51-1", "51-2"]
        assert examples[2].instruction == "put 2" and np.array_equal(examples[2].target, art.pixels(7))


def test_bad_turns_are_unfit(tmp_path, art):
    table(art).save_to_disk(tmp_path)
    reader = MagicBrush(MagicBrushKnobs(path=tmp_path))
    for number, reason in ((4, "not_an_image"), (5, "no_instruction")):
        with pytest.raises(Unfit, match=reason):
            reader.example(number, 0)


def test_another_dataset_is_refused(tmp_path, art):
    table(art).remove_columns("target_img").save_to_disk(tmp_path)
    with pytest.raises(InputError, match=r"no column target_img.*Expected layout: osunlp/MagicBrush"):
        MagicBrush(MagicBrushKnobs(path=tmp_path))
