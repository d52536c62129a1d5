"""`insightedit evaluate`: editors over a benchmark, with numbers that say what they stand on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # numpy and pydantic take longer to import than --help may take
    from insightedit.evaluate.naming import Settings
    from insightedit.evaluate.results import Results
    from insightedit.evaluate.run import Evaluated, EvaluateKnobs, Stage
    from insightedit.evaluate.sample import Benchmark

WHO = "NAME, NAME,knob=value,label=ROW, folder=PATH (made elsewhere) or reference (the targets). Repeatable."
SET = "LABEL.knob=value of an editor, networks.* or judge.* of scoring, knob=value of the benchmark. Repeatable."
WHAT = "NAME, NAME=FOLDER, or a folder of your own; `insightedit benchmarks` lists them."
PROFILE = "Of metrics; NAME+FILTER reads replies by another filter. Default: the benchmark's. Repeatable."
REPLIES = "LABEL=FILE: a judge's replies made elsewhere. Repeatable."
PROCESSES = "Processes; default: one per core. 0: no child process."


def evaluate(
    editor: Annotated[list[str], typer.Option("--editor", "-e", help=WHO)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; the same command continues what is in it.")],
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", help=WHAT)] = "scenes",
    path: Annotated[Path | None, typer.Option("--path", help="Folder of the benchmark's files.")] = None,
    profile: Annotated[list[str] | None, typer.Option("--profile", "-p", help=PROFILE)] = None,
    limit: Annotated[float | None, typer.Option(help="So many samples, or a share below 1: to try things.")] = None,
    samples: Annotated[str | None, typer.Option(help="Ids with commas between them, or a file of ids.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="One seed gives the same outcomes.")] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help=SET)] = None,
    lpips_trunk: Annotated[Path | None, typer.Option(help="torchvision's weights for LPIPS, or their folder.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="Who judges; default: $INSIGHTEDIT_MODEL.")] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="What the judge may cost in this run.")] = None,
    replies: Annotated[list[str] | None, typer.Option(help=REPLIES)] = None,
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=0, help=PROCESSES)] = None,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Accept what is missing.")] = False,
    generate_only: Annotated[bool, typer.Option("--generate-only", help="Make outcomes, score nothing.")] = False,
    score_only: Annotated[bool, typer.Option("--score-only", help="Score what is there, make nothing.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make, score and compare edits of a benchmark, and write tables and a page.

    Leaves OUT/BENCHMARK/results.json, samples.jsonl, report.md, report.tex and index.html. Exit code 1 if a sample of
    any editor lacks an outcome or a score, unless --allow-partial. See docs/evaluation.md.
    """
    from insightedit.app.cli.build import cores
    from insightedit.app.cli.terminal import bars, say
    from insightedit.evaluate import naming
    from insightedit.evaluate.run import evaluate as run

    stage = _stage(generate_only, score_only)
    told = naming.settings(settings or (), [naming.label_of(one) for one in editor])
    who = naming.contenders(editor, told.editors)
    chosen = samples if samples is None else naming.ids(samples)
    what = _opened(benchmark, path, told.benchmark, allow_partial, limit, chosen)
    how = naming.profiles(profile or what.profiles[:1])
    given = naming.replies(replies or (), how)
    count = cores() if workers is None else workers
    knobs = _knobs(told, seed, count, limit, chosen, lpips_trunk, judge_model, budget_usd)
    with bars("samples") as progress:
        done = run(what, who, how, out, knobs, stage, given, progress)
    say(_report(done, stage), json_output, lambda: _told(done))
    if not done.complete and not allow_partial:
        typer.echo(_missing(done), err=True)
        raise typer.Exit(1)


def _stage(generate_only: bool, score_only: bool) -> Stage:
    from insightedit.core.errors import ConfigError

    if generate_only and score_only:
        raise ConfigError("nothing is left to do", "--generate-only and --score-only exclude each other", "Drop one")
    return "generate" if generate_only else "score" if score_only else "all"


def _opened(
    name: str,
    path: Path | None,
    settings: Sequence[str],
    partial: bool,
    limit: float | None,
    samples: Sequence[str] | None,
) -> Benchmark:
    from insightedit.core.errors import ConfigError
    from insightedit.evaluate.benchmark import open_benchmark

    plain, equals, folder = name.partition("=")
    if equals and not Path(name).exists():
        if path is not None:
            raise ConfigError("the benchmark has two places", f"{folder} and {path}", "Give one of them")
        name, path = plain, Path(folder)
    if limit is not None and samples is not None:
        raise ConfigError("--limit and --samples exclude each other", "both choose samples", "Drop one")
    found = open_benchmark(name, path, settings, partial)
    if limit is not None:
        return found.first(limit)
    return found if samples is None else found.named(samples)


