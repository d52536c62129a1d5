"""A toy line of steps over numbers, small enough to kill, time out and resume; workers import it by name."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.record import Record, Reject
from insightedit.flow.local import Line, Shard, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import Step


class Number(Record):
    heavy = frozenset({"blob"})

    value: int
    blob: bytes = b""


@dataclass(frozen=True)
class Toy:
    number: int
    deed: str = ""  # what happens to a worker that meets it
    values: dict[str, Record] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"toy {self.number}"

    def with_value(self, step: str, found: Record) -> Toy:
        return replace(self, values={**self.values, step: found})


class ToyKnobs(Knobs):
    by: int = 2
    log: str = ""  # a file that gets one line per item done
    pause_s: float = 0.0


class ToyStep(Step[Toy, Number]):
    knobs: ToyKnobs

    def reject(self, item: Toy, reason: str, seen: str = "", wanted: str = "") -> Reject:
        return Reject(step=self.name, reason=reason, photo_id=item.key, seen=seen, wanted=wanted)

    def fingerprint(self, before: str) -> str:  # the log and the pause change no result
        knobs = self.knobs.model_copy(update={"log": "", "pause_s": 0.0})
        return type(self)(knobs, self.seed)._own_fingerprint(before)

    def _own_fingerprint(self, before: str) -> str:
        return super().fingerprint(before)

    def _note(self, item: Toy) -> None:
        if self.knobs.log:
            with Path(self.knobs.log).open("a") as handle:
                handle.write(f"{self.name} {item.number}\n")
        time.sleep(self.knobs.pause_s)


class Times(ToyStep):
    """Multiplies; its items may misbehave."""

    name, version, value = "times", "1", Number
    batch_size = 4

    def process(self, batch: Sequence[Toy]) -> list[Number | Reject]:
        return [self._one(item) for item in batch]

    def _one(self, item: Toy) -> Number | Reject:
        self._note(item)
        _do(item.deed)
        if item.deed == "unfit":
            raise Unfit("odd", "seen", "wanted")
        if item.deed == "reject":
            return self.reject(item, "refused")
        return Number(value=item.number * self.knobs.by, blob=bytes(100))


class Plus(ToyStep):
    """Adds to what `times` found, and needs its heavy field."""

    name, version, value = "plus", "1", Number
    needs = frozenset({"times"})
    batch_size = 3

    def process(self, batch: Sequence[Toy]) -> list[Number | Reject]:
        for item in batch:
            self._note(item)
        return [
            Number(value=item.values["times"].value + self.knobs.by, blob=item.values["times"].blob) for item in batch
        ]


class Square(ToyStep):
    """Squares what `plus` found; reads no heavy field."""

    name, version, value = "square", "1", Number

    def process(self, batch: Sequence[Toy]) -> list[Number | Reject]:
        for item in batch:
            self._note(item)
        return [Number(value=item.values["plus"].value ** self.knobs.by) for item in batch]


class Lossy(ToyStep):
    """Breaks the contract: forgets its last item whenever it has several."""

    name, version, value = "lossy", "1", Number
    batch_size = 4

    def process(self, batch: Sequence[Toy]) -> list[Number | Reject]:
        found = [Number(value=item.number) for item in batch]
        return found[:-1] if len(found) > 1 else found


def _do(deed: str) -> None:
    match deed.partition(" "):
        case "raise", _, name:
            raise {"cv2": cv2.error, "syntax": SyntaxError, "key": KeyError, "stop": StopIteration}[name]("broken")
        case "exit", _, code:
            os._exit(int(code))
        case "kill", _, _:
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep", _, seconds:
            time.sleep(float(seconds))
        case "once", _, mark:  # dies at the first sight of it, as if the machine had run out of memory
            if not Path(mark).exists():
                Path(mark).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        case "cv", _, _:
            cv2.cvtColor(np.zeros((0, 0, 3), np.uint8), cv2.COLOR_RGB2GRAY)


def line(root: Path, *, times: int = 2, plus: int = 1, square: int = 2, log: str = "", pause_s: float = 0.0) -> Line:
    how = {"log": log, "pause_s": pause_s}
    steps = [
        Times(ToyKnobs(by=times, **how)), Plus(ToyKnobs(by=plus, **how)), Square(ToyKnobs(by=square, **how)),
    ]  # fmt: skip
    return Line(steps, "source", Manifest(root))


def shards(toys: Sequence[Toy], size: int = 5) -> list[Shard]:
    return [Shard(at // size, toys[at : at + size]) for at in range(0, len(toys), size)]


def drive(the_line: Line, toys: Sequence[Toy], pool: Pool) -> list[tuple[str, int]]:
    """Run it and say what came out: (key, value) of every item that passed, in order."""
    asyncio.run(run(the_line, shards(toys), pool, Silent()))
    return content(the_line, toys)


def content(the_line: Line, toys: Sequence[Toy]) -> list[tuple[str, int]]:
    found = the_line.results(shards(toys), heavy=False)
    return [(item.key, item.values["square"].value) for items, _ in found for item in items]


if __name__ == "__main__":  # python toys.py FOLDER COUNT WORKERS PAUSE_S: a driver that a test may kill
    with Pool(int(sys.argv[3]), 60) as workers:
        folder = Path(sys.argv[1])
        many = [Toy(number) for number in range(int(sys.argv[2]))]
        drive(line(folder / "shards", log=str(folder / "log"), pause_s=float(sys.argv[4])), many, workers)
