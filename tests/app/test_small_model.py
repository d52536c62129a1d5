"""The recipe of the small model from end to end, a few updates of everything, as `make train-tiny SMOKE=1` runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from insightedit.editors.table import make
from insightedit.scenes.exam import questions
from insightedit.scenes.render import render_pair

pytestmark = pytest.mark.slow


def insightedit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "insightedit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_recipe_runs_continues_and_leaves_a_model_that_edits(tmp_path):
    out = tmp_path / "small"
    answer = insightedit("train-small", out, "--smoke")
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert all(f"{place}/8" in answer.stderr for place in range(1, 9))
    for stage in ("align", "comprehend", "image_align", "joint", "refine"):
        lines = [json.loads(line) for line in (out / stage / "log.jsonl").read_text().splitlines()]
        assert any(np.isfinite(line["total"]) for line in lines)
    editor = make("scenes", model=str(out / "scenes"), steps=3)
    question = questions(1, seed=1)[0]
    source = render_pair(question.pair, 64).before.image
    edited = editor.edit(source, question.text)
    assert edited.shape == source.shape and not np.array_equal(edited, source)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert insightedit("train-small", out, "--smoke").returncode == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
