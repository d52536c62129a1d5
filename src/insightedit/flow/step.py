"""What a step is: knobs, `setup` once per worker, `process` with one result per input; or `one`, where it asks others.

A `Step` computes: its batches go to worker processes. An `AsyncStep` waits for somebody else's answers: its items are
awaited side by side in the driver. `Place` says where and in what portions; results do not depend on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError, OutputError, Stop, Unfit
from insightedit.core.record import Record, Reject
from insightedit.flow.journal import Journal

# no item is to blame for these: they end the run, and the same command continues once their cause is mended
ENDS_RUN = (Stop, OutputError, ConfigError)


class Item(Protocol):
    """What flows: it has a name and learns one value per step."""

    @property
    def key(self) -> str:
        """Its name, unique in the run."""

    def with_value(self, step: str, found: Record) -> Self:
        """A copy that knows what `step` found."""


In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Record)


class Place(Knobs):
    """Where a step runs and in what portions: a section of the step's knobs that is no part of its fingerprint.

    Another device or batch size moves the last digits of a float; that is no reason to paint everything anew.
    """

    device: str = "auto"  # auto | cpu | cuda | cuda:0 | mps; in a worker that owns a GPU, cuda is that one
    device_share: float | None = Field(None, ge=0, le=1)  # of one GPU's memory that the models fill; None = the step's
    batch_size: int | None = Field(None, ge=1)  # items that go to a worker at once; None = the step's
    in_flight: int = Field(64, ge=1)  # items of an asynchronous step that are awaited at once, over all shards


class Step(Generic[In, Out]):
    """A step of construction. Making one is cheap: it holds knobs only, and pickles to a worker.

    Subclasses say `name`, `version` (raised whenever equal inputs could give another result), `value` (the record that
    `process` returns, which is also the schema of the step's column group) and `process`. `setup` loads what is heavy,
    once per worker. `arrange` sees a whole shard before it is cut into batches.

    A step with models says `device_share`, the share of one GPU's memory that they fill. It then runs in workers that
    own one GPU each, or in the ordinary ones where there is none. A worker keeps the models of several such steps side
    by side while their shares sum to 1 at most; before the next one is set up, those used longest ago are `release`d.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    value: ClassVar[type[Record]]
    needs: ClassVar[frozenset[str]] = frozenset()  # earlier steps whose heavy fields (encoded images) it reads
    batch_size: ClassVar[int] = 1
    device_share: ClassVar[float] = 0.0

    def __init__(self, knobs: Knobs, seed: int = 0) -> None:
        self.knobs, self.seed = knobs, seed

    def __init_subclass__(cls) -> None:
        """Misuse is refused when the class is made; a class that names nothing is a base for others."""
        super().__init_subclass__()
        missing = [word for word in ("name", "version", "value") if not hasattr(cls, word)]
        if 0 < len(missing) < 3:
            raise TypeError(f"step {cls.__name__} lacks {', '.join(missing)}: set them as class attributes")

    @property
    def place(self) -> Place:
        """Where it runs: the knob of its knobs that is a `Place`, or else the defaults."""
        return next((value for _, value in self.knobs if isinstance(value, Place)), Place())

    def portion(self) -> int:
        """How many items go to a worker at once."""
        return self.place.batch_size or self.batch_size

    def share(self) -> float:
        """Share of one GPU's memory that its models fill, 0..1; 0: it has none. A step whose back end decides, says."""
        given = self.place.device_share
        return self.device_share if given is None else given

    def setup(self) -> None:
        """Load what is heavy; runs in the worker, once, and again after each `release`."""

    def release(self) -> None:
        """Leave the GPU to another step: move the models to main memory, or drop them. `setup` brings them back."""

    def arrange(self, items: Sequence[In]) -> Sequence[In]:
        """See a shard as a whole, in the driver, without pixels; return the items, perhaps with more knowledge."""
        return items

    def process(self, batch: Sequence[In]) -> list[Out | Reject]:
        """One result per input, in order."""
        raise NotImplementedError

    def reject(self, item: In, reason: str, seen: str = "", wanted: str = "") -> Reject:
        """A whole item leaves: the record of it."""
        raise NotImplementedError

    def failed(self, item: In, error: Exception) -> Reject:
        """A whole item leaves because of an error: with the reason of an `Unfit`, else as `step_failed`."""
        if isinstance(error, Unfit):
            return self.reject(item, error.reason, error.seen, error.wanted)
        return self.reject(item, "step_failed", f"{type(error).__name__}: {error}"[:300], "no error")

    def fingerprint(self, before: str) -> str:
        """12 hex digits of everything that decides this step's result: its own knobs and those before it."""
        places = {name for name, value in self.knobs if isinstance(value, Place)}
        knobs = self.knobs.model_dump(mode="json", exclude=places)
        return fingerprint(before, self.name, self.version, self.seed, knobs)


@dataclass(frozen=True)
class Context:
    """What an asynchronous step has beside its item.

    Attributes:
        journal: the shard's; an answer that is in it need not be paid for.
        apart: `await apart(function, *arguments)` runs a function of a module in a worker process. Pictures are opened,
            shrunk and encoded there: a broken one may crash the decoder, and would block every other answer here.
            Raises `Unfit` (worker_died, timed_out) and whatever the function raises.
    """

    journal: Journal
    apart: Callable[..., Awaitable[Any]]


class AsyncStep(Step[In, Out]):
    """A step that waits for others' answers, such as those of a chat endpoint.

    Subclasses write `one` instead of `process`. It runs in the driver's event loop, `place.in_flight` items at a time;
    nothing in it may block. Its exception rejects its own item only, unless it is one of `ENDS_RUN`, which end the run
    after the items under way are through. A commit, a fingerprint and a resume are those of every step.
    """

    async def connect(self) -> None:
        """Open what `one` needs; runs once, in the event loop, before the first item, if there is any to do."""

    async def disconnect(self) -> None:
        """Close it, at the end of the run."""

    async def one(self, item: In, context: Context) -> Out | Reject:
        """The result of one item.

        Raises:
            Unfit: the item is rejected for this reason.
            Stop: nobody answers any more, or may be asked.
        """
        raise NotImplementedError


def fingerprint(*parts: Any) -> str:
    """12 hex digits that depend on nothing but the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]
