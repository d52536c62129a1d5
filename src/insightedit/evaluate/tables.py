"""The tables of a report, before anybody typesets them: rows are editors, columns metrics, blocks groups of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from insightedit.evaluate.beside import beside
from insightedit.evaluate.results import TRUTH, TRUTHS, EditorResult, ProfileUsed, Results
from insightedit.evaluate.results import Table as Means
from insightedit.metrics.catalogue import METRICS
from insightedit.metrics.summary import Stat

OVERALL = "overall"
BOUNDS = ("identity", "reference")  # what doing nothing and what the target reach: they compete with nobody
NEUTRAL = ("background_share",)  # tells of the samples, not of the editors
NONE = "\u2013"  # a dash, where there is no number
TRUTH_TITLES = {"success": "success", "done": "asked change made", "kept": "rest kept"}


@dataclass(frozen=True)
class Column:
    """A metric: `sign` is 1 where higher is better, -1 where lower is, 0 where neither."""

    profile: str
    metric: str
    title: str
    sign: int
    digits: int

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {1: "↑", -1: "↓", 0: ""}[self.sign]


@dataclass(frozen=True)
class Line:
    """One editor: a stat per column (None: the metric was not asked for), and whether it is the best there.

    `failed`: samples without a value of some metric that has values elsewhere in the table.
    """

    label: str
    bound: bool
    samples: int
    failed: int
    stats: tuple[Stat | None, ...]
    best: tuple[bool, ...]


@dataclass(frozen=True)
class Block:
    """The editors on a part of the samples."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Sheet:
    """All that a report says under one profile."""

    name: str
    version: int
    about: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    categories: Mapping[str, tuple[tuple[Stat | None, ...], ...]]  # category -> editor -> column
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Name and version, as they are to be cited."""
        return "truth of the scenes" if self.name == TRUTH else f"{self.name} v{self.version}"


def sheets(results: Results) -> list[Sheet]:
    """A sheet per profile, and for rendered scenes one of the truth, which comes first."""
    truth = ProfileUsed(
        name=TRUTH, version=1, metrics=list(TRUTHS), source="what the renderer knows; there is no model"
    )
    has_truth = any(editor.truth for editor in results.editors)
    return [_sheet(results, profile) for profile in ([truth] if has_truth else []) + results.profiles]


def is_bound(editor: EditorResult) -> bool:
    """Whether an editor is there to show a limit: the source unchanged, or the benchmark's target."""
    return editor.label in BOUNDS or editor.settings.get("editor") in BOUNDS


def column(profile: str, metric: str) -> Column:
    """The column of a metric."""
    if profile == TRUTH:
        return Column(profile, metric, TRUTH_TITLES[metric], 1, 3)
    known = METRICS[metric]
    sign = 0 if metric in NEUTRAL else 1 if known.higher_is_better else -1
    return Column(profile, metric, known.title, sign, known.digits)


def shown(stat: Stat, digits: int, plus_minus: str = " ± ", infinity: str = "∞") -> tuple[str, str, str]:
    """Value, its standard error, and marks: how many values are infinite, and † where some are missing."""
    value = f"{stat.mean:.{digits}f}" if stat.mean is not None else infinity if stat.n_inf else NONE
    error = f"{plus_minus}{stat.stderr:.{digits}f}" if stat.stderr is not None else ""
    marks = f" ({stat.n_inf} {infinity})" if stat.n_inf else ""
    return value, error, marks + (" †" if stat.scored < stat.n else "")


def general_notes(results: Results) -> list[str]:
    """How to read the numbers, and what to know of the benchmark before one quotes them."""
    used = results.benchmark
    bounds = [editor.label for editor in results.editors if is_bound(editor)]
    notes = ["Means ± standard errors; ↑ higher is better, ↓ lower is better; the best in bold."]
    if bounds:
        notes.append(f"{' and '.join(bounds)}: a limit to compare with, not a competitor; never in bold.")
    stats = list(_all_stats(results))
    if any(stat.n_inf for stat in stats):
        notes.append("∞: infinite values (of equal pictures) are counted, and left out of the mean.")
    if any(stat.scored < stat.n for stat in stats):
        notes.append("†: not every sample has a value, so the mean is of fewer samples, and never in bold.")
    for editor in results.editors:
        # networks that are not there are told of by metric
        wrong = {status: count for status, count in editor.statuses.items() if status not in ("ok", "unavailable")}
        if wrong:
            what = ", ".join(f"{status.replace('_', ' ')} {count}" for status, count in wrong.items())
            notes.append(f"{editor.label}: {sum(wrong.values())} of {used.samples} samples are not ok: {what}.")
    if results.limit is not None or results.named:
        notes.append("Only a part of the benchmark was run: these numbers are for trying things, not for quoting.")
    return notes + list(used.remarks)


