"""What a step is: knobs, `setup` once per worker, `process` with one result per input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from insightedit.core.config import Knobs
from insightedit.core.record import Record, Reject


class Item(Protocol):
    """What flows: it has a name and learns one value per step."""

    @property
    def key(self) -> str:
        """Its name, unique in the run."""

    def with_value(self, step: str, found: Record) -> Self:
        """A copy that knows what `step` found."""


In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Record)


class Step(Generic[In, Out]):
    """A step of construction. Making one is cheap: it holds knobs only, and pickles to a worker.

    Subclasses say `name`, `version` (raised whenever equal inputs could give another result), `value` (the record that
    `process` returns, which is also the schema of the step's column group) and `process`. `setup` loads what is heavy,
    once per worker. `arrange` sees a whole shard before it is cut into batches.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    value: ClassVar[type[Record]]
    needs: ClassVar[frozenset[str]] = frozenset()  # earlier steps whose heavy fields (encoded images) it reads
    batch_size: ClassVar[int] = 1

    def __init__(self, knobs: Knobs, seed: int = 0) -> None:
        self.knobs, self.seed = knobs, seed

    def __init_subclass__(cls) -> None:
        """Misuse is refused when the class is made; a class that names nothing is a base for others."""
        super().__init_subclass__()
        missing = [word for word in ("name", "version", "value") if not hasattr(cls, word)]
        if 0 < len(missing) < 3:
            raise TypeError(f"step {cls.__name__} lacks {', '.join(missing)}: set them as class attributes")

    def setup(self) -> None:
        """Load what is heavy; runs in the worker, once."""

    def arrange(self, items: Sequence[In]) -> Sequence[In]:
        """See a shard as a whole, in the driver, without pixels; return the items, perhaps with more knowledge."""
        return items

    def process(self, batch: Sequence[In]) -> list[Out | Reject]:
        """One result per input, in order."""
        raise NotImplementedError

    def reject(self, item: In, reason: str, seen: str = "", wanted: str = "") -> Reject:
        """A whole item leaves: the record of it."""
        raise NotImplementedError

    def fingerprint(self, before: str) -> str:
        """12 hex digits of everything that decides this step's result: its own knobs and those before it."""
        return fingerprint(before, self.name, self.version, self.seed, self.knobs.model_dump(mode="json"))


def fingerprint(*parts: Any) -> str:
    """12 hex digits that depend on nothing but the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]
