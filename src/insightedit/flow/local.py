"""The local executor: asyncio over shards, processes for the work, a commit per shard and step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from insightedit.core.record import Record, Reject
from insightedit.flow.manifest import Done, Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import Item, Step

LANES = 2  # shards in flight: the next one fills the workers while the last batches of the first run out


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def begin(self, step: str, total: int) -> None:
        """`total` items will pass `step`."""

    def advance(self, step: str, count: int) -> None:
        """`count` more have passed it, or have left before it."""


class Silent:
    """Nobody wants to know."""

    def begin(self, step: str, total: int) -> None:
        """Nothing."""

    def advance(self, step: str, count: int) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Shard:
    """A fixed group of items: the unit of work, of output and of resume."""

    number: int
    items: Sequence[Any]


class Line:
    """Steps in order, each with the fingerprint that names its results.

    Args:
        steps: the steps.
        source: fingerprint of the items that come in.
        manifest: where results are kept.
    """

    def __init__(self, steps: Sequence[Step[Any, Any]], source: str, manifest: Manifest) -> None:
        self.steps, self.manifest = steps, manifest
        self.marks: dict[str, str] = {}
        before = source
        for step in steps:
            before = self.marks[step.name] = step.fingerprint(before)

    def is_done(self, shard: int, step: Step[Any, Any]) -> bool:
        return self.manifest.done(shard, step.name, self.marks[step.name]) is not None

    def join(self, shard: int, step: Step[Any, Any], items: Sequence[Item], heavy: bool) -> list[Item]:
        """The items that passed `step`, each with what it found; read from disk."""
        mark = self.marks[step.name]
        done = self.manifest.done(shard, step.name, mark)
        if done is None:
            raise LookupError(f"step '{step.name}' is not done on shard {shard}")
        values = dict(zip(done.keys, self.manifest.read(shard, step.name, mark, step.value, heavy), strict=True))
        return [item.with_value(step.name, values[item.key]) for item in items if item.key in values]

    def values(self, shard: int, step: Step[Any, Any]) -> tuple[list[Record], Done]:
        """What a finished step found, without heavy fields, and its commit record."""
        mark = self.marks[step.name]
        done = self.manifest.done(shard, step.name, mark)
        if done is None:
            raise LookupError(f"step '{step.name}' is not done on shard {shard}")
        return self.manifest.read(shard, step.name, mark, step.value, heavy=False), done

    def results(self, shards: Iterable[Shard], heavy: bool = True) -> Iterator[tuple[list[Any], list[Reject]]]:
        """Per shard: the items that passed every step, and the items that left as a whole. One shard in memory."""
        for shard in shards:
            items: list[Item] = list(shard.items)
            rejects: list[Reject] = []
            for step in self.steps:
                done = self.manifest.done(shard.number, step.name, self.marks[step.name])
                rejects += done.rejects if done else []
                items = self.join(shard.number, step, items, heavy)
            yield items, rejects


async def run(line: Line, shards: Iterable[Shard], pool: Pool, progress: Progress) -> None:
    """Do whatever is not done. Each step of each shard is committed on its own: a kill costs one step of a shard."""
    waiting = iter(shards)
    # gather, not a TaskGroup: the first error leaves as itself, and asyncio.run cancels the other lane
    await asyncio.gather(*(_lane(line, waiting, pool, progress) for _ in range(LANES)))


async def _lane(line: Line, waiting: Iterator[Shard], pool: Pool, progress: Progress) -> None:
    for shard in waiting:  # shared by the lanes; asyncio switches only at an await, so each shard is taken once
        await _run_shard(line, shard, pool, progress)


async def _run_shard(line: Line, shard: Shard, pool: Pool, progress: Progress) -> None:
    items: list[Item] = list(shard.items)
    for index, step in enumerate(line.steps):
        missing = [later for later in line.steps[index:] if not line.is_done(shard.number, later)]
        if not missing:
            for later in line.steps[index:]:
                progress.advance(later.name, len(shard.items))
            return
        if line.is_done(shard.number, step):
            heavy = any(step.name in later.needs for later in missing)
            items = line.join(shard.number, step, items, heavy)
            progress.advance(step.name, len(shard.items))
        else:
            progress.advance(step.name, len(shard.items) - len(items))  # those that left before it
            items = await _run_step(line, shard.number, step, items, pool, progress)


async def _run_step(
    line: Line, shard: int, step: Step[Any, Any], items: list[Item], pool: Pool, progress: Progress
) -> list[Item]:
    sent = step.arrange(items)
    batches = [sent[at : at + step.batch_size] for at in range(0, len(sent), step.batch_size)]

    async def one(batch: Sequence[Any]) -> tuple[list[Record | Reject], float]:
        results = await pool.run(step, line.marks[step.name], batch)
        progress.advance(step.name, len(batch))
        return results

    answers = await asyncio.gather(*(one(batch) for batch in batches))
    results = [result for answer, _ in answers for result in answer]
    kept = [(item, result) for item, result in zip(items, results, strict=True) if not isinstance(result, Reject)]
    rejects = [result for result in results if isinstance(result, Reject)]
    found = [(item.key, value) for item, value in kept]
    cpu_s = sum(seconds for _, seconds in answers)
    await asyncio.to_thread(
        line.manifest.commit, shard, step.name, line.marks[step.name], found, rejects, step.value, cpu_s
    )
    return [item.with_value(step.name, value) for item, value in kept]
