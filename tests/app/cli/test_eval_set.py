"""`insightedit eval-set` as a command."""

from __future__ import annotations

import json

import pytest
from published import publish_small
from typer.testing import CliRunner

from insightedit.app.cli.main import app
from insightedit.app.cli.scenes import run
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.draw import draw
from insightedit.evaluate.sample import status


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    publish_small(out, 16)
    return out


def test_it_says_what_it_drew_and_what_to_leave_out(dataset, tmp_path):
    asked = ["eval-set", str(dataset), str(tmp_path / "set"), "-n", "6", "--split", "train"]
    answer = CliRunner().invoke(app, [*asked, "--json"])
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert report["samples"] == 6 and report["categories"] == {"removal": 2, "addition": 2, "replacement": 2}
    assert report["excluded"]["train"] and (tmp_path / "set" / "exclude.json").is_file()
    told = CliRunner().invoke(app, asked)
    assert "6 samples (2 removal, 2 addition, 2 replacement)" in told.stdout
    assert f"{report['excluded']['train']} rows of train" in told.stdout


def test_a_set_of_scenes_speaks_of_things_and_leaves_some_to_train_on(tmp_path):
    run(tmp_path / "scenes", 30, 32, 0, 0, lambda step, count: None)
    drawn = draw(tmp_path / "scenes", tmp_path / "set", 9)
    found = open_benchmark(str(tmp_path / "set"))
    assert not any(map(status, found.samples)) and drawn.left["train"]
    texts = [one.clip_text for one in found.samples if one.category != "removal"]
    assert all(text and "across" not in text for text in texts), texts


def test_where_nothing_is_left_to_train_on_it_says_so(tmp_path):
    publish_small(tmp_path / "run", 2)
    answer = CliRunner().invoke(app, ["eval-set", str(tmp_path / "run"), str(tmp_path / "set"), "-n", "3"])
    assert answer.exit_code == 0 and "nothing is left to train on" in answer.stdout
