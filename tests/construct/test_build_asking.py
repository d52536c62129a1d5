"""Builds that ask: what is published of it, what is paid when, and what is refused before anybody is paid."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from asking_build import answers, asked_for, chat, photographs, recipe, score, stand_ins
from chat_server import ChatServer, Turn
from typer.testing import CliRunner

from insightedit.app.cli.main import app
from insightedit.backends.chat.cost import Ledger
from insightedit.backends.chat.prompt import load
from insightedit.construct.build import Built, build
from insightedit.construct.inspection import inspect
from insightedit.construct.recipe import Recipe
from insightedit.core import config
from insightedit.core.errors import ConfigError, InputError, Stop, Unfit
from insightedit.core.files import read_json

ALL_ASKED = 2 * (1 + 2) + 2 * 4 * (2 * 2 + 1)  # describe, two targets; four edits, two wordings each way, one PQ

BUDGET = 0.05  # USD: all of it takes 0.056, and 0.042 are set aside for a first reply of full length


@dataclass(frozen=True)
class Whole:
    """A build that nothing disturbed, and what it asked for."""

    built: Built
    replies: list[str]


@pytest.fixture(autouse=True, scope="module")
def stood_in():
    with pytest.MonkeyPatch.context() as patch:
        stand_ins(patch)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return photographs(tmp_path_factory.mktemp("asking") / "photos")


@pytest.fixture(scope="module")
def whole(stood_in, photos, tmp_path_factory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    with ChatServer(answers()) as server:
        built = build(photos, folder / "out", recipe(server), workers=0)
        return Whole(built, asked_for(server))


def rows(built: Built) -> list[dict[str, Any]]:
    return [
        row
        for path in sorted((built.out / "dataset" / "data").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def test_what_was_asked_is_published_with_every_row(whole):
    assert whole.replies.count("Described") == 2 and whole.replies.count("Targets") == 4
    built = whole.built
    found = rows(built)
    assert {row["method"] for row in found} == {"removal", "replacement"} and len(found) == 8
    for row in found:
        assert (row["judge"], row["score_top"], row["judge_reason"]) == ("gpt-4o", 10, "because")
        assert (row["sc_fwd_follow"], row["pq_artifact"]) == (9, 7) and row["o_fwd"] == pytest.approx(56**0.5)
        asked = {(one["step"], one["about"], one["prompt"], one["version"]) for one in row["asked"]}
        wanted = [("describe", "photo", "describe"), ("describe", "photo", "targets")]
        wanted += [("score", "edit", "sc"), ("score", "edit", "pq")]
        assert asked == {(*one, load(one[2]).version) for one in wanted}
        views = [(view["question"], view["direction"], view["first"]) for view in row["judge_views"]]
        assert views[-1] == ("pq", None, 8) and ("sc", "reverse", 9) in views
    manifest = read_json(built.out / "dataset" / "manifest.json")
    by_step = {one["step"]: one for one in manifest["asked"]}
    assert by_step.keys() == {"describe", "score"}
    assert by_step["describe"]["answers"] == 6 and by_step["score"]["models"] == ["gpt-4o"]
    assert sum(one["answers"] for one in by_step.values()) == len(whole.replies) == ALL_ASKED
    card = (built.out / "dataset" / "README.md").read_text()
    assert "| describe | gpt-4o | 6 |" in card and "`judge`, `asked`" in card
    assert inspect(built.out).ok


def test_one_line_loads_it_with_its_further_columns(whole, tmp_path):
    from datasets import load_dataset

    loaded = load_dataset(str(whole.built.out / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["asked"][0]["model"] == "gpt-4o" and "judge_views" in loaded.features


def test_with_words_by_a_model_too_every_promise_holds_and_each_question_is_in_the_rows(photos, tmp_path):
    with ChatServer(answers()) as server:
        words = {"backend": "mllm", "mllm": {"chat": chat(server)}}
        built = build(photos, tmp_path / "out", recipe(server, instruct=words), workers=0)
    found = rows(built)
    assert len(found) == 8 and inspect(built.out).ok
    assert {"Remove the mug.", "Swap the bowl for a teapot."} <= {row["instr_fwd_simple"][0] for row in found}
    assert all(row["instr_fwd_advanced"] and row["instr_rev_advanced"] for row in found)
    steps = {(one["step"], one["about"]) for row in found for one in row["asked"]}
    assert steps == {("describe", "photo"), ("instruct", "photo"), ("score", "edit")}
    assert [one.step for one in built.spent] == ["describe", "instruct", "score"]
    riddles = 4  # the two edits of each thing start from one picture with one riddle: asked once, of use twice
    assert sum(one.answers for one in built.spent) == len(server.seen) + riddles


def test_the_funnel_counts_what_was_named_and_puts_the_paid_half_of_judging_under_judge(photos, tmp_path, monkeypatch):
    import insightedit.construct.score_vie as score_vie

    real, broken = score_vie.prepared, []

    def prepared(work, knobs):
        broken[:] = broken or [work.key]
        if work.key in broken:
            raise Unfit("broken_picture")
        return real(work, knobs)

    monkeypatch.setattr(score_vie, "prepared", prepared)
    with ChatServer(answers()) as server:
        built = build(photos, tmp_path / "out", recipe(server), workers=0)
    lines = {line.step: line for line in built.funnel}
    assert list(lines) == ["source", "describe", "segment", "paint", "instruct", "judge"]
    assert (lines["describe"].came_in, lines["describe"].kept, lines["segment"].kept) == (4, 4, 4)
    judge = lines["judge"]
    assert (judge.came_in, judge.kept, judge.rejected, judge.reasons) == (8, 4, 4, {"broken_picture": 1})
    assert all(line.came_in == line.kept + line.rejected for line in built.funnel)


def test_what_a_model_names_and_nobody_finds_is_counted_where_it_left(photos, tmp_path):
    fine = answers()({"response_format": {"json_schema": {"name": "Described"}}})
    ghost = {**fine["objects"][0], "category": "ghost", "name": "ghost", "detail": "A ghost."}
    bare = {**fine["objects"][0], "name": "mug (red)"}
    with ChatServer(answers(Described={**fine, "objects": [*fine["objects"], ghost, bare]})) as server:
        built = build(photos, tmp_path / "out", recipe(server), workers=0)
    lines = {line.step: line for line in built.funnel}
    assert (lines["describe"].came_in, lines["describe"].kept) == (8, 6)
    assert lines["describe"].reasons == {"parentheses_in_name": 2}
    assert (lines["segment"].came_in, lines["segment"].kept, lines["segment"].reasons) == (6, 4, {"not_found": 2})


def test_a_spent_budget_stops_the_build_and_a_larger_one_goes_on_without_paying_twice(whole, photos, tmp_path):
    ledger = Ledger()
    with ChatServer(answers()) as server:
        asking = recipe(server, judge={"score": score(server, place={"in_flight": 1})})
        with pytest.raises(Stop, match="budget"):
            build(photos, tmp_path / "out", asking, workers=0, budget_usd=BUDGET, ledger=ledger)
        assert 0 < ledger.total.usd < BUDGET and ledger.steps["score"].requests > 0
        assert 0 < len(server.seen) < ALL_ASKED and not (tmp_path / "out" / "dataset").exists()
        built = build(photos, tmp_path / "out", asking, workers=0, budget_usd=10)
        assert len(server.seen) == ALL_ASKED, "nothing is paid twice"
    assert built.published.content_hash == whole.built.published.content_hash
    assert built.spent == whole.built.spent, "what the answers cost does not depend on the run that paid them"
    kept = read_json(tmp_path / "out" / "work" / "asked.json")
    assert sum(one["requests"] for one in kept.values()) == ALL_ASKED, "all runs are in the ledger that is kept"


def test_a_new_bar_asks_nobody(whole, photos, tmp_path):
    shutil.copytree(whole.built.out / "work", tmp_path / "out" / "work")
    with ChatServer(answers()) as server:
        bars = {"bars": {"sc": 0.85}, "by_method": {"removal": {"sc": 0.5}}}
        again = build(photos, tmp_path / "out", recipe(server, judge={"vie": bars}), workers=0)
        assert server.seen == []
    assert {row["method"] for row in rows(again)} == {"removal"}
    assert {line.step: line.reasons for line in again.funnel}["judge"] == {"low_sc": 4}
    rejects = pq.read_table(next((again.out / "dataset" / "rejects").glob("*.parquet"))).to_pylist()
    assert {(one["step"], one["reason"]) for one in rejects} == {("judge", "low_sc")}
    assert all("sc_fwd_follow 9, sc_fwd_overedit 8" in one["seen"] for one in rejects)


NOISE = {"painter": "noise"}
LATER = [
    ({"segment": {"grounded_sam": {"detector": {"model": "./no/weights"}}}}, InputError, "no model"),
    ({"paint": {"networks": {"removal": NOISE, "replacement": {"painter": "brushnet"}}}}, ConfigError, "no default"),
    (
        {"judge": {"score": {"chat": {"base_url": "https://api.openai.com/v1", "model": "gpt-4o"}}}},
        ConfigError,
        "OPENAI",
    ),
    ({"judge": {"vie": {"clip": {"model": "./no/clip"}}}}, InputError, "no model"),
]


@pytest.mark.parametrize(("changes", "error", "says"), LATER, ids=["detector", "painter", "judge's key", "clip"])
def test_what_a_later_step_lacks_is_said_before_anybody_is_paid(photos, tmp_path, monkeypatch, changes, error, says):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ChatServer(answers()) as server:
        with pytest.raises(error, match=says):
            build(photos, tmp_path / "out", recipe(server, **changes), workers=0)
        assert server.seen == []


SENSELESS = [
    ({"describe": {"backend": "mllm", "mllm": {"targets": 0}}}, "segment.backend=grounded_sam"),
    ({"describe": {"backend": "mllm"}, "segment": {"backend": "grounded_sam"}}, "describe.mllm.targets=0"),
    (
        {
            "describe": {"backend": "mllm"},
            "segment": {"backend": "grounded_sam"},
            "paint": {"backend": "networks", "networks": {"replacement": {"per_object": 0}}},
        },
        "describe.mllm.targets=0",
    ),
    ({"judge": {"backend": "vie", "score": {"simple": 0, "advanced": 0}}}, "judge.score.simple=1"),
]


@pytest.mark.parametrize(("sections", "mend"), SENSELESS)
def test_ways_that_do_not_go_together_are_refused_with_the_mend(sections, mend, photos, tmp_path):
    senseless = config.validate(Recipe, {"preset": "test", **sections}, "test")
    with pytest.raises(ConfigError, match=mend.replace(".", r"\.")):
        build(photos, tmp_path / "out", senseless, workers=0)
    assert not (tmp_path / "out").exists()


def test_the_terminal_shows_what_was_paid_however_the_run_ends(photos, tmp_path):
    with ChatServer(answers()) as server:
        config.write(recipe(server), tmp_path / "mine.yaml")
        line = ["build", str(photos), "-o", str(tmp_path / "out"), "-p", str(tmp_path / "mine.yaml"), "-w", "0"]
        stopped = CliRunner().invoke(app, [*line, "--budget-usd", str(BUDGET)])
        assert isinstance(stopped.exception, Stop) and "Raise --budget-usd" in str(stopped.exception)
        assert "describe: " in stopped.output and " USD" in stopped.output
        done = CliRunner().invoke(app, [*line, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["asked"]["score"]["requests"] > 0 and report["spent"][0]["step"] == "describe"
    assert "score: " in done.stderr and "tokens" in done.stderr


def test_a_model_that_refuses_costs_its_photograph_only(photos, tmp_path):
    with ChatServer(answers(), script=[Turn(text=None, refusal="I had rather not.")]) as server:
        built = build(photos, tmp_path / "out", recipe(server), workers=0)
    assert built.published.photos == 1
    rejects = pq.read_table(next((built.out / "dataset" / "rejects").glob("*.parquet"))).to_pylist()
    assert ("describe", "refused", "I had rather not.") in {
        (one["step"], one["reason"], one["seen"]) for one in rejects
    }
