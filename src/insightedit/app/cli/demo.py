"""`insightedit demo`: the five steps on the photographs that ship with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset and the page.")] = Path("demo"),
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=0, help="Processes; default: one per core.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build a small dataset from the example photographs, without network, GPU or keys."""
    from insightedit.app.cli.build import build
    from insightedit.core.files import shipped

    build(shipped("examples/photos"), out, workers=workers, json_output=json_output)
