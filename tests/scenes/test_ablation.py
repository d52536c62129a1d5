"""The benchmark that lets pipelines sit the exam: its two fixed points, and the shuffled image branch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ablation():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        import benchmarks.ablation as module

        yield module
        sys.modules.pop("benchmarks.ablation", None)


def test_the_exact_answer_has_full_marks_and_the_source_none(ablation, tmp_path):
    given = ["none=copy", "exact", "--count", "32", "--size", "48", "--workers", "0", "--out", str(tmp_path)]
    ablation.main(given)
    none, exact = json.loads((tmp_path / "results.json").read_text())["variants"]
    assert [one["success"] for one in exact["samples"]] == [True] * 32
    assert [one["success"] for one in none["samples"]] == [False] * 32
    assert all(one["background_psnr"] is None and one["kept"] for one in none["samples"])
    rows = (tmp_path / "table.md").read_text().splitlines()
    assert rows[2].startswith("| none | 0.0 ± 0.0 |") and rows[3].startswith("| exact | 100.0 ± 0.0 |")
    assert all(Image.open(tmp_path / f"sheet-{name}.png").width > 1000 for name in ("none", "exact"))


def test_folders_of_one_name_are_seeds_of_one_variant(ablation, tmp_path):
    given = ["half=copy", "half=exact", "copy", "--count", "8", "--part", "train", "--workers", "0"]
    ablation.main([*given, "--size", "48", "--out", str(tmp_path)])
    head, _, half, copy = (line.split(" | ") for line in (tmp_path / "table.md").read_text().splitlines()[:4])
    assert half[0] == "| half (2 seeds)" and copy[0] == "| copy"
    assert half[1:3] == ["50.0 ± 70.7"] * 2 and half[3] == "-" and copy[1:3] == ["0.0 ± 0.0"] * 2  # of 0 and 100 %
    for level in ("simple", "reasoning"):
        background, error = head.index(f"background dB, {level}"), head.index(f"error inside, {level}")
        assert half[background] == "exact"
        alone = float(copy[error])
        spread = [float(value) for value in half[error].split(" ± ")]
        assert alone > 10 and spread == pytest.approx([alone / 2, alone / 2**0.5], abs=0.11)
    with pytest.raises(SystemExit):
        ablation.arguments(["half=copy", "a/half", "--out", str(tmp_path)])


def test_two_variants_need_two_names(ablation, tmp_path, capsys):
    with pytest.raises(SystemExit):
        ablation.arguments(["a/model", "b/model", "--out", str(tmp_path)])
    assert "say NAME=FOLDER" in capsys.readouterr().err
    named = ablation.arguments(["one=a/model", "b/model", "--out", str(tmp_path)])
    assert named.variants == [("one", "a/model"), ("model", "b/model")]


def test_edits_do_not_depend_on_the_batch_but_on_a_shuffled_image_branch(ablation):
    import torch

    from insightedit.model.pipeline import from_preset

    pipeline = from_preset("tiny")
    with torch.no_grad():
        for weight in pipeline.image_attention.parameters():
            weight.normal_(std=1)
    given = ablation.paper(6, 1, 64, ("train",))
    options = {"num_inference_steps": 2, "text_guidance_scale": 2.0}
    whole, parts = (ablation.edited(pipeline, given, batch, options).astype(int) for batch in (6, 3))
    assert abs(whole - parts).max() <= 1
    with ablation.shuffled_image(pipeline.bridge):
        shuffled = ablation.edited(pipeline, given, 6, options).astype(int)
        with pytest.raises(ablation.InputError, match="single picture"):
            ablation.edited(pipeline, given, 1, options)
    assert abs(whole - shuffled).max() > 10
    assert np.array_equal(ablation.edited(pipeline, given, 6, options), whole)


def test_what_has_no_image_branch_cannot_be_shuffled(ablation):
    from dataclasses import replace

    from insightedit.model.pipeline import from_config
    from insightedit.model.presets import preset

    pipeline = from_config(replace(preset("tiny"), iaa=None))
    with ablation.shuffled_image(pipeline.bridge), pytest.raises(ablation.InputError, match="no image branch"):
        ablation.edited(pipeline, ablation.paper(2, 1, 64, ("train",)), 2, {"num_inference_steps": 1})