def _knobs(
    told: Settings,
    seed: int,
    workers: int,
    limit: float | None,
    samples: Sequence[str] | None,
    lpips_trunk: Path | None,
    judge_model: str | None,
    budget_usd: float | None,
) -> EvaluateKnobs:
    from insightedit.core.config import validate
    from insightedit.evaluate.run import EvaluateKnobs

    values: dict[str, Any] = {"seed": seed, "workers": workers, "limit": limit, "named": samples, **told.sections}
    if lpips_trunk is not None:
        values.setdefault("networks", {}).setdefault("lpips", {})["trunk"] = lpips_trunk
    if judge_model is not None:
        values.setdefault("judge", {}).setdefault("chat", {})["model"] = judge_model
    if budget_usd is not None:
        values.setdefault("judge", {})["budget_usd"] = budget_usd
    return validate(EvaluateKnobs, values, "the settings of evaluate")


def _report(done: Evaluated, stage: Stage) -> dict[str, Any]:
    """For scripts: where things are, and the results without the comparison of every pair."""
    if done.results is None:
        made = {label: {"coverage": one.coverage, "folder": str(one.folder)} for label, one in done.made.items()}
        return {"out": str(done.folder), "stage": stage, "editors": made}
    files = {name: str(done.folder / name) for name in ("results.json", "samples.jsonl", "report.md", "index.html")}
    return {
        "out": str(done.folder),
        "files": files,
        "results": done.results.model_dump(mode="json", exclude={"paired"}),
    }


def _told(done: Evaluated) -> object:
    from rich.console import Group
    from rich.text import Text

    if done.results is None:
        lines = [
            f"{label}: {len(one.outcomes)} of {len(one.outcomes) + len(one.faults)} outcomes in {one.folder}"
            for label, one in done.made.items()
        ]
        return Text("\n".join(lines))
    return Group(*_tables(done.results), Text(f"Look at {done.folder / 'index.html'}"))


def _tables(results: Results) -> list[Any]:
    """One table per profile: a row per metric, and a column per editor with mean and standard error."""
    from rich.markup import escape
    from rich.table import Table

    from insightedit.metrics.catalogue import METRICS

    found = []
    about = f"{results.benchmark.name} v{results.benchmark.version}, {results.benchmark.samples} samples"
    for profile in results.profiles:
        judge = f", judged by {profile.judge.model}" if profile.judge else ""
        table = Table("", title=escape(f"{about}, {profile.name} v{profile.version}{judge}"))
        for editor in results.editors:
            table.add_column(escape(editor.label), justify="right", overflow="fold")
        table.add_row("samples with everything", *(f"{editor.coverage:.0%}" for editor in results.editors))
        if any(editor.truth for editor in results.editors):
            truths = [editor.truth and editor.truth.overall["success"] for editor in results.editors]
            table.add_row("success ↑", *(_cell(stat, 3) for stat in truths))
        for name in profile.metrics:
            stats = [editor.profiles[profile.name].overall[name] for editor in results.editors]
            table.add_row(_heading(METRICS[name]), *(_cell(stat, METRICS[name].digits) for stat in stats))
        found.append(table)
    return found


def _heading(metric: Any) -> str:
    return f"{metric.title} {'↑' if metric.higher_is_better else '↓'}"


def _cell(stat: Any, digits: int) -> str:
    """Mean, its standard error, and how many values are infinite."""
    if stat is None or (stat.mean is None and not stat.n_inf):
        return "-"
    mean = "inf" if stat.mean is None else f"{stat.mean:.{digits}f}"
    error = "" if stat.stderr is None else f" ± {stat.stderr:.{digits}f}"
    infinite = f", {stat.n_inf} inf" if stat.n_inf and stat.mean is not None else ""
    return f"{mean}{error}{infinite}"


def _missing(done: Evaluated) -> str:
    """What is missing, one line an editor."""
    lines = ["error: not every sample has all that was asked for; --allow-partial accepts it"]
    if done.results is None:
        some = {label: [fault.status for fault in one.faults.values()] for label, one in done.made.items()}
        counts = {label: {word: words.count(word) for word in sorted(set(words))} for label, words in some.items()}
    else:
        counts = {
            one.label: {word: n for word, n in one.statuses.items() if word != "ok"} for one in done.results.editors
        }
    for label, statuses in counts.items():
        if statuses:
            lines.append(f"  {label}: " + ", ".join(f"{count} {word}" for word, count in statuses.items()))
    where = done.folder / "samples.jsonl" if done.results else done.folder
    return "\n".join([*lines, f"  see {where}"])
