"""`insightedit imagine`: captions in, editing dataset out; both pictures of a pair are sampled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # rich and pyarrow take longer to import than --help may take
    from insightedit.construct.imagine.recipe import ImagineRecipe


def imagine(
    captions: Annotated[Path, typer.Argument(help="Captions, one a line (.txt), or captions and triples (.jsonl).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset; an unfinished one is continued.")],
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="Preset of configs/imagine, or a YAML file.")
    ] = "instruct_pix2pix",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the preset, e.g. sample.sampler.samples=20. Repeatable."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", min=0, help="Processes; default: one per core. 0: no child process."),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option("--budget-usd", min=0, help="What this run may pay language models; it stops before more."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, mps.")] = "auto",
    licence: Annotated[str, typer.Option("--licence", help="Licence of the pictures: the model's terms.")] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Turn captions into an instruction-editing dataset, as InstructPix2Pix was trained on.

    A language model invents an edit of each caption; Prompt-to-Prompt samples pairs of pictures; CLIP keeps the best.
    Leaves what `build` leaves: OUT/dataset, OUT/index.html and OUT/config.yaml. See docs/imagined.md.
    """
    from insightedit.app.cli.build import cores, report, table
    from insightedit.app.cli.terminal import bars, say
    from insightedit.backends.chat.cost import Ledger
    from insightedit.construct.imagine.run import imagine as run

    recipe = _recipe(preset, settings or [], device, licence)
    count, ledger = cores() if workers is None else workers, Ledger()
    try:
        with bars("") as progress:
            made = run(captions, out, recipe, count, progress, budget_usd, ledger)
    finally:  # what was paid for is told however the run ends
        for line in ledger.lines():
            typer.echo(line, err=True)
    say(report(made, ledger), json_output, lambda: table(made))


def _recipe(preset: str, settings: list[str], device: str, licence: str) -> ImagineRecipe:
    import json

    from insightedit.construct.imagine.recipe import ImagineRecipe
    from insightedit.core.config import load, preset_path

    extra = [f"sample.place.device={json.dumps(device)}"] if device != "auto" else []
    extra += [f"source.licence={json.dumps(licence)}"] if licence else []  # JSON strings are YAML strings
    return load(ImagineRecipe, preset_path("imagine", preset), [*settings, *extra])
