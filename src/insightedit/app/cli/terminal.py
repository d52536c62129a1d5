"""Talking to a terminal: progress bars for people, JSON for scripts, quiet when nobody looks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


def columns(what: str, unit: str, *more: ProgressColumn) -> tuple[ProgressColumn, ...]:
    """Of every bar: what is done, how far, in which unit, `more`, the time so far, and how long it will take."""
    done = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    return *done, *more, TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn()


class Bars:
    """One bar per step."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.tasks = progress, dict[str, TaskID]()

    def begin(self, step: str, total: int) -> None:
        """A bar of `total` photographs for `step`."""
        self.tasks[step] = self.progress.add_task(step, total=total)

    def advance(self, step: str, count: int) -> None:
        """`count` more are through."""
        self.progress.advance(self.tasks[step], count)


@contextmanager
def bars(unit: str = "photos") -> Iterator[Bars]:
    """Bars of so many `unit` with ETA on stderr; nothing is drawn when stderr is not a terminal."""
    console = Console(stderr=True)
    with Progress(
        *columns("{task.description:>9}", unit), console=console, disable=not console.is_terminal
    ) as progress:
        yield Bars(progress)


def say(report: dict[str, Any], as_json: bool, picture: Callable[[], object]) -> None:
    """The result: JSON on stdout for scripts, else what `picture` draws."""
    if as_json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        drawn = picture()
        Console().print(drawn, soft_wrap=isinstance(drawn, Text))  # a path that is broken into lines cannot be copied
