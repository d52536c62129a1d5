"""Trained pipelines sit one exam of rendered scenes: `python -m benchmarks.ablation [NAME=]FOLDER ... --out DIR`.

A FOLDER is a saved pipeline (`InsightEditPipeline`, or `benchmarks.text_only`'s), or one of two words: `copy` leaves
the source as it is, `exact` draws the right answer. Folders given with one NAME are trainings of one variant from
several seeds: the table has their mean and standard deviation. DIR gets table.md, results.json (every question and its
verdict) and a contact sheet for each folder. With --shuffle-image each pipeline sits the exam once more with the image
branch's condition f_img of another picture: if that makes it no worse, the branch is dead.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import chain, zip_longest
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from insightedit.app.cli.build import cores
from insightedit.core.errors import InputError, InsightEditError
from insightedit.core.files import read_json
from insightedit.core.lookup import pick
from insightedit.core.seed import derive
from insightedit.scenes.exam import Line, Marked, Question, mark, questions, summary, tally, why
from insightedit.scenes.render import render_pair
from insightedit.scenes.scene import TASKS
from insightedit.scenes.truth import Verdict

if TYPE_CHECKING:
    from insightedit.model.bridging import Bridge
    from insightedit.model.pipeline import InsightEditPipeline

SOURCE, ANSWER = "copy", "exact"
SHUFFLED = ", f_img shuffled"
PIPELINES = {  # by what model_index.json says
    "InsightEditPipeline": "insightedit.model.pipeline:InsightEditPipeline",
    "TextOnlyPipeline": "benchmarks.text_only:TextOnlyPipeline",
}
SHOWN, CELL, TEXT = 8, 128, 250  # samples of a kind on a sheet, px of a picture, px of the words beside


@dataclass(frozen=True)
class Paper:
    """An exam as it is handed out: sources and targets uint8 (N, S, S, 3)."""

    questions: list[Question]
    sources: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Result:
    """What a folder's pipeline made of it: pictures uint8 (N, S, S, 3), and how long it took."""

    name: str
    folder: str
    pictures: np.ndarray
    seconds: float
    marked: list[Marked]


def paper(count: int, seed: int, size: int, parts: Sequence[Any]) -> Paper:
    """Questions and both pictures of each."""
    asked = questions(count, seed, parts)
    drawn = [render_pair(question.pair, size) for question in asked]
    return Paper(asked, np.stack([one.before.image for one in drawn]), np.stack([one.after.image for one in drawn]))


# --- edits -----------------------------------------------------------------------------------------------------------


