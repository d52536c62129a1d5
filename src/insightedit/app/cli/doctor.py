"""`insightedit doctor`: what is here, what is missing, and what a preset still needs to run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

BAD = ("lacks", "missing", "partial", "fails", "broken")  # states in red


def doctor(
    presets: Annotated[
        list[str] | None,
        typer.Argument(help="Build presets or YAML files of them, editors, demo. None: all are shown, demo decides."),
    ] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask endpoints of presets that are not named, too.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say what is installed, which weights are here, whether endpoints answer, and what presets still need.

    Downloads nothing. Exit code 0 when the presets asked for can run, 1 when not.
    """
    import logging

    from insightedit.app.cli.terminal import say
    from insightedit.app.doctor import examine

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a damaged cache is told of as what is missing
    report = examine(presets or (), ask)
    say(report, json_output, lambda: _drawn(report))
    if not report["ready"]:
        raise typer.Exit(1)


def _drawn(report: dict[str, Any]) -> object:
    import sys

    from rich.console import Group
    from rich.text import Text

    sections = {
        "Installed": _installed(report),
        "Weights": _weights(report),
        "Chat": _chat(report),
        "Presets": _presets(report),
    }
    if sys.stdout.isatty():
        return Group(*(_table(title, list(rows)) for title, rows in sections.items()))
    return Text("\n".join(line for title, rows in sections.items() for line in _lines(title.lower(), list(rows))))


def _lines(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Plain lines in columns, each beginning with its section, so that `grep` finds all of a line."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        yield f"{title:9}  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()


def _table(title: str, rows: list[tuple[str, ...]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(cell, "red" if cell in BAD else "") for cell in row))
    return table


def _installed(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    from insightedit.app.doctor import gigabytes

    yield "insightedit", report["insightedit"], f"Python {report['python']}"
    base = {"name": "base", "missing": [one["name"] for one in report["packages"] if not one["fits"]],
            "install": "pip install insightedit", "packages": report["packages"]}  # fmt: skip
    for extra in (base, *report["extras"]):
        if extra["missing"]:
            yield extra["name"], "missing", f"{', '.join(extra['missing'])}: {extra['install']}"
        else:
            versions = ", ".join(f"{one['name']} {one['version']}" for one in extra["packages"])
            yield extra["name"], "here", versions
    state, _, why = report["torchvision"].partition(": ")
    yield "torchvision", state, why or ("which is fine" if state == "absent" else "")
    for device in report["devices"]:
        yield device["name"], gigabytes(device["memory_bytes"]), device["what"]
    if report["torch"] != "ok":
        yield "torch", "broken" if "cannot" in report["torch"] else "missing", report["torch"]
    yield "disk", f"{gigabytes(report['disk']['free_bytes'])} free", report["disk"]["folder"]


def _weights(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    from insightedit.app.doctor import gigabytes

    for one in report["weights"]:
        size = ("about " if one["size_from"] == "memory" else "") + gigabytes(one["size_bytes"])
        gated = " (gated)" if one["gated"] else ""
        yield (
            one["name"],
            one["state"],
            size if one["size_bytes"] else "",
            one["licence"] + gated,
            ", ".join(one["used_by"]),
        )


def _chat(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, there in report["environment"].items():
        yield name, "set" if there else "not set", ""
    for one in report["chat"]:
        state = {None: "not asked", True: "answers", False: "fails"}[one["answers"]]
        yield one["address"] or "default address", state, one["model"], "" if state == one["detail"] else one["detail"]


def _presets(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in report["presets"]:
        if one["ready"]:
            yield one["name"], "ready", ""
        for lack in one["lacks"]:
            yield one["name"], "lacks", f"{lack['what']}. {lack['mend']}"
