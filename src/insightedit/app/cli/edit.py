"""`insightedit edit`: pictures and instructions in, edited pictures of the same size out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from insightedit.core.image import Colour
    from insightedit.editors.batch import Outcome
    from insightedit.editors.editor import Editor
    from insightedit.editors.jobs import Job

WHO = "Who edits; see docs/editing.md. Default: insightedit if a model is named, else scenes, the small one at hand."


def edit(
    image: Annotated[Path, typer.Argument(help="A picture; a folder of them; or a .csv or .jsonl of edits.")],
    instruction: Annotated[str | None, typer.Argument(help="What to change. A table has its own.")] = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="File (.png .jpg .webp) or folder for the results.")],
    editor: Annotated[str | None, typer.Option("--editor", "-e", help=WHO)] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Folder or hub id of weights; default: the editor's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="One seed gives one picture.")] = 0,
    steps: Annotated[int | None, typer.Option("--steps", help="Denoising steps.")] = None,
    text_guidance: Annotated[float | None, typer.Option("--text-guidance", help="Weight of the words.")] = None,
    image_guidance: Annotated[float | None, typer.Option("--image-guidance", help="Weight of the source.")] = None,
    resolution: Annotated[int | None, typer.Option("--resolution", help="Working size in px.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="auto, float32, float16 or bfloat16.")] = None,
    background: Annotated[
        str | None, typer.Option("--background", help="Colour behind transparent pictures: white, #aabbcc.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the editor's settings. Repeatable.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Edit a picture, a folder of pictures, or a table of edits, as instructions say.

    A folder or table is a batch: OUT/edits.jsonl tells what was done, and the same command continues where it stopped.
    """
    from insightedit.core.config import parse
    from insightedit.editors.jobs import TABLES
    from insightedit.editors.table import make

    named = {
        "model": model,
        "steps": steps,
        "text_guidance_scale": text_guidance,
        "image_guidance_scale": image_guidance,
        "resolution": resolution,
        "device": device,
        "dtype": dtype,
    }
    values = {name: value for name, value in named.items() if value is not None}
    who = make(editor or ("insightedit" if model else "scenes"), **values | parse(settings or ()))
    behind = None if background is None else colour(background)
    with _warnings():
        if image.is_dir() or image.suffix.lower() in TABLES:
            _many(who, _jobs(image, instruction, seed, out), out, behind, json_output)
        else:
            _one(who, image, instruction or "", seed, out, behind, json_output)


def colour(name: str) -> Colour:
    """A CSS name or #rrggbb -> RGB, 0..255.

    Raises:
        ConfigError: neither; near names are suggested.
    """
    import difflib

    from PIL import ImageColor

    from insightedit.core.errors import ConfigError

    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        near = difflib.get_close_matches(name.lower(), ImageColor.colormap, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"no colour '{name}'", "--background takes one", f"{hint}Use white or #rrggbb") from error
    return red, green, blue


def _one(
    editor: Editor, image: Path, instruction: str, seed: int, out: Path, background: Colour | None, as_json: bool
) -> None:
    """One picture: everything that can be wrong with the arguments is refused before weights load."""
    from insightedit.app.cli.terminal import say
    from insightedit.core.errors import InputError
    from insightedit.core.image import read
    from insightedit.editors.batch import LIMITS, save
    from insightedit.editors.editor import check_instruction, check_seed
    from insightedit.editors.jobs import check_suffix

    check_instruction(instruction)
    check_seed(seed)
    path = out / f"{image.stem}.png" if out.is_dir() or not out.suffix else out
    check_suffix(path.name)
    pixels = read(image, LIMITS, background)
    if path.exists() and path.samefile(image):
        raise InputError(f"{path} would replace its source", "the original would be lost", "Choose another --out")
    started = time.perf_counter()
    editor.setup()
    with _bar("edit", "steps", editor.steps) as at:
        editor.on_step = at
        edited = editor.edit(pixels, instruction, seed)
    save(edited, path)
    seconds = round(time.perf_counter() - started, 2)
    report = {"output": str(path), "editor": editor.name, "seed": seed, "seconds": seconds}
    say(report, as_json, lambda: _plain(f"{path} ({editor.name}, seed {seed}, {seconds} s)"))


def _jobs(image: Path, instruction: str | None, seed: int, out: Path) -> list[Job]:
    from insightedit.core.errors import InputError
    from insightedit.editors.editor import check_seed
    from insightedit.editors.jobs import from_folder, from_table

    check_seed(seed)
    if out.is_file() or out.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
        raise InputError(f"{out} is no folder", "a batch writes many files", "Give --out a folder")
    if image.is_dir():
        return from_folder(image, instruction or "", seed, out)
    if instruction is not None:
        raise InputError(f"{image} has its own instructions", "another one was given", "Leave one of them out")
    return from_table(image, seed, out)


def _many(editor: Editor, jobs: list[Job], out: Path, background: Colour | None, as_json: bool) -> None:
    from insightedit.app.cli.terminal import say
    from insightedit.editors.batch import LEDGER, run

    with _bar("edit", "pictures", len(jobs)) as at:
        done = iter(range(1, len(jobs) + 1))
        outcome = run(editor, jobs, out, background, lambda: at(next(done), len(jobs)))
    report = {
        "out": str(out),
        "ledger": str(out / LEDGER),
        "editor": editor.name,
        "edits": len(outcome.lines),
        "kept": outcome.kept,
        "failed": [{"image": line.image, "output": line.output, "reason": line.reason} for line in outcome.failed],
    }
    say(report, as_json, lambda: _plain(_told(outcome, out)))
    if outcome.failed:
        raise typer.Exit(1)


def _told(outcome: Outcome, out: Path) -> str:
    """The outcome for people: counts, then each failure with its reason."""
    edited = len(outcome.lines) - outcome.kept - len(outcome.failed)
    kept = f", {outcome.kept} there already" if outcome.kept else ""
    head = f"{edited} edited{kept}, {len(outcome.failed)} failed: {out}"
    return "\n".join([head, *(f"  {line.image}: {line.reason}" for line in outcome.failed)])


@contextmanager
def _warnings() -> Iterator[None]:
    """What this package warns of, as lines on stderr."""
    import logging

    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    ours = logging.getLogger("insightedit")
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)


@contextmanager
def _bar(what: str, unit: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar with ETA on stderr, told (done, of how many); nothing is drawn when stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from insightedit.app.cli.terminal import columns

    console = Console(stderr=True)
    with Progress(*columns(what, unit), console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _plain(text: str) -> Any:
    """Text with file names of strangers: no markup, no control characters that a terminal would obey."""
    from rich.text import Text

    return Text("".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text))
