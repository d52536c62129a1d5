"""`insightedit scenes`: a dataset that keeps every promise, the same bytes each time, held-out words apart."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from insightedit.app.cli.main import app
from insightedit.app.cli.scenes import SPLITS, run
from insightedit.app.scene_dataset import AUTHOR, LICENCE, Scenes
from insightedit.construct.inspection import inspect
from insightedit.construct.reverify import unverified as verify
from insightedit.core.errors import InputError
from insightedit.core.image import decode_own
from insightedit.scenes.grammar import instructions, split_of
from insightedit.scenes.published import LANGUAGE, pair_of, unverified
from insightedit.scenes.render import render_pair

LANGUAGES = {LANGUAGE: unverified}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("scenes") / "out"
    run(place, 30, 64, 5, 0, lambda name, more: None)
    return place


@pytest.fixture(scope="module")
def rows(out) -> list[dict]:
    return [
        row for path in sorted((out / "dataset" / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def test_every_promise_holds_and_the_card_tells_what_it_is(out):
    found = inspect(out, languages=LANGUAGES)
    assert found.ok, [promise for promise in found.promises if not promise.holds]
    assert found.rows == 30 and found.licences == {LICENCE: 30} and set(found.splits) == {"train", "validation"}
    assert all(promise.checked for promise in found.promises)
    card = (out / "dataset" / "README.md").read_text()
    assert "license: cc0-1.0" in card and "30 rendered scenes" in card
    assert "hotograph" not in card.split("## Licences")[1].split("## How to cite")[0]


def test_a_reader_without_the_language_says_so_rather_than_believe(out):
    found = inspect(out)
    broken = next(promise for promise in found.promises if promise.name == "advanced unique")
    assert not broken.holds and "formulas of 'scenes'" in broken.failures[0].why


def test_the_verifier_finds_a_formula_that_picks_another_thing(rows):
    tried = 0
    for row in rows:
        for sentence in row["instr_meta"]:
            formula = sentence["query"].removeprefix(f"{LANGUAGE}: ")
            assert unverified(row, formula, sentence["direction"]) is None
            if len(row["objects"]) > 1:
                first, second = (thing["object_id"] for thing in row["objects"][:2])
                other = {**row, "object_id": second if row["object_id"] == first else first}
                assert unverified(other, formula, "forward") or sentence["direction"] == "reverse"
                tried += 1
    assert tried > 60
    wrong = [{**rows[0]["instr_meta"][0], "kind": "advanced", "query": f"{LANGUAGE}: leftmost("}]
    assert "cannot be evaluated" in verify({**rows[0], "instr_meta": wrong}, LANGUAGES)


def test_rows_say_where_they_come_from_and_can_be_drawn_again(rows):
    for row in rows[:12]:
        assert (row["license"], row["author"], row["natural_direction"]) == (LICENCE, AUTHOR, "neither")
        pair = pair_of(row)
        drawn = render_pair(pair)
        assert (decode_own(row["mask"]["bytes"]) > 0).tolist() == drawn.changed.tolist()
        stored = decode_own(row["source_image"]["bytes"]).astype(int)
        assert np.abs(stored - drawn.before.image).mean() < 4  # JPEG
        assert [thing["box"] for thing in row["objects"]] and row["outside_equal"]
    with pytest.raises(InputError, match="no scene"):
        pair_of({**rows[0], "seed": 1})
    with pytest.raises(InputError, match="no scene"):
        pair_of({**rows[0], "engine": "insightedit scenes 0"})


def test_train_rows_say_nothing_that_is_held_out(rows):
    marks = {"train": 0, "validation": 0}
    for row in rows:
        held = [sentence for sentence in row["instr_meta"] if sentence["form"].endswith("heldout")]
        marks[row["split"]] += len(held)
        pair = pair_of(row)
        if row["split"] == "train":  # nothing that one could have held out was said: compare with all that can be
            ways = {"forward": pair, "reverse": pair.reversed()}
            for way, directed in ways.items():
                possible = instructions(directed, random.Random(0), 99, "heldout")
                texts = {sentence["text"] for sentence in row["instr_meta"] if sentence["direction"] == way}
                assert not texts & {one.text for one in possible if split_of(directed, one) == "heldout"}
    assert marks["train"] == 0 and marks["validation"] > 0


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(out, tmp_path):
    again = run(tmp_path / "again", 30, 64, 5, 2, lambda name, more: None)
    assert again.content_hash == json.loads((out / "dataset" / "manifest.json").read_text())["content_hash"]


def test_what_is_left_out_is_counted_and_kept():
    drawn = Scenes(20, 32, 0, {"train": 1.0})
    works = list(drawn.works())
    line = drawn.funnel[0]
    assert len(works) == line.kept == 20 and line.rejected == len(drawn.rejects) > 0
    assert {reject.reason for reject in drawn.rejects} == {"held_out"}
    assert sum(SPLITS.values()) == 1


def test_the_command_reports_and_refuses(tmp_path):
    done = CliRunner().invoke(app, ["scenes", str(tmp_path / "o"), "--count", "3", "--size", "32", "-w", "0", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["rows"] == 3
    for wrong in (["--count", "0"], ["--count", "3", "--size", "31"], ["--count", "3", "--size", "300"], []):
        assert CliRunner().invoke(app, ["scenes", str(tmp_path / "p"), *wrong]).exit_code == 2


def test_datasets_loads_it_with_one_line(out, tmp_path):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(out / "dataset"), cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "validation"} and loaded["train"][0]["source_image"].size == (64, 64)
