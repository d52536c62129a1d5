"""`insightedit evaluate`, `compare` and `benchmarks`: what they leave, say and refuse; run through `main`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
from PIL import Image

from insightedit.app.cli.main import main


@pytest.fixture
def call(monkeypatch, capfd):
    """Run a command -> (exit code, stdout, stderr)."""
    for name in ("OPENAI_API_KEY", "INSIGHTEDIT_API_KEY", "INSIGHTEDIT_MODEL", "INSIGHTEDIT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["insightedit", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def bench(tmp_path) -> Path:
    """A benchmark of four samples with masks, and outcomes of three of them."""
    root, lines = tmp_path / "own", []
    for number in range(4):
        picture = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        mask = np.zeros((24, 32), np.uint8)
        mask[:, :12] = 255
        for path, image in ((root / f"{number}.png", picture), (root / f"m{number}.png", mask)):
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(path)
        lines.append({"id": f"s{number}", "source": f"{number}.png", "mask": f"m{number}.png", "instruction": "do it"})
        if number < 3:
            (tmp_path / "made").mkdir(exist_ok=True)
            Image.fromarray(picture // 2).save(tmp_path / "made" / f"s{number}.png")
    (root / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_a_run_leaves_tables_and_a_page(call, bench, tmp_path):
    run = ("evaluate", "-e", "identity", "-b", bench, "-o", tmp_path / "out", "-w", 0)
    code, said, _ = call(*run)
    assert code == 0 and "identity" in said and "100%" in said and "inf" in said
    out = tmp_path / "out" / "own"
    for name in ("results.json", "samples.jsonl", "report.md", "report.tex", "index.html"):
        assert (out / name).stat().st_size > 100
    code, said, _ = call(*run, "--json")
    report = json.loads(said)
    assert code == 0 and report["results"]["editors"][0]["coverage"] == 1 and "paired" not in report["results"]


def test_missing_outcomes_fail_the_run_but_leave_its_results(call, bench, tmp_path):
    run = ("evaluate", "-e", f"folder={tmp_path / 'made'}", "-b", bench, "-o", tmp_path / "out", "-w", 0)
    code, said, error = call(*run)
    assert code == 1 and "made: 1 missing_output" in error and "--allow-partial" in error and "75%" in said
    assert json.loads((tmp_path / "out" / "own" / "results.json").read_text())["editors"][0]["coverage"] == 0.75
    assert call(*run, "--allow-partial")[0] == 0


def test_limits_samples_and_stages(call, bench, tmp_path):
    run = ("evaluate", "-e", "identity", "-b", bench, "-o", tmp_path / "out", "-w", 0, "--json")
    code, said, _ = call(*run, "--limit", 2, "--generate-only")
    assert code == 0 and json.loads(said)["editors"]["identity"]["coverage"] == 1
    assert not (tmp_path / "out" / "own" / "results.json").exists()
    code, said, error = call(*run, "--samples", "s0,s3", "--score-only")
    assert code == 1 and json.loads(said)["results"]["named"] == ["s0", "s3"] and "missing_output" in error
    code, _, error = call(*run, "--samples", "s0,s9")
    assert code == 2 and "no sample 's9'" in error
    assert call(*run, "--limit", 2, "--samples", "s0")[0] == 2
    assert call(*run, "--generate-only", "--score-only")[0] == 2


def test_wrong_usage_is_told_before_anything_is_made(call, bench, tmp_path):
    run = ("evaluate", "-b", bench, "-o", tmp_path / "out", "-w", 0)
    code, _, error = call(*run, "-e", "identity", "-p", "viescore_0_10")
    assert code == 2 and "INSIGHTEDIT_MODEL" in error
    code, _, error = call(*run, "-e", "identity", "-p", "viescore_0_10", "--judge-model", "gpt-4o")
    assert code == 2 and "OPENAI_API_KEY" in error
    assert call(*run, "-e", "identity", "-e", "identity")[0] == 2
    assert call(*run, "-e", "identity", "--set", "count=3")[0] == 2  # a folder has no such knob
    code, _, error = call("evaluate", "-e", "identity", "-b", "reason-edt", "-o", tmp_path / "out")
    assert code == 2 and "reason-edit" in error
    code, _, error = call("evaluate", "-e", "identity", "-b", "reason-edit", "-o", tmp_path / "out")
    assert code == 2 and "1-Left-Right" in error
    assert not (tmp_path / "out").exists()


def test_lpips_weights_may_be_named(call, bench, tmp_path):
    run = ("evaluate", "-e", "identity", "-b", bench, "-o", tmp_path / "out", "-w", 0, "--samples", "s0")
    code, _, error = call(*run, "-p", "smartedit_2023", "--lpips-trunk", tmp_path / "none.pth")
    rows = (tmp_path / "out" / "own" / "samples.jsonl").read_text()
    assert code == 1 and "1 unavailable" in error and "none.pth" in rows


def test_compare_shows_differences_and_refuses_other_profiles(call, bench, tmp_path):
    run = ("evaluate", "-b", bench, "-w", 0, "--allow-partial")
    call(*run, "-e", "identity", "-o", tmp_path / "a")
    call(*run, "-e", f"folder={tmp_path / 'made'},label=dark", "-o", tmp_path / "b")
    code, said, _ = call("compare", tmp_path / "a" / "own", tmp_path / "b" / "own" / "results.json", "--json")
    paired = {one["metric"]: one for one in json.loads(said)["paired"]}
    assert code == 0 and paired["l1_background"]["n"] == 3 and paired["l1_background"]["high"] < 0
    assert "l1_background" in call("compare", tmp_path / "a" / "own", tmp_path / "b" / "own")[1]
    call(*run, "-e", "identity", "-o", tmp_path / "c", "--limit", 2)
    code, _, error = call("compare", tmp_path / "a" / "own", tmp_path / "c" / "own")
    assert code == 2 and "benchmark fingerprint" in error


def test_benchmarks_are_listed_with_what_they_need(call):
    code, said, _ = call("benchmarks", "--json")
    listed = {one["name"]: one for one in json.loads(said)["benchmarks"]}
    assert code == 0 and listed["reason-edit"]["samples"] == [219] and listed["reason-edit"]["needs"]
    assert listed["scenes"]["needs"] == "" and listed["scenes"]["version"] == 1
    assert "scenes" in call("benchmarks")[1]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; import insightedit.app.cli.main as m; "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'pydantic', 'insightedit.evaluate')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
