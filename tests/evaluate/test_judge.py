"""Judging over a loopback endpoint: each reply paid for once and kept raw, whatever the judge says instead."""

from __future__ import annotations

import json

import pytest
from chat_server import ChatServer, Turn, limited, pictures, says

from insightedit.core.errors import ConfigError, Stop
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.contenders import EditorContender, FolderContender
from insightedit.evaluate.judge import REPLIES_FILE
from insightedit.evaluate.results import read
from insightedit.evaluate.run import EvaluateKnobs, evaluate
from insightedit.metrics.profile import get
from insightedit.metrics.score import reading

TEN, FIVE = get("viescore_0_10"), get("viescore_insightedit_0_5")
EDITORS = [EditorContender("identity", "identity")]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "INSIGHTEDIT_API_KEY", "INSIGHTEDIT_MODEL", "INSIGHTEDIT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def asking(server: ChatServer, **chat) -> EvaluateKnobs:
    quick = {"first_pause_s": 0.01, "longest_pause_s": 0.02, "attempts": 2}
    return EvaluateKnobs(judge={"chat": {"base_url": server.url, "model": "gpt-4o", **quick, **chat}})


def kept(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / REPLIES_FILE).read_text().splitlines()]


def test_scores_are_minimum_and_root_of_what_the_judge_says(own, tmp_path):
    def answer(body):
        if "instruction_followed" in json.dumps(body["response_format"]):
            assert len(pictures(body)) == 2
            return {"reasoning": "a", "instruction_followed": 4, "nothing_else_changed": 9}
        assert len(pictures(body)) == 1
        return {"reasoning": "b", "naturalness": 9, "freedom_from_artifacts": 10}

    with ChatServer(answer) as server:
        done = evaluate(open_benchmark(str(own({}, {}))), EDITORS, [TEN], tmp_path / "out", asking(server))
    scores = {name: cell.value for name, cell in done.rows[0].scores["viescore_0_10"].items()}
    assert (scores["sc"], scores["pq"], scores["overall"], scores["sc_preserved"]) == (4, 9, 6, 9)
    judge = read(done.folder).profiles[0].judge
    assert (judge.model, judge.answered_by, judge.asked, judge.kept) == ("gpt-4o", ["gpt-4o"], 4, 0)
    assert set(judge.settings["prompts"]) == {"sc", "pq"} and all(judge.date) and done.complete


def test_nothing_is_asked_twice(own, tmp_path):
    samples = own({}, {}, {})
    with ChatServer() as server:
        first = evaluate(open_benchmark(str(samples)).first(2), EDITORS, [TEN], tmp_path / "out", asking(server))
        assert len(server.seen) == 4
        renamed = [EditorContender("another", "identity"), *EDITORS]
        again = evaluate(open_benchmark(str(samples)), renamed, [TEN], tmp_path / "out", asking(server))
        assert len(server.seen) == 6 and again.results.profiles[0].judge.kept == 8
        evaluate(open_benchmark(str(samples)), EDITORS, [FIVE], tmp_path / "out", asking(server))
        assert len(server.seen) == 12  # another scale is another question
    assert first.rows[0].scores == next(row for row in again.rows if row.label == "identity").scores
    assert json.loads(kept(again.folder)[0]["text"])["reasoning"] == "thing"  # as it came


def test_a_stop_keeps_what_was_answered(own, tmp_path):
    samples = open_benchmark(str(own({}, {}, {})))
    script = [says_fitting()] * 2 + [Turn(401, "no", code="invalid_api_key")] * 20
    with ChatServer(script=script) as server, pytest.raises(Stop):
        evaluate(samples, EDITORS, [TEN], tmp_path / "out", asking(server, concurrency=1))
    assert len(kept(tmp_path / "out" / "own")) == 2
    with ChatServer() as server:
        done = evaluate(samples, EDITORS, [TEN], tmp_path / "out", asking(server))
        assert len(server.seen) == 4 and done.complete


def says_fitting() -> Turn:
    both = {"instruction_followed": 1, "nothing_else_changed": 1, "naturalness": 1, "freedom_from_artifacts": 1}
    return says({"reasoning": "x", **both})


