"""An exam for editors: questions on scenes that no training draws, a mark for each answer, and a summary of the marks.

Training scenes, published or drawn on the fly, are those of `sampling.pair_seed`, whose seeds lie below 2**62; the
seeds of an exam lie above. So no seed is in both. That two seeds mean one scene is left to chance, as with any two
pairs of a run: a camera alone has more than 2**50 places.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count as numbers
from itertools import product
from typing import Literal

import numpy as np

from insightedit.core.seed import derive
from insightedit.scenes.grammar import ACTIONS, FRAMES, HELD_KINDS, Instruction, Level, Part, held_out, instructions
from insightedit.scenes.sampling import sample
from insightedit.scenes.scene import TASKS, Pair, Task
from insightedit.scenes.truth import BACKGROUND_PSNR, Verdict, judge

Held = Literal["", "combination", "kind", "wording"]

FIRST = 1 << 62  # seed of an exam's scene, at least; `sampling.pair_seed` stays below
LEVELS: tuple[Level, ...] = ("simple", "advanced")
PARTS: tuple[Part, ...] = ("train", "heldout")
HELD: dict[Level, tuple[Held, ...]] = {
    "simple": ("combination", "wording"),
    "advanced": ("combination", "wording", "kind"),
}


@dataclass(frozen=True)
class Question:
    """An edit to be made of the picture of `pair.before`.

    Attributes:
        key: unique within exams: seed and number of the question.
        pair: the directed edit that is asked for.
        text: the instruction.
        level: "simple" or "advanced" (reasoning).
        kind: "simple" or a kind of `referents.KINDS`.
        part: "train": worded as in training, on a new scene; "heldout": training shows no such thing.
        held: the one reason for "heldout": the "combination" of colour, shape and task, the "kind" of reasoning with
            the task, or the "wording"; "" for "train".
    """

    key: str
    pair: Pair
    text: str
    level: Level
    kind: str
    part: Part
    held: Held

    @property
    def task(self) -> Task:
        return self.pair.task


def questions(count: int, seed: int = 0, parts: Sequence[Part] = PARTS) -> list[Question]:
    """The first `count` questions of an exam, each on a scene of its own.

    Tasks, levels and parts take turns, so of each combination of them there are equally many, give or take one; so do
    the reasons within "heldout". A longer exam begins with the questions of a shorter one.

    Args:
        count: how many.
        seed: of the exam; another seed, other scenes.
        parts: ("train",) or ("heldout",) for one of them only.
    """
    cells = list(product(parts, LEVELS, TASKS))
    return [_question(f"{seed}/{number}", number // len(cells), *cells[number % len(cells)]) for number in range(count)]


def exam_seed(key: str, attempt: int) -> int:
    """Seed of a scene of an exam, in [2**62, 2**63)."""
    return FIRST | derive(0, "exam", key, attempt, "high") << 31 | derive(0, "exam", key, attempt, "low")


def _question(key: str, turn: int, part: Part, level: Level, task: Task) -> Question:
    """Asked of the first scene of this key's that allows it."""
    held = HELD[level][turn % len(HELD[level])] if part == "heldout" else ""
    asked = (_asked(key, attempt, part, level, task, held) for attempt in numbers())
    return next(question for question in asked if question)


def _asked(key: str, attempt: int, part: Part, level: Level, task: Task, held: Held) -> Question | None:
    pair, draw = sample(exam_seed(key, attempt)), random.Random(derive(0, "exam", key, attempt, "words"))
    if task == "add" or (task != "remove" and draw.random() < 0.5):
        pair = pair.reversed()
    if pair.task != task or held_out(pair) != (held == "combination"):
        return None
    for said in instructions(pair, draw, 99 if held else 1, part, level):
        if _reasons(pair, said) == ({held} if held else set()):
            return Question(key, pair, said.text, level, said.kind, part, held)
    return None


def _reasons(pair: Pair, said: Instruction) -> set[Held]:
    """All that keeps an instruction out of training; empty where `grammar.split_of` says "train"."""
    action, frame = map(int, said.wording.split("/"))
    found: dict[Held, bool] = {
        "combination": held_out(pair),
        "kind": (said.kind, pair.task) in HELD_KINDS,
        "wording": action == len(ACTIONS[pair.task]) - 1 or frame == len(FRAMES) - 1,
    }
    return {reason for reason, holds in found.items() if holds}


# --- marks -----------------------------------------------------------------------------------------------------------


def mark(question: Question, picture: np.ndarray) -> Verdict:
    """Judge an answer, uint8 (S, S, 3), by `truth.judge`."""
    return judge(question.pair, picture)


def why(verdict: Verdict) -> str:
    """ "ok", or what is wrong, in a few words."""
    if verdict.success:
        return "ok"
    faults = []
    if not verdict.done:
        faults.append(f"too near to '{verdict.rival}' ({verdict.closeness:.2f})")
    if verdict.background_psnr < BACKGROUND_PSNR:
        faults.append(f"background {verdict.background_psnr:.1f} dB")
    elif not verdict.kept:
        faults.append("changed elsewhere")
    return ", ".join(faults)


Marked = tuple[Question, Verdict]


@dataclass(frozen=True)
class Line:
    """What a selection of questions gave.

    Attributes:
        level, part, task, held: the selection; "all" where none was made.
        n: questions.
        success, done, kept: shares, 0..1; see `truth.Verdict`.
        error: standard error of `success`, sqrt(p (1 - p) / n).
        background_psnr: dB, mean over the answers whose background is not exact; NaN where there is none.
        exact: answers whose background equals the source bit for bit, so that their PSNR is infinite.
        inside_error: levels of 255, mean.
    """

    level: str
    part: str
    task: str
    held: str
    n: int
    success: float
    error: float
    done: float
    kept: float
    background_psnr: float
    exact: int
    inside_error: float


def tally(
    marked: Iterable[Marked], level: str = "all", part: str = "all", task: str = "all", held: str = "all"
) -> Line:
    """One line over the questions of a level, part, task and reason; all numbers are NaN where there is no question."""
    wanted = {"level": level, "part": part, "task": task, "held": held}
    found = [
        verdict
        for question, verdict in marked
        if all(value in ("all", getattr(question, name)) for name, value in wanted.items())
    ]
    success = _mean([verdict.success for verdict in found])
    finite = [verdict.background_psnr for verdict in found if verdict.background_psnr < math.inf]
    return Line(
        **wanted,
        n=len(found),
        success=success,
        error=math.sqrt(success * (1 - success) / len(found)) if found else math.nan,
        done=_mean([verdict.done for verdict in found]),
        kept=_mean([verdict.kept for verdict in found]),
        background_psnr=_mean(finite),
        exact=len(found) - len(finite),
        inside_error=_mean([verdict.inside_error for verdict in found]),
    )


def summary(marked: Sequence[Marked]) -> list[Line]:
    """A line for each level, part and task that was asked, after one for all tasks of that level and part."""
    lines = [tally(marked, *cell) for cell in product(LEVELS, PARTS, ("all", *TASKS))]
    return [line for line in lines if line.n]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
