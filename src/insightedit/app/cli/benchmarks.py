"""`insightedit benchmarks`: what can be evaluated on, and what it needs."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def benchmarks(
    json_output: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the benchmarks: version, number of samples, default profile, and where their files come from."""
    from insightedit.app.cli.terminal import say

    listed = [_described(name) for name in _names()]
    say({"benchmarks": listed}, json_output, lambda: _table(listed))


def _names() -> list[str]:
    from insightedit.evaluate.benchmark import names

    return names()


def _described(name: str) -> dict[str, Any]:
    from insightedit.core.lookup import pick
    from insightedit.evaluate.benchmark import READERS, describe

    about = describe(name)
    needs = "path" in pick(READERS, about.reader, "reader of benchmarks").model_fields
    return {
        "name": about.name,
        "version": about.version,
        "title": about.title,
        "samples": list(about.expected) or [about.knobs[key] for key in ("count",) if key in about.knobs],
        "profiles": list(about.profiles),
        "needs": (about.homepage or "the publisher's files") if needs else "",
        "licence": about.licence,
    }


def _table(listed: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("benchmark", "version", "samples", "default profile", "files")
    for one in listed:
        samples = " or ".join(map(str, one["samples"])) or "any"
        table.add_row(one["name"], str(one["version"]), samples, one["profiles"][0], one["needs"] or "none needed")
    return table
