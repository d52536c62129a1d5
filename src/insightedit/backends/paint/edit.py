"""Crop, paint, stitch: an edit of a photograph of any size by a network of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from insightedit.backends.paint.painter import Canvas, Painter, PaintTask
from insightedit.backends.paint.recolour import Painted
from insightedit.backends.paint.stitch import StitchKnobs, laid
from insightedit.backends.paint.window import Cutting, WindowKnobs, cut, view
from insightedit.core.config import Knobs
from insightedit.core.errors import InputError, InsightEditError, Unfit
from insightedit.core.mask import Mask
from insightedit.core.seed import derive

Score = Callable[[Painted], float | None]
Attempt = Painted | InsightEditError | Unfit


class EditKnobs(Knobs):
    """Where to crop and how to lay back."""

    window: WindowKnobs = WindowKnobs()
    stitch: StitchKnobs = StitchKnobs()


@dataclass(frozen=True, eq=False)
class Job:
    """An edit to be made.

    Attributes:
        image: the photograph, uint8 RGB (H, W, 3).
        mask: bool (H, W), the object that goes (remove, replace) or the place for a new one (add).
        prompt: what shall be there; "" for a removal.
        task: remove, replace or add.
        seed: in [0, 2**63).
        negative: what shall not be there.
    """

    image: np.ndarray
    mask: np.ndarray
    prompt: str
    task: PaintTask
    seed: int
    negative: str = ""


@dataclass(frozen=True, eq=False)
class Choice:
    """The best of several attempts: what was painted, with which seed, its place among them and its score."""

    painted: Painted
    seed: int
    attempt: int
    score: float


def edit(
    image: np.ndarray,
    mask: np.ndarray,
    prompt: str,
    task: PaintTask,
    seed: int,
    painter: Painter,
    knobs: EditKnobs = EditKnobs(),
    negative: str = "",
) -> Painted:
    """One edit; see `Job` for the arguments.

    Returns:
        The photograph in its own size, and the support outside which it is bit-equal to `image`.

    Raises:
        InputError: image or mask is not what `Job` says.
        Unfit: empty_mask.
        ConfigError, BackendError: as `Painter.paint`.
    """
    return edit_many([Job(image, mask, prompt, task, seed, negative)], painter, knobs)[0]


def edit_many(jobs: Sequence[Job], painter: Painter, knobs: EditKnobs = EditKnobs()) -> list[Painted]:
    """`edit` for each, in batches of the painter's size; equal to one by one.

    Raises:
        InputError, Unfit, ConfigError, BackendError: as `edit`, for the first job that fails.
    """
    made: list[Painted] = []
    for painted in attempts(jobs, painter, knobs):
        if isinstance(painted, Exception):
            raise painted
        made.append(painted)
    return made


def attempts(jobs: Sequence[Job], painter: Painter, knobs: EditKnobs = EditKnobs()) -> list[Attempt]:
    """As `edit_many`, but what is wrong with one job is that job's result and spoils no other.

    Raises:
        InputError: an image or mask that is no such thing.
        ConfigError, InputError, BackendError: as `Painter.attempts`: what no job could do.
    """
    results: list[Attempt | None] = [None] * len(jobs)
    cuttings: dict[int, Cutting] = {}
    for place, job in enumerate(jobs):
        try:
            cuttings[place] = _cutting(job, painter, knobs.window)
        except Unfit as error:
            results[place] = error
    canvases = [_canvas(jobs[place], cutting) for place, cutting in cuttings.items()]
    for (place, cutting), painted in zip(cuttings.items(), painter.attempts(canvases), strict=True):
        if isinstance(painted, InsightEditError):
            results[place] = painted
        else:
            results[place] = laid(jobs[place].image, painted, cutting, knobs.stitch)
    return [result for result in results if result is not None]


def _cutting(job: Job, painter: Painter, knobs: WindowKnobs) -> Cutting:
    image, mask = job.image, job.mask
    fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and mask.dtype == np.bool_
    if not fits or mask.shape != image.shape[:2]:
        why = f"image {image.dtype} {image.shape}, mask {mask.dtype} {mask.shape}"
        raise InputError("cannot edit these arrays", why, "Give uint8 (H, W, 3) and bool (H, W) of one size")
    return cut(Mask.of(mask), painter.settings.side, painter.settings.multiple, knobs)


def _canvas(job: Job, cutting: Cutting) -> Canvas:
    seen, hole = view(job.image, cutting)
    return Canvas(seen, hole, job.prompt, job.negative, job.task, job.seed)


def best_of(
    count: int,
    job: Job,
    names: tuple[int, str],
    painter: Painter,
    score: Score,
    knobs: EditKnobs = EditKnobs(),
) -> Choice:
    """Paint `count` attempts and keep the one that scores best; of equals, the first.

    Args:
        count: attempts, at least 1.
        job: its own seed is not used.
        names: run seed and edit id; with the attempt's number they make its seed, the same in every run.
        painter: paints the attempts in batches of its size.
        score: higher is better; None says that an attempt cannot be judged, and it is not kept.
        knobs: as `edit`.

    Raises:
        Unfit: empty_mask; no_scored_attempt: all were painted, none could be judged.
        InputError, ConfigError, BackendError: as `edit`, where every attempt failed.
    """
    seeds = [derive(*names, attempt) for attempt in range(count)]
    made = attempts([replace(job, seed=seed) for seed in seeds], painter, knobs)
    choices = []
    for place, painted in enumerate(made):
        if isinstance(painted, Painted) and (value := score(painted)) is not None:
            choices.append(Choice(painted, seeds[place], place, value))
    if choices:
        return max(choices, key=lambda choice: choice.score)
    failures = [result for result in made if isinstance(result, Exception)]
    if failures and len(failures) == len(made):
        raise failures[0]
    raise Unfit("no_scored_attempt", f"{count} attempts, none judged", "a score for at least one")
