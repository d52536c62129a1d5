"""`insightedit scenes`: a dataset of rendered scenes with exact edits, as large as wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # rich and pyarrow take longer to import than --help may take
    from rich.text import Text

    from insightedit.construct.publish import Published
    from insightedit.construct.work import Work

SPLITS = {"train": 0.95, "validation": 0.05}


def scenes(
    out: Annotated[
        Path, typer.Argument(help="Folder for the dataset; an older one of ours is replaced when it is done.")
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Pairs; each is read in both directions.")],
    size: Annotated[int, typer.Option(min=32, max=256, help="Side of the pictures in px.")] = 64,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", min=0, help="Processes; default: one per core. 0: no child process."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Render scenes with exact edits and publish them as a dataset.

    Spheres, cubes, cylinders and cones: one is removed, added, replaced or recoloured, and nothing else changes.
    Leaves OUT/dataset (parquet shards for `datasets.load_dataset`) and OUT/index.html. See docs/scenes.md.
    """
    from insightedit.app.cli.build import cores
    from insightedit.app.cli.terminal import bars, say

    with bars("pairs") as progress:
        progress.begin("scenes", count)
        published = run(out, count, size, seed, cores() if workers is None else workers, progress.advance)
    report = {
        "dataset": str(published.dataset),
        "page": str(published.page),
        "rows": published.rows,
        "directed_pairs": published.directed_pairs,
        "splits": published.splits,
        "content_hash": published.content_hash,
    }
    say(report, json_output, lambda: _summary(published))


def run(out: Path, count: int, size: int, seed: int, workers: int, advance: Callable[[str, int], None]) -> Published:
    """Draw and publish `count` pairs; `advance("scenes", 1)` after each.

    Raises:
        OutputError: the disk is full, or `out` holds something else under the names of a dataset.
    """
    from insightedit.app.scene_dataset import ORIGIN, Scenes
    from insightedit.construct.publish import PublishKnobs, publish

    drawn = Scenes(count, size, seed, SPLITS, workers)

    def works() -> Iterator[Work]:
        for work in drawn.works():
            yield work
            advance("scenes", 1)

    title = "Rendered scenes with exact edits"
    knobs = PublishKnobs(name="insightedit-scenes", title=title, splits=SPLITS, rows_per_file=20_000)
    return publish(works(), drawn.rejects, drawn.funnel, knobs, out, str(size), seed, origin=ORIGIN)


def _summary(published: Published) -> Text:
    from rich.text import Text

    splits = ", ".join(f"{rows} {split}" for split, rows in published.splits.items())
    return Text(f"{published.rows} pairs ({splits}) in {published.dataset}\nLook at {published.page}")
