"""A run: three cached stages, a killed run equal to an unbroken one, and nothing that is missing passes for a score."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insightedit.core.errors import BackendError, ConfigError, OutputError
from insightedit.core.fingerprint import digest
from insightedit.evaluate import scoring
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.contenders import EditorContender, FolderContender, ReferenceContender
from insightedit.evaluate.pictures import pixels
from insightedit.evaluate.results import read, read_rows
from insightedit.evaluate.run import EvaluateKnobs, evaluate
from insightedit.evaluate.sample import source_of
from insightedit.metrics.catalogue import METRICS, PixelMetric
from insightedit.metrics.outcome import Outcome, Status
from insightedit.metrics.profile import MaskRule, Profile, get

GOLDEN = Path(__file__).parents[1] / "golden" / "eval"
STRICT = get("background_strict")
PLAIN = Profile("plain", 1, "this test", ("psnr", "l1"))
MASKED = Profile("masked", 1, "this test", ("mse_masked",), mask=MaskRule())
IDENTITY = EditorContender("identity", "identity")


@dataclass
class Darker:
    """Takes one level away; counts what it makes, and ends the run at `stop`."""

    label: str = "darker"
    device: str | None = None
    stop: str = ""
    made: list[str] = field(default_factory=list)

    def fingerprint(self) -> str:
        return digest("darker")

    def key(self, sample, seed):
        return digest("darker", sample.asked(), seed)

    def setup(self):
        pass

    def outcome(self, sample, seed):
        if sample.id == self.stop:
            raise KeyboardInterrupt
        self.made.append(sample.id)
        return source_of(sample) - np.minimum(source_of(sample), 1)


@pytest.fixture
def bench(own, art, tmp_path):
    """A benchmark of so many samples with targets and masks, in two categories."""

    def write(count: int = 6, folder: str = "own"):
        lines = []
        for number in range(count):
            art.put(tmp_path / folder / "t" / f"{number}.png", 100 + number)
            art.mask(tmp_path / folder / "m" / f"{number}.png")
            kind = "remove" if number % 2 else "add"
            lines.append({"target": f"t/{number}.png", "mask": f"m/{number}.png", "category": kind})
        return open_benchmark(str(own(*lines, folder=folder)))

    return write


def lines(folder: Path) -> list[dict]:
    """The rows of a run without what differs from one run to the next."""
    found = [json.loads(line) for line in (folder / "own" / "samples.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def test_results_say_what_was_measured(bench, tmp_path):
    done = evaluate(bench(), [IDENTITY, ReferenceContender(), Darker()], [STRICT, PLAIN], tmp_path / "out")
    assert done.complete and (done.results, list(done.rows)) == (read(done.folder), read_rows(done.folder))
    identity, reference, darker = done.results.editors
    assert identity.profiles["plain"].overall["psnr"].n_inf == 6 and identity.profiles["plain"].overall["l1"].mean == 0
    row = next(one for one in done.rows if one.label == "reference")
    source, target = (pixels(part) for part in (bench().samples[0].source, bench().samples[0].target))
    expected = np.abs(source / 255 - target / 255).mean()
    assert row.scores["plain"]["l1"].value == pytest.approx(expected, rel=1e-5)
    assert darker.profiles["plain"].overall["l1"].mean == pytest.approx(1 / 255, rel=0.02)
    assert set(darker.profiles["plain"].categories) == {"add", "remove"} and "all" in darker.profiles["plain"].groups
    pair = next(p for p in done.results.paired if (p.first, p.second, p.metric) == ("reference", "darker", "l1"))
    means = [one.profiles["plain"].overall["l1"].mean for one in (reference, darker)]
    assert pair.n == 6 and pair.difference == pytest.approx(means[0] - means[1]) and pair.p < 0.01


def test_infinite_scores_survive_the_disk(bench, tmp_path):
    done = evaluate(bench(2), [IDENTITY], [PLAIN], tmp_path / "out")
    text = (done.folder / "samples.jsonl").read_text()
    assert '"value":"inf"' in text and "Infinity" not in text
    assert read_rows(done.folder)[0].scores["plain"]["psnr"].value == np.inf


def test_killed_twice_equals_unbroken(bench, tmp_path, monkeypatch):
    benchmark, profiles = bench(), [STRICT, PLAIN]
    evaluate(benchmark, [IDENTITY, Darker()], profiles, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        evaluate(benchmark, [IDENTITY, Darker(stop="s3")], profiles, tmp_path / "out")
    real, scored = scoring.score_all, []

    def killed(profile, loaders, networks, workers):
        for scores in real(profile, loaders, networks, workers):
            if len(scored) == 8:
                raise KeyboardInterrupt
            scored.append(profile.name)
            yield scores

    monkeypatch.setattr(scoring, "score_all", killed)
    again = Darker()
    with pytest.raises(KeyboardInterrupt):
        evaluate(benchmark, [IDENTITY, again], profiles, tmp_path / "out")
    assert again.made == ["s3", "s4", "s5"]  # the others were there
    assert not (tmp_path / "out" / "own" / "samples.jsonl").exists()
    with (tmp_path / "out" / "own" / "scores.jsonl").open("a") as file:
        file.write('{"key": "torn')
    counted = []
    monkeypatch.setattr(scoring, "score_all", lambda *job: _counting(real(*job), counted))
    third = Darker()
    evaluate(benchmark, [IDENTITY, third], profiles, tmp_path / "out")
    assert third.made == [] and len(counted) == 2 * 12 - 8
    assert lines(tmp_path / "out") == lines(tmp_path / "whole")


def _counting(scores, counted):
    for one in scores:
        counted.append(1)
        yield one


def test_another_profile_makes_nothing_anew(bench, tmp_path, monkeypatch):
    benchmark, editor = bench(), Darker()
    evaluate(benchmark, [editor], [PLAIN], tmp_path / "out")
    seen, real = [], scoring.score_all
    monkeypatch.setattr(scoring, "score_all", lambda profile, *job: seen.append(profile.name) or real(profile, *job))
    done = evaluate(benchmark, [editor], [PLAIN, STRICT], tmp_path / "out")
    assert len(editor.made) == 6 and seen == ["background_strict"] and done.complete
    evaluate(benchmark, [editor], [Profile("plain", 2, "this test", ("l1",))], tmp_path / "out")
    assert seen == ["background_strict", "plain"] and len(editor.made) == 6  # a new version is a new profile


def test_a_changed_target_is_scored_anew_and_nothing_else_is(bench, tmp_path, monkeypatch, art):
    evaluate(bench(), [IDENTITY], [get_target()], tmp_path / "out")
    art.put(tmp_path / "own" / "t" / "2.png", 999)
    counted, real = [], scoring.score_all
    monkeypatch.setattr(scoring, "score_all", lambda *job: _counting(real(*job), counted))
    again = open_benchmark(str(tmp_path / "own"))
    evaluate(again, [IDENTITY], [get_target()], tmp_path / "out")
    assert len(counted) == 1


def get_target() -> Profile:
    return Profile("to_target", 1, "this test", ("l1",), against="target")


def test_a_part_pays_for_the_whole(bench, tmp_path):
    editor = Darker()
    evaluate(bench().first(2), [editor], [PLAIN], tmp_path / "out", EvaluateKnobs(limit=2))
    assert len(editor.made) == 2 and read(tmp_path / "out" / "own").limit == 2
    evaluate(bench(), [editor], [PLAIN], tmp_path / "out")
    assert sorted(editor.made) == [f"s{number}" for number in range(6)]


def test_what_is_missing_is_named_and_the_rest_goes_on(bench, tmp_path, art):
    benchmark = bench(5)
    theirs = tmp_path / "theirs"
    for number in (0, 1, 3):
        art.put(theirs / f"s{number}.png", number)
    art.put(theirs / "s1.png", 1, 12, 8)  # another size
    (theirs / "s3.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(tmp_path / "own" / "m" / "4.png")
    art.put(theirs / "s4.png", 4)
    done = evaluate(benchmark, [FolderContender("theirs", (theirs,))], [STRICT], tmp_path / "out")
    found = {row.id: row.status for row in done.rows}
    assert found == {
        "s0": "ok", "s1": "wrong_size", "s2": "missing_output", "s3": "unreadable", "s4": "empty_mask",
    }  # fmt: skip
    assert not done.complete and done.results.editors[0].coverage == 0.2
    stat = done.results.editors[0].profiles["background_strict"].overall["l1_background"]
    assert (stat.n, stat.scored, stat.mean) == (5, 1, 0) and stat.statuses["missing_output"] >= 1
    assert all(row.why for row in done.rows if row.status != "ok")


def test_scoring_alone_makes_nothing(bench, tmp_path):
    editor = Darker()
    made = evaluate(bench().named(["s0", "s1"]), [editor], [PLAIN], tmp_path / "out", stage="generate")
    assert made.results is None and made.complete and not (made.folder / "results.json").exists()
    done = evaluate(bench(), [editor], [PLAIN], tmp_path / "out", stage="score")
    assert len(editor.made) == 2 and [row.status for row in done.rows] == ["ok"] * 2 + ["missing_output"] * 4
    assert "--score-only" in done.rows[-1].why


def test_a_network_that_failed_is_tried_again(bench, tmp_path, monkeypatch):
    real = scoring.score_all

    def failing(profile, loaders, networks, workers):
        for scores in real(profile, loaders, networks, workers):
            yield {name: Outcome(None, Status.FAILED, "out of memory") for name in scores}

    monkeypatch.setattr(scoring, "score_all", failing)
    assert not evaluate(bench(2), [IDENTITY], [PLAIN], tmp_path / "out").complete
    monkeypatch.setattr(scoring, "score_all", real)
    assert evaluate(bench(2), [IDENTITY], [PLAIN], tmp_path / "out").complete


@pytest.mark.slow
def test_a_worker_finds_what_none_finds(bench, tmp_path):
    evaluate(bench(), [IDENTITY], [MASKED], tmp_path / "one")
    evaluate(bench(), [IDENTITY], [MASKED], tmp_path / "two", EvaluateKnobs(workers=1))
    assert lines(tmp_path / "one") == lines(tmp_path / "two")


def test_scenes_know_the_truth(tmp_path):
    benchmark = open_benchmark("scenes", None, ["count=8", "size=32"])
    done = evaluate(benchmark, [IDENTITY, ReferenceContender()], [STRICT], tmp_path / "out")
    identity, reference = (one.truth.overall["success"] for one in done.results.editors)
    assert (identity.mean, identity.n) == (0, 8) and (reference.mean, reference.n) == (1, 8)
    assert any(pair.profile == "truth" and pair.difference == -1 for pair in done.results.paired)
    assert all(row.truth is not None for row in done.rows)


def test_the_miniature_has_the_published_totals(tmp_path):
    told = json.loads((GOLDEN / "expected" / "mini_reasonedit.json").read_text())["scenarios"]
    tree = GOLDEN / "mini_reasonedit"
    benchmark = open_benchmark("reason-edit", tree / "ReasonEdit_benckmark_dir", ["pairing=position"], partial=True)
    given = FolderContender("published", tuple(sorted((tree / "outputs").iterdir())))
    profile = replace(get("smartedit_tm19"), metrics=("psnr_masked", "ssim_masked"))
    done = evaluate(benchmark, [given], [profile], tmp_path / "out")
    table = done.results.editors[0].profiles["smartedit_tm19"]
    for metric, name, tolerance in (("psnr_masked", "psnr", 1e-4), ("ssim_masked", "ssim", 2e-4)):
        for scenario, expected in told.items():
            total = scenario == "understanding_total"
            found = table.groups["understanding"] if total else table.categories[scenario]
            assert found[metric].mean == pytest.approx(expected["mean"][name], abs=tolerance), scenario


def test_two_rows_of_one_name_are_refused(bench, tmp_path):
    with pytest.raises(ConfigError, match="label="):
        evaluate(bench(2), [IDENTITY, EditorContender("identity", "identity")], [PLAIN], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_ends_the_run_and_keeps_what_is_there(bench, tmp_path, monkeypatch):
    real = scoring.Kept._append

    def full(self, data):
        if len(self) == 3:
            raise OSError(28, "No space left on device")
        real(self, data)

    monkeypatch.setattr(scoring.Kept, "_append", full)
    with pytest.raises(OutputError, match="No space left"):
        evaluate(bench(), [IDENTITY], [PLAIN], tmp_path / "out")
    monkeypatch.setattr(scoring.Kept, "_append", real)
    assert len((tmp_path / "out" / "own" / "scores.jsonl").read_text().splitlines()) == 3
    assert evaluate(bench(), [IDENTITY], [PLAIN], tmp_path / "out").complete


def test_an_editor_that_fails_on_one_sample_costs_that_one(bench, tmp_path):
    class Fails(Darker):
        def outcome(self, sample, seed):
            if sample.id == "s1":
                raise BackendError("out of memory", "it is full", "Use less")
            return super().outcome(sample, seed)

    done = evaluate(bench(3), [Fails()], [PLAIN], tmp_path / "out")
    assert [row.status for row in done.rows] == ["ok", "failed", "ok"] and "full" in done.rows[1].why


def test_metrics_of_the_profiles_here_are_of_pixels():
    """So that these tests need no weights."""
    names = {*STRICT.metrics, *PLAIN.metrics, *MASKED.metrics}
    assert all(isinstance(METRICS[name], PixelMetric) for name in names)