def test_refusals_and_nonsense_are_statuses_and_no_numbers(own, tmp_path):
    def answer(body):
        words = json.dumps(body["messages"])
        if "do 0" in words:
            return Turn(text=None, refusal="I cannot judge that")
        if "do 1" in words:
            return says("a fine picture, I would say 7")
        if "do 2" in words:
            return says({"reasoning": "x", "instruction_followed": 70, "nothing_else_changed": 9})
        kind = "naturalness" in json.dumps(body["response_format"])
        names = ("naturalness", "freedom_from_artifacts") if kind else ("instruction_followed", "nothing_else_changed")
        return {"reasoning": "x", **dict.fromkeys(names, 5)}

    benchmark = open_benchmark(str(own({}, {}, {}, {})))
    with ChatServer(answer) as server:
        done = evaluate(benchmark, EDITORS, [TEN], tmp_path / "out", asking(server))
        paid = len(server.seen)
        found = {row.id: row.scores["viescore_0_10"]["sc"] for row in done.rows}
        assert {name: cell.status for name, cell in found.items()} == {
            "s0": "refused", "s1": "malformed", "s2": "malformed", "s3": "ok",
        }  # fmt: skip
        assert [found[name].value for name in ("s0", "s1", "s2")] == [None] * 3 and not done.complete
        assert done.rows[0].scores["viescore_0_10"]["pq"].value == 5  # the other question stands
        other = reading(TEN, "viescore_published_guessing")
        reread = evaluate(benchmark, EDITORS, [TEN, other], tmp_path / "out", asking(server))
        assert len(server.seen) == paid  # another filter asks nobody
    guessed = {row.id: row.scores[other.name]["sc"].status for row in reread.rows}
    assert guessed["s0"] == "refused" and guessed["s1"] == "ok"
    assert {line["reason"] for line in kept(done.folder)} == {"", "refused", "malformed"}


def test_a_service_that_fails_is_asked_again_by_the_next_run(own, tmp_path):
    benchmark = open_benchmark(str(own({})))
    with ChatServer(lambda body: limited()) as server:
        done = evaluate(benchmark, EDITORS, [TEN], tmp_path / "out", asking(server))
    assert done.rows[0].status == "rate_limited" and not (done.folder / REPLIES_FILE).exists()
    with ChatServer() as server:
        assert evaluate(benchmark, EDITORS, [TEN], tmp_path / "out", asking(server)).complete


def test_without_a_key_nothing_is_made(own, tmp_path):
    benchmark = open_benchmark(str(own({})))
    with pytest.raises(ConfigError, match="INSIGHTEDIT_MODEL"):
        evaluate(benchmark, EDITORS, [TEN], tmp_path / "out")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        evaluate(benchmark, EDITORS, [TEN], tmp_path / "out", EvaluateKnobs(judge={"chat": {"model": "gpt-4o"}}))
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_scored_without_a_key(own, tmp_path):
    benchmark = open_benchmark(str(own({})))
    with ChatServer() as server:
        whole = evaluate(benchmark, EDITORS, [TEN], tmp_path / "out", asking(server))
    knobs = EvaluateKnobs(judge={"chat": {"model": "gpt-4o"}})
    assert evaluate(benchmark, EDITORS, [TEN], tmp_path / "out", knobs, stage="score").rows == whole.rows


def test_the_budget_ends_the_run(own, tmp_path):
    with ChatServer() as server:
        knobs = asking(server, usd_per_million_in=1e6, usd_per_million_out=1e6)
        judge = knobs.judge.model_copy(update={"budget_usd": 0.001})
        with pytest.raises(Stop, match="budget"):
            benchmark = open_benchmark(str(own({})))
            evaluate(benchmark, EDITORS, [TEN], tmp_path / "out", knobs.model_copy(update={"judge": judge}))
        assert server.seen == []


def test_replies_made_elsewhere_are_read_and_nobody_is_asked(own, tmp_path):
    said = {"s0": {"imgedit": "Prompt Compliance: 4\nVisual Naturalness: 5\nPhysical Integrity: 3"}}
    profile = get("imgedit")
    done = evaluate(open_benchmark(str(own({}, {}))), EDITORS, [profile], tmp_path / "out", given={"identity": said})
    assert [row.scores["imgedit"]["imgedit"].value for row in done.rows] == [4, None]
    assert done.rows[1].status == "missing_reply" and done.results.profiles[0].judge.model == "given"
    with pytest.raises(ConfigError, match="--replies"):
        evaluate(open_benchmark(str(own({}))), EDITORS, [profile], tmp_path / "out")
    with pytest.raises(ConfigError, match="Known: identity"):
        evaluate(open_benchmark(str(own({}))), EDITORS, [profile], tmp_path / "out", given={"else": said})
    with pytest.raises(ConfigError, match="no profile asks a judge"):
        evaluate(open_benchmark(str(own({}))), EDITORS, [get("magicbrush")], tmp_path / "out", given={"identity": said})
    two = [*EDITORS, EditorContender("other", "identity")]
    with pytest.raises(ConfigError, match="'other' has none"):
        evaluate(open_benchmark(str(own({}))), two, [profile], tmp_path / "out", given={"identity": said})


def test_nobody_is_asked_about_a_sample_without_its_source(own, tmp_path, art):
    root = own({}, {"source": "gone.png"})
    for number in range(2):
        art.put(tmp_path / "made" / f"s{number}.png", number)
    with ChatServer() as server:
        theirs = FolderContender("theirs", (tmp_path / "made",))
        done = evaluate(open_benchmark(str(root)), [theirs], [TEN], tmp_path / "out", asking(server))
        assert len(server.seen) == 2
    assert [row.status for row in done.rows] == ["ok", "missing_source"]
