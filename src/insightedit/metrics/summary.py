"""Numbers of a set: means with their standard errors and coverage, and whether one editor is better than another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from insightedit.core.errors import InputError
from insightedit.metrics.outcome import Outcome, Scores, Status
from insightedit.metrics.profile import Profile

BLOCK = 1 << 20  # numbers drawn at a time by the bootstrap


@dataclass(frozen=True)
class Stat:
    """One metric over a set.

    Fields:
        n: samples that it applies to.
        scored: of these, with a value.
        n_inf: of these, infinite: counted, not averaged.
        mean: of finite values; None if there is none.
        stderr: standard error of that mean, s / sqrt(scored - n_inf); None for fewer than two.
        statuses: how many samples of each status, "ok" among them.
    """

    n: int
    scored: int
    n_inf: int
    mean: float | None
    stderr: float | None
    statuses: Mapping[str, int]

    @property
    def coverage(self) -> float:
        """Share of samples with a value, 0..1; 1 where the metric applies to none."""
        return self.scored / self.n if self.n else 1.0

    @property
    def plain(self) -> float | None:
        """The mean as scripts print it that average infinities too: infinite if one value is."""
        return math.inf if self.n_inf else self.mean


@dataclass(frozen=True)
class Summary:
    """A profile over a set: `overall` as the profile says (pooled or macro), and each group, by metric."""

    overall: Mapping[str, Stat]
    groups: Mapping[str, Mapping[str, Stat]]

    @property
    def complete(self) -> bool:
        """Whether every metric has a value on every sample that it applies to."""
        return all(stat.scored == stat.n for stat in self.overall.values())


def stat(outcomes: Sequence[Outcome], cap: float | None = None) -> Stat:
    """One metric over samples.

    Args:
        outcomes: one per sample.
        cap: what an infinite value counts as in the mean; None leaves it out. State it beside the number.
    """
    applies = [outcome for outcome in outcomes if outcome.status != Status.NOT_APPLICABLE]
    values = np.array([outcome.value for outcome in applies if outcome.value is not None], np.float64)
    infinite = np.isinf(values)
    finite = np.where(infinite, np.copysign(cap, values), values) if cap is not None else values[~infinite]
    mean = float(finite.mean()) if len(finite) else None
    stderr = float(finite.std(ddof=1) / math.sqrt(len(finite))) if len(finite) > 1 else None
    statuses = Counter(str(outcome.status) for outcome in outcomes)
    return Stat(len(applies), len(values), int(infinite.sum()), mean, stderr, statuses)


def summarise(
    profile: Profile, scores: Sequence[Scores], groups: Sequence[str] | None = None, cap: float | None = None
) -> Summary:
    """All metrics of a profile over a set.

    Args:
        profile: says whether the overall mean is one of samples or of groups.
        scores: of each sample.
        groups: of each sample (scenario, task); None = one group, "all".
        cap: as `stat`.

    Raises:
        InputError: another number of groups than of samples.
    """
    names = list(groups) if groups is not None else ["all"] * len(scores)
    if len(names) != len(scores):
        raise InputError("cannot summarise", f"{len(scores)} samples have {len(names)} groups", "Name one per sample")
    members: dict[str, list[Scores]] = {}
    for name, one in zip(names, scores, strict=True):
        members.setdefault(name, []).append(one)
    by_group = {
        name: {metric: stat([one[metric] for one in some], cap) for metric in profile.metrics}
        for name, some in members.items()
    }
    pooled = {metric: stat([one[metric] for one in scores], cap) for metric in profile.metrics}
    if profile.overall == "pooled":
        return Summary(pooled, by_group)
    macro = {
        metric: _macro(pooled[metric], [group[metric] for group in by_group.values()], profile.digits)
        for metric in profile.metrics
    }
    return Summary(macro, by_group)


def _macro(pooled: Stat, groups: Sequence[Stat], digits: int | None) -> Stat:
    """Unweighted mean of groups' means; none if a group to which the metric applies has none."""
    groups = [group for group in groups if group.n]
    means = [group.mean for group in groups if group.mean is not None]
    if not groups or len(means) < len(groups):
        return Stat(pooled.n, pooled.scored, pooled.n_inf, None, None, pooled.statuses)
    rounded = [round(mean, digits) if digits is not None else mean for mean in means]
    mean, errors = sum(rounded) / len(rounded), [group.stderr for group in groups if group.stderr is not None]
    stderr = math.hypot(*errors) / len(groups) if len(errors) == len(groups) else None
    return Stat(pooled.n, pooled.scored, pooled.n_inf, mean, stderr, pooled.statuses)


# --- two editors -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paired:
    """First minus second on the same samples.

    Fields:
        n: samples on which both have a finite value.
        left_out: others; n_inf of them because a value is infinite.
        difference: mean over the n; None if there is none.
        stderr: of the bootstrap's means.
        low, high: the percentile interval of `level`.
        p: two-sided, of no difference; at least 2 / (draws + 1).
    """

    n: int
    left_out: int
    n_inf: int
    difference: float | None
    stderr: float | None
    low: float | None
    high: float | None
    p: float | None
    level: float


def paired_bootstrap(
    first: Sequence[Outcome],
    second: Sequence[Outcome],
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """Whether one editor is better than another: the samples, not the values, are drawn (Efron 1979).

    Args:
        first, second: one metric of the same samples in the same order.
        draws: of the bootstrap.
        seed: of the draws.
        level: of the interval.

    Raises:
        InputError: two numbers of samples.
    """
    if len(first) != len(second):
        why = f"they have {len(first)} and {len(second)} samples"
        raise InputError("cannot pair two editors", why, "Score both on the same samples")
    pairs = [(a.value, b.value) for a, b in zip(first, second, strict=True)]
    whole = np.array([(a, b) for a, b in pairs if a is not None and b is not None], np.float64).reshape(-1, 2)
    finite = whole[np.isfinite(whole).all(axis=1)]
    n, left_out, n_inf = len(finite), len(pairs) - len(finite), len(whole) - len(finite)
    if not n:
        return Paired(0, left_out, n_inf, None, None, None, None, None, level)
    apart = finite[:, 0] - finite[:, 1]
    means = _resampled(apart, draws, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    least = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (least + 1) / (draws + 1))
    error = float(means.std(ddof=1)) if draws > 1 and n > 1 else None
    return Paired(n, left_out, n_inf, float(apart.mean()), error, float(low), float(high), p, level)


def _resampled(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Means of `draws` resamples of values (N,) with replacement, in blocks that fit into memory."""
    rng, step = np.random.default_rng(seed), max(1, BLOCK // len(values))
    blocks = [
        values[rng.integers(0, len(values), (min(step, draws - start), len(values)))].mean(axis=1)
        for start in range(0, draws, step)
    ]
    return np.concatenate(blocks)
