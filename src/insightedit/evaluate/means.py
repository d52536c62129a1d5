"""From scores of samples to what a table shows: rows, means with their errors, editors side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from insightedit.evaluate.generate import Generated
from insightedit.evaluate.results import TRUTH, TRUTHS, Cell, EditorResult, PairedResult, Row, Table, Truth
from insightedit.evaluate.sample import Benchmark, Group, Sample
from insightedit.evaluate.sample import status as what_is_wrong
from insightedit.evaluate.scoring import Cells
from insightedit.metrics.outcome import Outcome, Scores, Status
from insightedit.metrics.profile import Profile
from insightedit.metrics.summary import Stat, paired_bootstrap, summarise

FINE = (Status.OK, Status.NOT_APPLICABLE)


def row(sample: Sample, made: Generated, cells: Mapping[str, Cells], truth: Truth | None, folder: str) -> Row:
    """One sample as one editor did it.

    Args:
        sample: of the benchmark.
        made: what its editor made.
        cells: its scores, by profile.
        truth: of a rendered scene.
        folder: of the editor's outcomes, below the benchmark's.
    """
    outcome = made.outcomes.get(sample.id)
    status, why = _status(sample, made, cells)
    return Row(
        id=sample.id,
        category=sample.category,
        split=sample.split,
        instruction=sample.instruction,
        label=made.label,
        status=status,
        why=why,
        output=f"{folder}/{outcome.file}" if outcome else None,
        seconds=outcome.seconds if outcome else None,
        scores=dict(cells),
        truth=truth,
    )


def editor(
    made: Generated,
    rows: Sequence[Row],
    benchmark: Benchmark,
    profiles: Sequence[Profile],
    settings: Mapping[str, object],
) -> EditorResult:
    """One editor's means.

    Args:
        made: what it made.
        rows: its own, one per sample in the benchmark's order.
        benchmark: whose groups are averaged.
        profiles: under which it was scored.
        settings: for the record.
    """
    statuses = Counter(one.status for one in rows)
    seconds = [one.seconds for one in rows if one.seconds is not None]
    scenes = any(one.truth for one in rows)
    return EditorResult(
        label=made.label,
        fingerprint=made.fingerprint,
        settings=dict(settings),
        coverage=statuses[str(Status.OK)] / len(rows),
        statuses=dict(statuses.most_common()),
        seconds=sum(seconds) / len(seconds) if seconds else None,
        profiles={profile.name: table(profile, _scores(rows, profile.name), benchmark) for profile in profiles},
        truth=table(_truthful(), _scores(rows, TRUTH), benchmark) if scenes else None,
    )


def table(profile: Profile, scores: Sequence[Scores], benchmark: Benchmark) -> Table:
    """Means over all, over each group of the benchmark, and over each category.

    Args:
        profile: says how all are averaged.
        scores: of each sample, in the benchmark's order.
        benchmark: its groups say how they are averaged, each for itself.
    """
    categories = [sample.category for sample in benchmark.samples]
    whole = summarise(profile, scores, categories)
    groups = {}
    for group in benchmark.groups:
        inside = _inside(group, benchmark)
        rule = replace(profile, overall="pooled" if group.weight_by_size else "macro")
        some = summarise(rule, [scores[place] for place in inside], [categories[place] for place in inside])
        groups[group.name] = dict(some.overall)
    by_category: dict[str, dict[str, Stat]] = {name: dict(found) for name, found in whole.groups.items()}
    return Table(overall=dict(whole.overall), groups=groups, categories=by_category)


def paired(rows: Mapping[str, Sequence[Row]], benchmark: Benchmark, profiles: Sequence[Profile]) -> list[PairedResult]:
    """Every editor against every later one, by metric: over all samples, and over each part that has a name.

    Args:
        rows: by editor, each in the benchmark's order.
        benchmark: its groups are the parts.
        profiles: under which they were scored.
    """
    parts = [(None, list(range(len(benchmark.samples)))), *_parts(benchmark)]
    truthful = [_truthful()] if any(one.truth for some in rows.values() for one in some) else []
    found = []
    for profile in [*profiles, *truthful]:
        scores = {label: _scores(some, profile.name) for label, some in rows.items()}
        for first, second in combinations(rows, 2):
            for group, inside in parts:
                for metric in profile.metrics:
                    sides = [[scores[label][place][metric] for place in inside] for label in (first, second)]
                    found.append(difference(first, second, profile.name, metric, group, *sides))
    return found


def difference(
    first: str,
    second: str,
    profile: str,
    metric: str,
    group: str | None,
    ones: Sequence[Outcome],
    others: Sequence[Outcome],
) -> PairedResult:
    """One metric of two editors on the same samples."""
    found = paired_bootstrap(ones, others)
    return PairedResult(
        first=first,
        second=second,
        profile=profile,
        metric=metric,
        group=group,
        n=found.n,
        difference=found.difference,
        stderr=found.stderr,
        low=found.low,
        high=found.high,
        p=found.p,
    )


def outcomes(one: Row, profile: str) -> Scores:
    """A row's scores under a profile, or its truth as metrics: 1 where it holds, 0 where it does not."""
    if profile != TRUTH:
        return {metric: cell.outcome for metric, cell in one.scores[profile].items()}
    if one.truth is None:
        status = Status.WRONG_SIZE if one.output else Status.MISSING_OUTPUT
        return dict.fromkeys(TRUTHS, Outcome(None, status))
    return {name: Outcome(float(getattr(one.truth, name))) for name in TRUTHS}


def _scores(rows: Sequence[Row], profile: str) -> list[Scores]:
    return [outcomes(one, profile) for one in rows]


def _truthful() -> Profile:
    """The truth of scenes, as a profile for `summarise`: shares of samples."""
    return Profile(TRUTH, 1, "the renderer of scenes", TRUTHS)


def _parts(benchmark: Benchmark) -> Iterator[tuple[str, list[int]]]:
    """The groups that are not the whole."""
    for group in benchmark.groups:
        inside = _inside(group, benchmark)
        if len(inside) < len(benchmark.samples):
            yield group.name, inside


def _inside(group: Group, benchmark: Benchmark) -> list[int]:
    return [place for place, sample in enumerate(benchmark.samples) if group.takes(sample)]


def _status(sample: Sample, made: Generated, cells: Mapping[str, Cells]) -> tuple[str, str]:
    """The first thing that is wrong, and the best words for it."""
    if fault := made.faults.get(sample.id):
        return fault.status, fault.why
    every = ((name, cell) for some in cells.values() for name, cell in some.items())
    name, wrong = next(((name, cell) for name, cell in every if cell.status not in FINE), ("", Cell()))
    if wrong.status == Status.OK or wrong.why:
        return wrong.status, wrong.why
    known = what_is_wrong(sample)  # a broken picture of the benchmark says more than that it is missing
    return (known.status, known.why) if known else (wrong.status, f"'{name}' has no value")
