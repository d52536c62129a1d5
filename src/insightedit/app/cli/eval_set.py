"""`insightedit eval-set`: an evaluation set from a built dataset, and what training must leave out for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # pyarrow takes longer to import than --help may take
    from insightedit.evaluate.draw import Drawn


def eval_set(
    dataset: Annotated[Path, typer.Argument(help="Folder of a dataset, or of a run with dataset/ in it.")],
    out: Annotated[Path, typer.Argument(help="Folder for the set; an older one of ours is replaced when it is done.")],
    count: Annotated[int, typer.Option("--count", "-n", min=3, help="Samples, evenly of the three kinds.")] = 300,
    seed: Annotated[int, typer.Option(help="Another seed, another set.")] = 0,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Draw from this split only. Repeatable. Default: test, validation, then the others."),
    ] = None,
    name: Annotated[str, typer.Option(help="What the benchmark is called in reports.")] = "eval-set",
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw a balanced evaluation set of removals, additions and replacements.

    Leaves OUT/samples.jsonl, OUT/images, OUT/benchmark.yaml and OUT/exclude.json: every row of the dataset that shares
    a photograph with the set. Evaluate with `--benchmark OUT`; see docs/benchmarks.md.
    """
    from insightedit.app.cli.terminal import say
    from insightedit.evaluate.draw import EXCLUDE, draw

    drawn = draw(dataset, out, count, seed, split or (), name)
    report = {
        "out": str(out),
        "exclude": str(out / EXCLUDE),
        "samples": drawn.samples,
        "categories": drawn.categories,
        "photographs": drawn.photographs,
        "drawn_from": drawn.splits,
        "excluded": drawn.excluded,
        "left": drawn.left,
    }
    say(report, json_output, lambda: _told(drawn))


def _told(drawn: Drawn) -> object:
    from rich.text import Text

    kinds = ", ".join(f"{count} {kind}" for kind, count in drawn.categories.items())
    lines = [f"{drawn.samples} samples ({kinds}) of {drawn.photographs} photographs in {drawn.out}"]
    rows = {split: count for split, count in drawn.excluded.items() if split not in ("test", "validation")}
    if rows:
        out = ", ".join(f"{count} rows of {split}" for split, count in rows.items())
        lines.append(f"Leave out of training: {out}, named in {drawn.out / 'exclude.json'}")
    if not sum(drawn.left.values()):
        lines.append("Every row shares a photograph with the set: nothing is left to train on")
    return Text("\n".join(lines))
