"""`insightedit build`: photographs in, editing dataset out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Turn photographs into an instruction-editing dataset.

    Leaves OUT/dataset (parquet shards for `datasets.load_dataset`), OUT/index.html (the page) and OUT/config.yaml.
    """
    from insightedit.app.cli.terminal import bars, say
    from insightedit.construct.build import build as run_build

    said = [("source.licence", licence), ("source.author", author)]
    extra = [f"{key}={_quoted(value)}" for key, value in said if value]
    extra += ["source.allow_unlicensed=true"] if allow_unlicensed else []
    recipe = _recipe(preset, [*(settings or []), *extra])
    with bars() as progress:
        built = run_build(photos, out, recipe, annotations, cores() if workers is None else workers, progress)
    say(_report(built), json_output, lambda: _table(built))


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


def _report(built: Built) -> dict[str, object]:
    return {
        "dataset": str(built.out / "dataset"),
        "page": str(built.out / "index.html"),
        "rows": built.published.rows,
        "content_hash": built.published.content_hash,
        "funnel": [line.model_dump() for line in built.funnel],
        "cpu_s": {step: round(seconds, 2) for step, seconds in built.cpu_s.items()},
    }


def _table(built: Built) -> object:
    from rich.table import Table

    table = Table(title=f"{built.published.rows} edits in {built.out / 'dataset'}", title_justify="left", box=None)
    for column in ("step", "of", "in", "kept", "left out"):
        table.add_column(column, justify="left" if column in ("step", "of", "left out") else "right")
    for line in built.funnel:
        reasons = ", ".join(f"{count} {reason}" for reason, count in list(line.reasons.items())[:4])
        table.add_row(line.step, line.what, str(line.came_in), str(line.kept), reasons)
    table.caption = f"Look at {built.out / 'index.html'}"
    table.caption_justify = "left"
    return table
