"""`insightedit train-small`: the small model from nothing, as it comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_small(
    out: Annotated[Path, typer.Argument(help="Folder of the recipe; what it holds already is not done again.")],
    smoke: Annotated[bool, typer.Option("--smoke", help="A few updates of everything: does it run at all?")] = False,
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=1, help="Of one thread each; 1 where there is a GPU.")
    ] = 2,
    step: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Train the small model of rendered scenes: renderer, small CLIP, comprehension, three stages.

    Stopped at any time, it continues. Leaves OUT/scenes, for `insightedit edit --editor scenes --model OUT/scenes`. See
    docs/training.md.
    """
    from insightedit.app.cli.terminal import say
    from insightedit.app.small_model import FULL, SMOKE, pack, recipe, see

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    scale = SMOKE if smoke else FULL
    if step is not None:  # what the recipe asks its own processes for
        {"eye": see, "pack": pack}[step](out, scale, tell)
        return
    folder = recipe(out, scale, processes, tell)
    say({"model": str(folder)}, False, lambda: f"The trained model: {folder}")
