"""Comparing: the difference and its interval where two results may be compared, and a refusal that says why not."""

from __future__ import annotations

import pytest

from insightedit.core.errors import InputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.compare import compare, differences
from insightedit.evaluate.contenders import EditorContender, ReferenceContender
from insightedit.evaluate.results import JudgeUsed, read
from insightedit.evaluate.run import evaluate
from insightedit.metrics.profile import Profile

PLAIN = Profile("plain", 1, "this test", ("l1",))
IDENTITY = EditorContender("identity", "identity")


@pytest.fixture
def runs(own, tmp_path, art):
    """Two results: of the identity, and of the targets."""
    for number in range(5):
        art.put(tmp_path / "own" / f"t{number}.png", 50 + number)
    benchmark = open_benchmark(str(own(*({"target": f"t{number}.png"} for number in range(5)))))
    evaluate(benchmark, [IDENTITY], [PLAIN], tmp_path / "a")
    evaluate(benchmark, [ReferenceContender()], [PLAIN], tmp_path / "b")
    return tmp_path / "a" / "own", tmp_path / "b" / "own"


def test_a_difference_is_that_of_the_means(runs):
    (one,) = compare(*runs)
    means = [read(folder).editors[0].profiles["plain"].overall["l1"].mean for folder in runs]
    assert (one.first, one.second, one.n) == ("identity", "reference", 5)
    assert one.difference == pytest.approx(means[0] - means[1]) and one.low <= one.difference <= one.high
    (back,) = compare(runs[1] / "results.json", runs[0] / "results.json")
    assert back.difference == pytest.approx(-one.difference)


def test_equal_labels_are_paired(runs):
    (one,) = compare(runs[0], runs[0])
    assert (one.first, one.second, one.difference) == ("identity", "identity", 0)
    with pytest.raises(InputError, match="Did you mean 'identity'"):
        compare(*runs, ones=["identiti"])


@pytest.mark.parametrize(
    ("part", "change", "word"),
    [
        ("profile", {"version": 2}, "version of profile 'plain': 1 against 2"),
        ("profile", {"name": "other"}, "profiles: plain against other"),
        ("profile", {"engines": {"clip_large": "x@1"}}, "weights of clip_large: none against x@1"),
        ("profile", {"judge": JudgeUsed(model="gpt-4o")}, "judge of 'plain'"),
        ("benchmark", {"version": 9}, "benchmark version: 1 against 9"),
        ("benchmark", {"fingerprint": "0"}, "benchmark fingerprint"),
        ("benchmark", {"name": "else", "fingerprint": "0"}, "benchmark name: own against else"),
    ],
)
def test_what_differs_is_named(runs, part, change, word):
    left, right = map(read, runs)
    if part == "profile":
        right = right.model_copy(update={"profiles": [right.profiles[0].model_copy(update=change)]})
    else:
        right = right.model_copy(update={"benchmark": right.benchmark.model_copy(update=change)})
    assert any(word in said for said in differences(left, right))
    (runs[1] / "results.json").write_text(right.model_dump_json())
    with pytest.raises(InputError, match="cannot be compared"):
        compare(*runs)


def test_two_judges_are_never_compared(runs):
    left, right = map(read, runs)
    one = JudgeUsed(model="gpt-4o", answered_by=["gpt-4o-2024-05-13"], date=("2026-01-01", "2026-01-01"))
    later = one.model_copy(update={"date": ("2026-02-01", "2026-02-01")})
    other = one.model_copy(update={"answered_by": ["gpt-4o-2024-11-20"]})

    def judged(results, judge):
        return results.model_copy(update={"profiles": [results.profiles[0].model_copy(update={"judge": judge})]})

    assert not list(differences(judged(left, one), judged(right, later)))
    (said,) = differences(judged(left, one), judged(right, other))
    assert "answered by" in said and "2024-11-20" in said


def test_damaged_files_are_named(runs):
    (runs[0] / "samples.jsonl").write_text("{")
    with pytest.raises(InputError, match=r"samples\.jsonl is damaged"):
        compare(*runs)
    (runs[0] / "results.json").write_text('{"format": 2}')
    with pytest.raises(InputError, match="holds no results"):
        compare(*runs)
