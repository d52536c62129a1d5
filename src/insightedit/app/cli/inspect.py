"""`insightedit inspect`: what a dataset holds, and whether it keeps its promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # rich and pyarrow take longer to import than --help may take
    from rich.console import RenderableType

    from insightedit.construct.inspection import Inspection, Progress
    from insightedit.construct.promises import Promise

BAR = 16  # characters of a full bar


def inspect(
    dataset: Annotated[Path, typer.Argument(help="Folder of a dataset, or of a run with dataset/ in it.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Count a dataset and check every promise: the acceptance test of any dataset, ours or yours.

    Prints counts, funnel and score quantiles. Exit code 0 only if every promise holds.
    """
    from rich.console import Console

    from insightedit.construct.inspection import inspect as run_inspection
    from insightedit.scenes.published import LANGUAGE, unverified

    with _progress() as progress:
        inspection = run_inspection(dataset, progress, {LANGUAGE: unverified})
    if json_output:
        typer.echo(inspection.to_json())
    else:
        Console().print(render(inspection))
    if not inspection.ok:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar of rows with ETA on stderr, drawn only for a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("inspect"), BarColumn(), MofNCompleteColumn(), TextColumn("rows, ETA"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("inspect", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def render(inspection: Inspection) -> RenderableType:
    """The inspection for people."""
    from rich.console import Group

    parts: list[Any] = [_head(inspection)]
    parts += [_funnel(inspection)] if inspection.funnel else []
    parts += [_yields(inspection)] if inspection.yields else []
    parts += [_scores(inspection)] if inspection.scores else []
    return Group(*parts, _promises(inspection), _verdict(inspection))


def _table(title: str, *columns: str, words: int = 1) -> Any:
    """A table without lines; its first `words` columns and "why" hold words, the others numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        left = number < words or column in ("", "why")
        table.add_column(column, justify="left" if left else "right", overflow="fold", header_style="dim")
    return table


def _plain(text: object) -> Any:
    """Text of a stranger's dataset: no markup, no control characters that a terminal would obey."""
    from rich.text import Text

    return Text("".join(letter if letter.isprintable() else " " for letter in str(text)))


def _head(inspection: Inspection) -> Any:
    table = _table("", "what", "how many", words=1)
    table.show_header = False
    both = f"{inspection.forward:,} forward, {inspection.reverse:,} reverse"
    wordings = f"{inspection.simple_instructions:,} simple, {inspection.advanced_instructions:,} advanced"
    lines = {
        "dataset": str(inspection.dataset),
        "edits": f"{inspection.rows:,} of {inspection.photos:,} photographs",
        "directed pairs": f"{inspection.directed_pairs:,} ({both})",
        "instructions": wordings,
        "splits": ", ".join(f"{name} {rows:,}" for name, rows in inspection.splits.items()) or "none has a row",
        "licences": ", ".join(f"{name} ({photos:,})" for name, photos in inspection.licences.items()) or "none",
    }
    table.columns[1].justify = "left"
    for name, value in lines.items():
        table.add_row(_plain(name), _plain(value))
    return table


def _funnel(inspection: Inspection) -> Any:
    table = _table("\nFunnel", "step", "of", "", "kept", "came in", "why", words=2)
    table.columns[2].no_wrap = True
    for line in inspection.funnel:
        share = line.kept / line.came_in if line.came_in else 0.0
        reasons = sorted(line.reasons.items(), key=lambda item: -item[1])
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
        bar = "█" * round(share * BAR) + "·" * (BAR - round(share * BAR))
        table.add_row(_plain(line.step), _plain(line.what), bar, f"{line.kept:,}", f"{line.came_in:,}", _plain(why))
    return table


def _yields(inspection: Inspection) -> Any:
    table = _table("\nYields", "task", "method", "painted", "kept", "share", "forward", "reverse", words=2)
    for line in inspection.yields:
        share = f"{line.share:.0%}" if line.share is not None else "-"
        painted = f"{line.painted:,}" if line.painted is not None else "-"
        numbers = (painted, f"{line.kept:,}", share, f"{line.forward:,}", f"{line.reverse:,}")
        table.add_row(_plain(line.task), _plain(line.method), *numbers)
    return table


def _scores(inspection: Inspection) -> Any:
    from insightedit.construct.tally import POINTS

    names = ["min" if point == 0 else "max" if point == 1 else f"{point:.0%}" for point in POINTS]
    table = _table("\nScores", "score", "rows", *names)
    for line in inspection.scores:
        table.add_row(line.score, f"{line.count:,}", *(f"{value:.3g}" for value in line.quantiles))
    return table


def _promises(inspection: Inspection) -> Any:
    table = _table("\nPromises", "", "promise", "checked", "what it says", words=2)
    table.columns[3].justify = "left"
    for promise in inspection.promises:
        table.add_row(_mark(promise), promise.name, f"{promise.checked:,}", _said(promise))
    return table


def _mark(promise: Promise) -> str:
    if not promise.holds:
        return "[bold red]✗[/]"
    return "[green]✓[/]" if promise.checked else "[dim]-[/]"


def _said(promise: Promise) -> Any:
    text = _plain(promise.says)
    if promise.note:
        text.append(f"\n{promise.note}", style="dim")
    for failure in promise.failures:
        text.append("\n").append(_plain(f"{failure.at}: {failure.why}").plain, style="red")
    more = promise.failed - len(promise.failures)
    return text.append(f"\nand {more:,} more", style="red") if more > 0 else text


def _verdict(inspection: Inspection) -> Any:
    from rich.text import Text

    broken = [promise.name for promise in inspection.promises if not promise.holds]
    if broken:
        return Text(f"\n{len(broken)} of {len(inspection.promises)} promises broken: {', '.join(broken)}", "bold red")
    empty = "" if inspection.rows else " The dataset has no rows."
    return Text(f"\nEvery promise holds.{empty}", "bold green")
