"""Means, their errors and coverage; and whether the paired bootstrap knows a difference from chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.metrics.outcome import Outcome, Status, valued
from insightedit.metrics.profile import Profile
from insightedit.metrics.summary import paired_bootstrap, stat, summarise

POOLED = Profile("pooled", 1, "", ("m",))
MACRO = Profile("macro", 1, "", ("m",), overall="macro")
GONE = Outcome(None, Status.MISSING_OUTPUT)


def outcomes(*values: float) -> list[Outcome]:
    return [valued(value) for value in values]


def scores(*values: float) -> list[dict[str, Outcome]]:
    return [{"m": outcome} for outcome in outcomes(*values)]


def test_infinities_are_counted_and_not_averaged():
    found = stat(outcomes(30, 34, math.inf, 32, math.inf))
    assert (found.n, found.scored, found.n_inf, found.mean) == (5, 5, 2, 32)
    assert found.stderr == pytest.approx(2 / math.sqrt(3)) and found.plain == math.inf and found.coverage == 1
    assert stat(outcomes(30, math.inf), cap=100).mean == 65 and stat(outcomes(30, math.inf), cap=100).n_inf == 1
    assert stat(outcomes(math.inf)).mean is None and stat(outcomes(math.inf)).scored == 1


def test_what_has_no_value_lowers_the_coverage_and_what_does_not_apply_does_not():
    found = stat([*outcomes(1, 3), GONE, Outcome(None, Status.NOT_APPLICABLE)])
    assert (found.n, found.scored, found.mean, found.coverage) == (3, 2, 2, pytest.approx(2 / 3))
    assert found.statuses == {"ok": 2, "missing_output": 1, "not_applicable": 1}
    assert stat(outcomes(7)).stderr is None and stat([GONE]).mean is None and stat([]).coverage == 1
    assert not summarise(POOLED, [{"m": GONE}]).complete and summarise(POOLED, scores(1)).complete


def test_no_number_is_a_failure():
    assert valued(math.nan) == Outcome(None, Status.FAILED, "the result is not a number")


def test_pooled_is_of_samples_and_macro_of_groups():
    some, groups = scores(1, 1, 1, 5), ["a", "a", "a", "b"]
    assert summarise(POOLED, some, groups).overall["m"].mean == 2
    assert summarise(MACRO, some, groups).overall["m"].mean == 3
    assert {name: group["m"].mean for name, group in summarise(MACRO, some, groups).groups.items()} == {"a": 1, "b": 5}


def test_macro_rounds_groups_where_the_publication_does():
    rounded = Profile("rounded", 1, "", ("m",), overall="macro", digits=2)
    some, groups = scores(1.004, 2.004, 1), ["a", "a", "b"]
    assert summarise(rounded, some, groups).overall["m"].mean == (1.5 + 1) / 2
    assert summarise(MACRO, some, groups).overall["m"].mean == pytest.approx(1.252)


def test_a_macro_mean_does_not_leave_a_group_out():
    some = [*scores(1, 2), {"m": GONE}]
    found = summarise(MACRO, some, ["a", "a", "b"]).overall["m"]
    assert found.mean is None and (found.n, found.scored) == (3, 2)
    with pytest.raises(InputError, match="3 samples have 2 groups"):
        summarise(MACRO, some, ["a", "b"])


def test_the_error_of_a_macro_mean_is_that_of_its_groups():
    rng = np.random.default_rng(0)
    values = [rng.normal(0, 1, 50), rng.normal(0, 3, 20)]
    some = [one for group in values for one in scores(*group)]
    found = summarise(MACRO, some, ["a"] * 50 + ["b"] * 20).overall["m"].stderr
    by_hand = math.sqrt(values[0].var(ddof=1) / 50 + values[1].var(ddof=1) / 20) / 2
    assert found == pytest.approx(by_hand)


def test_pairing_sees_a_small_steady_difference_that_the_means_hide():
    rng = np.random.default_rng(0)
    hard = rng.normal(25, 5, 200)  # samples differ far more than editors
    first, second = outcomes(*(hard + 0.3 + rng.normal(0, 0.5, 200))), outcomes(*hard)
    found = paired_bootstrap(first, second, draws=4000)
    assert found.low > 0 and found.p < 0.01 and found.difference == pytest.approx(0.3, abs=0.1)
    assert found.stderr == pytest.approx(0.5 / math.sqrt(200), rel=0.15)
    assert stat(first).stderr > 0.3  # unpaired, this difference is less than one standard error
    mirrored = paired_bootstrap(second, first, draws=4000)
    assert (mirrored.low, mirrored.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_equal_editors_differ_as_often_as_the_level_allows():
    rng = np.random.default_rng(1)
    alarms = 0
    for seed in range(200):
        noise = outcomes(*rng.normal(0, 1, 60))
        found = paired_bootstrap(noise, outcomes(*[0.0] * 60), draws=400, seed=seed)
        alarms += not found.low <= 0 <= found.high
    assert 2 <= alarms <= 22  # 10 expected
    same = paired_bootstrap(noise, noise)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_only_samples_that_both_have_are_compared():
    first = [*outcomes(1, 2, math.inf, 4), GONE]
    second = [*outcomes(0, 1, 3, 3), valued(9)]
    found = paired_bootstrap(first, second, draws=100)
    assert (found.n, found.left_out, found.n_inf, found.difference) == (3, 2, 1, 1)
    nothing = paired_bootstrap([GONE], [GONE])
    assert (nothing.n, nothing.difference, nothing.p) == (0, None, None)
    with pytest.raises(InputError, match="5 and 1 samples"):
        paired_bootstrap(first, [GONE])


def test_draws_are_those_of_the_seed_however_they_are_blocked(monkeypatch):
    first, second = outcomes(*range(40)), outcomes(*range(40, 0, -1))
    whole = paired_bootstrap(first, second, draws=500, seed=3)
    assert whole == paired_bootstrap(first, second, draws=500, seed=3)
    assert whole != paired_bootstrap(first, second, draws=500, seed=4)
    monkeypatch.setattr("insightedit.metrics.summary.BLOCK", 40 * 7)
    assert paired_bootstrap(first, second, draws=500, seed=3) == whole
