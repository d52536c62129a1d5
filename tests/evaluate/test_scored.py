"""What a profile is given: the reference's numbers come out, and what is missing costs what needs it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.contenders import FolderContender
from insightedit.evaluate.generate import generate
from insightedit.evaluate.scored import Load, not_applicable
from insightedit.metrics.outcome import Status
from insightedit.metrics.profile import get
from insightedit.metrics.score import score

GOLDEN = Path(__file__).parents[1] / "golden" / "eval"
PIXELS = {"psnr_masked": ("psnr", 1e-4), "ssim_masked": ("ssim", 2e-4), "ssim_masked_2023": ("ssim_legacy_crop", 2e-4)}


def test_the_miniature_has_the_means_of_the_reference(tmp_path):
    expected = json.loads((GOLDEN / "expected" / "mini_reasonedit.json").read_text())["scenarios"]
    tree = GOLDEN / "mini_reasonedit"
    benchmark = open_benchmark(
        "reason-edit", tree / "ReasonEdit_benckmark_dir", ["pairing=position"], partial=True
    )  # as the script
    given = FolderContender("published", tuple(sorted((tree / "outputs").iterdir())))
    found = generate(benchmark, given, tmp_path / "out")
    profile = replace(get("smartedit_tm19"), metrics=tuple(PIXELS))
    scores = {one.id: score(profile, Load(one, found.path(one))()) for one in benchmark.samples}
    for scenario in benchmark.categories:
        of_it = [scores[one.id] for one in benchmark.samples if one.category == scenario]
        for metric, (name, tolerance) in PIXELS.items():
            mean = sum(one[metric].value for one in of_it) / len(of_it)
            assert mean == pytest.approx(expected[scenario]["mean"][name], abs=tolerance), (scenario, metric)


def test_what_is_missing_costs_what_needs_it(own, art, tmp_path):
    root = own({"mask": "none.png", "target": "t.png"}, {"source": "none.png"}, {"id": "s0"})
    art.put(root / "t.png", 3)
    broken, absent, repeated = open_benchmark(str(root)).samples
    outcome = art.put(tmp_path / "outcome.png", 4)
    strict = replace(get("background_strict"), metrics=("psnr_background", "psnr"))
    assert {one.status for one in score(strict, Load(broken, outcome)()).values()} == {Status.MISSING_MASK}
    plain = replace(get("magicbrush"), metrics=("l1",))
    assert score(plain, Load(broken, outcome)())["l1"].status == Status.OK
    assert score(strict, Load(absent, outcome)())["psnr"].status == Status.MISSING_SOURCE
    for load in (Load(broken, None), Load(repeated, outcome)):
        assert score(plain, load())["l1"].status == Status.MISSING_OUTPUT


def test_without_a_text_what_needs_it_does_not_apply(own):
    removal, addition = open_benchmark(str(own({}, {"clip_text": "a cup"}))).samples
    assert {"clip_score_crop", "clip_t", "clip_direction"} <= not_applicable(removal)
    assert not {"clip_score_crop", "clip_t"} & not_applicable(addition)
    assert not {"clip_i", "dino", "psnr"} & not_applicable(removal)
