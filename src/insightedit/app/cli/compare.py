"""`insightedit compare`: is one editor better than another, on the same samples and by the same rules?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # pydantic and numpy take longer to import than --help may take
    from insightedit.evaluate.results import PairedResult


def compare(
    first: Annotated[Path, typer.Argument(help="results.json of `evaluate`, or its folder.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    editor: Annotated[list[str] | None, typer.Option("--editor", help="A row of the first. Repeatable.")] = None,
    against: Annotated[list[str] | None, typer.Option("--against", help="A row of the second. Repeatable.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Differences of two results with a paired bootstrap over their samples.

    Refuses, naming what differs, unless both are of the same samples and of the same profiles, weights and judges.
    """
    from insightedit.app.cli.terminal import say
    from insightedit.evaluate.compare import compare as compared

    found = compared(first, second, editor or (), against or ())
    report = {"first": str(first), "second": str(second), "paired": [one.model_dump(mode="json") for one in found]}
    say(report, json_output, lambda: _tables(found))


def _tables(found: Sequence[PairedResult]) -> Any:
    """One table per profile."""
    from rich.console import Group

    profiles = dict.fromkeys(one.profile for one in found)
    return Group(*(_table(name, [one for one in found if one.profile == name]) for name in profiles))


def _table(profile: str, found: Sequence[PairedResult]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{profile}: first - second, paired bootstrap, 95 % interval"))
    table.add_column("editors", overflow="fold")
    table.add_column("metric", no_wrap=True)
    for heading in ("difference", "interval", "p", "samples"):
        table.add_column(heading, justify="right")
    for one in found:
        who = escape(one.first if one.first == one.second else f"{one.first} - {one.second}")
        if one.difference is None:
            table.add_row(who, one.metric, "-", "-", "-", "0")
            continue
        interval = f"{one.low:+.3g} .. {one.high:+.3g}"
        table.add_row(who, one.metric, f"{one.difference:+.3g}", interval, f"{one.p:.4f}", str(one.n))
    return table