# --- one profile -----------------------------------------------------------------------------------------------------


def _sheet(results: Results, profile: ProfileUsed) -> Sheet:
    columns = tuple(column(profile.name, metric) for metric in profile.metrics)
    means = [_means(editor, profile.name) for editor in results.editors]
    parts = {OVERALL: [one.overall if one else {} for one in means]}
    for name in _names(one.groups for one in means if one):
        parts[name] = [one.groups.get(name, {}) if one else {} for one in means]
    for name, some in parts.items():
        if name != OVERALL and some == parts[OVERALL]:  # the benchmark has its own name for the whole
            del parts[OVERALL]
            break
    blocks = tuple(_block(name, results.editors, some, columns) for name, some in _overall_last(parts))
    categories = {
        name: tuple(
            tuple(one.categories.get(name, {}).get(item.metric) if one else None for item in columns) for one in means
        )
        for name in _names(one.categories for one in means if one)
    }
    about = "; ".join(part for part in (profile.source, _judge(profile)) if part)
    notes = (*_gaps(columns, blocks), *beside(results, profile))
    return Sheet(profile.name, profile.version, about, columns, blocks, categories, notes)


def _block(
    name: str, editors: Sequence[EditorResult], found: Sequence[Mapping[str, Stat]], columns: Sequence[Column]
) -> Block:
    table = [[stats.get(item.metric) for item in columns] for stats in found]
    competes = [not is_bound(editor) for editor in editors]
    best = [_best(item, [row[place] for row in table], competes) for place, item in enumerate(columns)]
    measured = [any(stat and stat.scored for stat in stats) for stats in zip(*table, strict=True)]
    lines = []
    for place, (editor, row) in enumerate(zip(editors, table, strict=True)):
        known = [stat for stat, is_measured in zip(row, measured, strict=True) if stat and is_measured]
        samples = max((sum(stat.statuses.values()) for stat in row if stat), default=0)
        failed = max((stat.n - stat.scored for stat in known), default=0)
        marks = tuple(winners[place] for winners in best)
        lines.append(Line(editor.label, is_bound(editor), samples, failed, tuple(row), marks))
    return Block(name, tuple(lines))


def _best(item: Column, stats: Sequence[Stat | None], competes: Sequence[bool]) -> list[bool]:
    """Who is best, as far as the printed digits tell; nobody where all are equal, or only one competes."""
    values = [
        round(stat.plain if stat.mean is None else stat.mean, item.digits) * item.sign
        if stat and may and stat.scored == stat.n and stat.plain is not None
        else None
        for stat, may in zip(stats, competes, strict=True)
    ]
    rivals = [value for value in values if value is not None]
    if not item.sign or len(set(rivals)) < 2:
        return [False] * len(stats)
    return [value == max(rivals) for value in values]


def _gaps(columns: Sequence[Column], blocks: Sequence[Block]) -> Iterator[str]:
    """What no editor has a value of, and what does not apply to all samples."""
    lines = blocks[0].lines if len(blocks) == 1 else [line for block in blocks for line in block.lines]
    for place, item in enumerate(columns):
        stats = [stat for line in lines if (stat := line.stats[place])]
        statuses = {status for stat in stats for status in stat.statuses}
        if not any(stat.scored for stat in stats):
            why = ", ".join(sorted(status.replace("_", " ") for status in statuses)) or "not asked for"
            yield f"{item.title}: no values ({why})."
        elif "not_applicable" in statuses:
            most = max(stats, key=lambda stat: sum(stat.statuses.values()))
            yield f"{item.title} applies to {most.n} of {sum(most.statuses.values())} samples."


def _means(editor: EditorResult, profile: str) -> Means | None:
    return editor.truth if profile == TRUTH else editor.profiles.get(profile)


def _names(tables: Iterator[Mapping[str, object]] | Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table))


def _overall_last(parts: Mapping[str, Sequence[Mapping[str, Stat]]]) -> list[tuple[str, Sequence[Mapping[str, Stat]]]]:
    """As the papers have it: the parts, then the whole."""
    return sorted(parts.items(), key=lambda part: part[0] == OVERALL)


def _judge(profile: ProfileUsed) -> str:
    judge = profile.judge
    if judge is None:
        return ""
    answered = f" (answered by {', '.join(judge.answered_by)})" if judge.answered_by else ""
    days = [day for day in dict.fromkeys(judge.date) if day]
    return f"judge {judge.model}{answered}" + (f", {' to '.join(days)}" if days else "")


def _all_stats(results: Results) -> Iterator[Stat]:
    for editor in results.editors:
        for means in (*editor.profiles.values(), *([editor.truth] if editor.truth else [])):
            yield from means.overall.values()