def edited(pipeline: InsightEditPipeline, given: Paper, batch: int, options: dict[str, Any]) -> np.ndarray:
    """The pipeline's answers, uint8 (N, S, S, 3). The noise of a question depends on the question alone."""
    import torch

    pipeline.set_progress_bar_config(disable=True)
    found: list[np.ndarray] = []
    for places in np.array_split(np.arange(len(given.questions)), math.ceil(len(given.questions) / batch)):
        asked = [given.questions[place] for place in places]
        noise = [torch.Generator().manual_seed(derive(0, "noise", one.key)) for one in asked]
        texts = [one.text for one in asked]
        (images,) = pipeline(list(given.sources[places]), texts, generator=noise, return_dict=False, **options)
        found += [np.asarray(image) for image in images]
        print(f"\r{len(found)}/{len(given.questions)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return np.stack(found)


@contextmanager
def shuffled_image(bridge: Bridge) -> Iterator[None]:
    """Within it every picture of a batch gets the f_img of the one before it.

    Raises:
        InputError: the bridge makes no f_img, or the batch is a single picture.
    """
    forward = bridge.forward

    def shuffled(*inputs: Any, **named: Any) -> Any:
        conditions = forward(*inputs, **named)
        if conditions.image is None:
            raise InputError("f_img cannot be shuffled", "this model has no image branch", "Leave --shuffle-image away")
        if len(conditions.image) < 2:
            raise InputError("f_img cannot be shuffled", "the batch is a single picture", "Use --batch 2 or more")
        return replace(conditions, image=conditions.image.roll(1, dims=0))  # (B, V, C)

    bridge.forward = shuffled  # type: ignore[method-assign]
    try:
        yield
    finally:
        del bridge.forward


def variant(
    name: str, folder: str, given: Paper, settings: argparse.Namespace
) -> Iterator[tuple[str, str, np.ndarray, float]]:
    """Name, folder, answers and seconds; and once more with f_img shuffled if that was asked for.

    Raises:
        InputError: the folder holds no pipeline, or an incomplete one.
        UnknownName: it is a pipeline of another kind.
    """
    if folder in (SOURCE, ANSWER):
        yield name, folder, given.sources if folder == SOURCE else given.targets, 0.0
        return
    kind = pick(PIPELINES, read_json(Path(folder) / "model_index.json").get("_class_name"), "pipeline")
    pipeline = kind.from_pretrained(folder).to(settings.device)
    ways: list[tuple[str, Callable[[], Any]]] = [(name, nullcontext)]
    if settings.shuffle_image and pipeline.image_attention is not None:
        ways.append((name + SHUFFLED, lambda: shuffled_image(pipeline.bridge)))
    for way, context in ways:
        print(way, file=sys.stderr)
        with context():
            started = time.monotonic()
            pictures = edited(pipeline, given, settings.batch, options_of(settings))
            yield way, folder, pictures, time.monotonic() - started


def options_of(settings: argparse.Namespace) -> dict[str, Any]:
    """What is said of sampling; what is not said is the pipeline's own default."""
    said = {
        "num_inference_steps": settings.steps,
        "text_guidance_scale": settings.guidance,
        "image_guidance_scale": settings.image_guidance,
    }
    return {name: value for name, value in said.items() if value is not None}


# --- marks -----------------------------------------------------------------------------------------------------------


def _mark(question: Question, pictures: np.ndarray) -> list[Verdict]:
    return [mark(question, picture) for picture in pictures]


def marked(given: Paper, answers: Sequence[np.ndarray], workers: int) -> list[list[Marked]]:
    """Every variant's answers with their verdicts. A question is judged for all at once: its truth is drawn once."""
    each = np.stack(answers, axis=1)  # (N, variants, S, S, 3)
    if workers < 2:
        verdicts = list(map(_mark, given.questions, each))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            verdicts = list(pool.map(_mark, given.questions, each, chunksize=8))
    return [list(zip(given.questions, column, strict=True)) for column in zip(*verdicts, strict=True)]


COLUMNS: dict[str, dict[str, str]] = {
    "simple": {"level": "simple", "part": "train"},
    "reasoning": {"level": "advanced", "part": "train"},
    "held out: combination": {"held": "combination"},
    "kind": {"held": "kind"},
    "wording": {"held": "wording"},
    **{task: {"task": task} for task in TASKS},
}
ASKED = {"simple": "simple", "reasoning": "advanced"}  # of which dB and error stand apart


def table(results: Sequence[Result]) -> str:
    """Markdown: one row a variant, over all its seeds. Shares in percent."""
    asked = [f"{name} ({tally(results[0].marked, **chosen).n})" for name, chosen in COLUMNS.items()]
    apart = [f"{what}, {name}" for what in ("background dB", "error inside") for name in ASKED]
    head = ["variant", *asked, "kept", *apart, "s an edit"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in dict.fromkeys(one.name for one in results):
        seeds = [one for one in results if one.name == name]
        wholes = [tally(one.marked) for one in seeds]
        levels = [[tally(one.marked, level=level) for one in seeds] for level in ASKED.values()]
        cells = [
            name if len(seeds) == 1 else f"{name} ({len(seeds)} seeds)",
            *(_share([tally(one.marked, **chosen) for one in seeds]) for chosen in COLUMNS.values()),
            _spread([100 * one.kept for one in wholes]),
            *map(_background, levels),
            *(_spread([one.inside_error for one in seen]) for seen in levels),
            f"{mean(one.seconds / len(one.marked) for one in seeds):.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _share(seeds: Sequence[Line]) -> str:
    """Success: of one training with the standard error of its questions."""
    if len(seeds) > 1 or not seeds[0].n:
        return _spread([100 * one.success for one in seeds])
    return f"{100 * seeds[0].success:.1f} ± {100 * seeds[0].error:.1f}"


def _background(seeds: Sequence[Line]) -> str:
    """Mean over what is not exact, and how many are."""
    exact = sum(one.exact for one in seeds)
    if exact == sum(one.n for one in seeds):
        return "exact" if exact else "-"
    finite = [one.background_psnr for one in seeds if not math.isnan(one.background_psnr)]
    return _spread(finite) + (f" ({exact} exact)" if exact else "")


def _spread(values: Sequence[float]) -> str:
    """Mean; of several, ± their standard deviation; "-" where nothing was asked."""
    if any(map(math.isnan, values)):
        return "-"
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def notes(settings: argparse.Namespace) -> str:
    """What the table's numbers are."""
    return f"""
{settings.count} questions (of each sort: see the head) of exam seed {settings.seed} at {settings.size} px, on scenes
that no training draws. Sampling: {options_of(settings) or "the pipeline's defaults"}. Success and kept in percent. ±
is the standard error over questions; where several seeds were trained, the standard deviation between them. Success,
simple and reasoning: worded as in training. Held out: training never shows that combination of colour, shape and task;
that kind of reasoning with the task; that wording. Tasks and kept: over all questions. Background dB (outside what
changes) and error inside (levels of 255, against the exact target): over all questions of that level; dB is the mean
over backgrounds that are not exact.
"""


def as_json(results: Sequence[Result], settings: argparse.Namespace) -> str:
    """Every question and verdict. A PSNR that is infinite, and a mean over nothing, is null."""
    return json.dumps(
        {
            "settings": {name: value for name, value in vars(settings).items() if name != "out"},
            "variants": [
                {
                    "name": one.name,
                    "folder": one.folder,
                    "seconds": round(one.seconds, 2),
                    "summary": [_finite(asdict(line)) for line in summary(one.marked)],
                    "samples": [_sample(*pair) for pair in one.marked],
                }
                for one in results
            ],
        },
        indent=1,
    )


def _sample(question: Question, verdict: Verdict) -> dict[str, Any]:
    names = ("key", "task", "level", "part", "held", "kind", "text")
    said = {name: getattr(question, name) for name in names}
    return {**said, "scene_seed": question.pair.seed, **_finite(asdict(verdict)), "why": why(verdict)}


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (value if math.isfinite(value) else None) if isinstance(value, float) else value
        for name, value in record.items()
    }


# --- contact sheet ---------------------------------------------------------------------------------------------------


def sheet(given: Paper, result: Result) -> Image.Image:
    """Source, edit, target and words: successes in the left column, failures in the right one, tasks in turn."""
    columns = [_in_turn(given.questions, result.marked, success)[:SHOWN] for success in (True, False)]
    rows = max(map(len, columns))
    wide = 3 * (CELL + 4) + TEXT
    page = Image.new("RGB", (2 * wide, rows * (CELL + 8) + 4), "white")
    for column, places in enumerate(columns):
        for row, place in enumerate(places):
            left, top = column * wide + 4, row * (CELL + 8) + 4
            for number, picture in enumerate((given.sources, result.pictures, given.targets)):
                large = Image.fromarray(picture[place]).resize((CELL, CELL), Image.Resampling.NEAREST)
                page.paste(large, (left + number * (CELL + 4), top))
            _words(page, (left + 3 * (CELL + 4), top), *result.marked[place])
    return page


def _in_turn(asked: Sequence[Question], marks: Sequence[Marked], success: bool) -> list[int]:
    """Places of the successes or failures, one of each task after the other."""
    found = [place for place, (_, verdict) in enumerate(marks) if verdict.success == success]
    queues = ([place for place in found if asked[place].task == task] for task in TASKS)
    return [place for place in chain(*zip_longest(*queues)) if place is not None]


def _words(page: Image.Image, at: tuple[int, int], question: Question, verdict: Verdict) -> None:
    font, small, line = ImageFont.load_default(13), ImageFont.load_default(11), ""
    lines: list[str] = []
    for word in question.text.split():
        if font.getlength(f"{line} {word}") > TEXT - 16:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    background = "exact" if verdict.background_psnr == math.inf else f"{verdict.background_psnr:.1f} dB"
    about = f"{question.task}, {question.kind}" + (f", held out: {question.held}" if question.held else "")
    draw = ImageDraw.Draw(page)
    draw.multiline_text(at, "\n".join([*lines, line]), "black", font)
    rest = f"{about}\nbackground {background}, inside {verdict.inside_error:.0f}"
    draw.multiline_text((at[0], at[1] + CELL - 58), rest, "#606060", small)
    draw.text((at[0], at[1] + CELL - 18), why(verdict), "#207020" if verdict.success else "#b02020", small)


# --- the command -----------------------------------------------------------------------------------------------------


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked, with every variant as (name, folder); names are the folders' own unless given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument(
        "variants",
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="a saved pipeline, `copy`, or `exact`; one NAME, several seeds",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for table, verdicts and contact sheets")
    parser.add_argument("--count", type=int, default=500, help="questions")
    parser.add_argument("--seed", type=int, default=7, help="of the exam")
    parser.add_argument("--part", choices=("train", "heldout", "both"), default="both", help="of the questions")
    parser.add_argument("--size", type=int, default=64, help="px")
    parser.add_argument("--batch", type=int, default=25, help="pictures edited at once")
    parser.add_argument("--steps", type=int, help="denoising steps; default: the pipeline's")
    parser.add_argument("--guidance", type=float, help="text guidance; default: the pipeline's")
    parser.add_argument("--image-guidance", type=float, help="image guidance; default: the pipeline's")
    parser.add_argument("--shuffle-image", action="store_true", help="also with f_img of another picture")
    parser.add_argument("--device", default="cpu", help="for the pipelines")
    parser.add_argument("--workers", type=int, default=cores(), help="processes that judge")
    settings = parser.parse_args(given)
    if min(settings.count, settings.batch) < 1:
        parser.error("--count and --batch must be 1 or more")
    pairs = [one.rpartition("=")[::2] for one in settings.variants]
    settings.variants = [(name or Path(folder).name, folder) for name, folder in pairs]
    said = {name for name, _ in pairs if name}
    bare = [Path(folder).name for name, folder in pairs if not name]
    if len(set(bare)) < len(bare) or said & set(bare):
        parser.error(f"two variants have one name: {', '.join(sorted(bare))}; say NAME=FOLDER")
    return settings


def main(given: Sequence[str] | None = None) -> None:
    """Edit, judge, write."""
    settings = arguments(given)
    parts = ("train", "heldout") if settings.part == "both" else (settings.part,)
    asked = paper(settings.count, settings.seed, settings.size, parts)
    try:
        done = [row for name, folder in settings.variants for row in variant(name, folder, asked, settings)]
        marks = marked(asked, [pictures for _, _, pictures, _ in done], settings.workers)
    except InsightEditError as error:
        sys.exit(str(error))
    results = [Result(*row, own) for row, own in zip(done, marks, strict=True)]
    settings.out.mkdir(parents=True, exist_ok=True)
    text = table(results) + notes(settings)
    (settings.out / "table.md").write_text(text)
    (settings.out / "results.json").write_text(as_json(results, settings))
    for place, one in enumerate(results):
        earlier = sum(other.name == one.name for other in results[:place])
        name = "".join(c if c.isalnum() else "-" for c in one.name) + (f"-{earlier + 1}" if earlier else "")
        sheet(asked, one).save(settings.out / f"sheet-{name}.png")
    print(text)


if __name__ == "__main__":
    main()
