"""`insightedit build`: photographs in, editing dataset out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from insightedit.backends.chat.cost import Ledger
    from insightedit.construct.build import Built
    from insightedit.construct.recipe import Recipe


def build(
    photos: Annotated[Path, typer.Argument(help="Folder of photographs, webdataset .tar or .parquet.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset; an unfinished one is continued.")],
    annotations: Annotated[
        Path | None, typer.Option("--annotations", "-a", help="COCO JSON; default: annotations.json in the folder.")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", "-p", help="Preset of configs/build, or a YAML file.")] = "offline",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over the preset, e.g. judge.min_changed=8. Repeatable.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", min=0, help="Processes; default: one per core. 0: no child process."),
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="Licence of photographs that state none.")] = "",
    author: Annotated[str, typer.Option("--author", help="Author of photographs that state none.")] = "",
    allow_unlicensed: Annotated[
        bool, typer.Option("--allow-unlicensed", help="Keep photographs that state no licence.")
    ] = False,
    budget_usd: Annotated[
        float | None,
        typer.Option("--budget-usd", min=0, help="What this run may pay language models; it stops before more."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Turn photographs into an instruction-editing dataset. `insightedit doctor PRESET` says what a preset needs.

    Leaves OUT/dataset (parquet shards for `datasets.load_dataset`), OUT/index.html (the page) and OUT/config.yaml.
    """
    from insightedit.app.cli.terminal import bars, say
    from insightedit.backends.chat.cost import Ledger
    from insightedit.construct.build import build as run_build

    said = [("source.licence", licence), ("source.author", author)]
    extra = [f"{key}={_quoted(value)}" for key, value in said if value]
    extra += ["source.allow_unlicensed=true"] if allow_unlicensed else []
    recipe = _recipe(preset, [*(settings or []), *extra])
    count, ledger = cores() if workers is None else workers, Ledger()
    try:
        with bars() as progress:
            built = run_build(photos, out, recipe, annotations, count, progress, budget_usd, ledger)
    finally:  # what was paid for is told however the run ends
        for line in ledger.lines():
            typer.echo(line, err=True)
    say(report(built, ledger), json_output, lambda: table(built))


def _recipe(preset: str, settings: list[str]) -> Recipe:
    from insightedit.construct.recipe import Recipe
    from insightedit.core.config import load, preset_path

    return load(Recipe, preset_path("build", preset), settings)


def _quoted(value: str) -> str:
    import json

    return json.dumps(value)  # JSON strings are YAML strings: "2.0" stays text


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def report(built: Built, ledger: Ledger) -> dict[str, object]:
    """What came of a run, for scripts."""
    return {
        "dataset": str(built.out / "dataset"),
        "page": str(built.out / "index.html"),
        "rows": built.published.rows,
        "content_hash": built.published.content_hash,
        "funnel": [line.model_dump() for line in built.funnel],
        "cpu_s": {step: round(seconds, 2) for step, seconds in built.cpu_s.items()},
        "asked": ledger.as_dict(),  # by this run
        "spent": [one.model_dump() for one in built.spent],  # by all runs, on the answers that were used
    }


def table(built: Built) -> object:
    """The funnel of a run, for people."""
    from rich.table import Table

    drawn = Table(title=f"{built.published.rows} edits in {built.out / 'dataset'}", title_justify="left", box=None)
    for column in ("step", "of", "in", "kept", "left out"):
        drawn.add_column(column, justify="left" if column in ("step", "of", "left out") else "right")
    for line in built.funnel:
        reasons = ", ".join(f"{count} {reason}" for reason, count in list(line.reasons.items())[:4])
        drawn.add_row(line.step, line.what, str(line.came_in), str(line.kept), reasons)
    drawn.caption = f"Look at {built.out / 'index.html'}"
    drawn.caption_justify = "left"
    return drawn
