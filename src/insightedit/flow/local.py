"""The local executor: asyncio over shards, processes for the work, a commit per shard and step.

Steps that compute send batches to the pool; steps that ask others (`AsyncStep`) are awaited here, and what was paid for
goes through the shard's journal. `Brake` says how a run ends before its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from insightedit.core.record import Record, Reject
from insightedit.flow import journal
from insightedit.flow.brake import Brake, Ending
from insightedit.flow.journal import Journal
from insightedit.flow.manifest import Done, Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import ENDS_RUN, AsyncStep, Context, Item, Step

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
        self.asking = [step for step in steps if isinstance(step, AsyncStep)]
        self.marks: dict[str, str] = {}
        before = source
        for step in steps:
            before = self.marks[step.name] = step.fingerprint(before)

    def is_done(self, shard: int, step: Step[Any, Any]) -> bool:
        return self.manifest.done(shard, step.name, self.marks[step.name]) is not None

    def is_settled(self, shard: int) -> bool:
        """Whether no step of the shard needs its journal any more."""
        return all(self.is_done(shard, step) for step in self.asking)

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


async def run(line: Line, shards: Iterable[Shard], pool: Pool, progress: Progress, lanes: int = LANES) -> None:
    """Do whatever is not done. Each step of each shard is committed on its own: a kill costs one step of a shard.

    Args:
        line: the steps.
        shards: the work.
        pool: of workers.
        progress: told about every step.
        lanes: shards in flight. Each holds its items in memory, pictures too where a step needs them; more lanes keep
            asynchronous steps and several GPUs busy.

    Raises:
        Stop: no more can be asked; what is finished stays.
        OutputError: the disk is full.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the answers under way were kept.
    """
    journal.sweep(line.manifest.root, line.is_settled)
    brake = Brake()
    this = _Run(line, pool, progress, brake)
    waiting = iter(shards)
    try:
        with brake.on_signals():
            await brake.until_done(asyncio.gather(*(this.lane(waiting) for _ in range(lanes))))
    finally:
        await this.disconnect()


class _Run:
    """One run: what its lanes share."""

    def __init__(self, line: Line, pool: Pool, progress: Progress, brake: Brake) -> None:
        self.line, self.pool, self.progress, self.brake = line, pool, progress, brake
        self.gates = {step.name: asyncio.Semaphore(step.place.in_flight) for step in line.asking}
        self.connecting = asyncio.Lock()
        self.connected: list[AsyncStep[Any, Any]] = []

    async def lane(self, waiting: Iterator[Shard]) -> None:
        """Take shards until there is none. Errors pull the brake: it knows what to wait for before the run ends."""
        try:
            for shard in waiting:  # shared by the lanes; asyncio switches only at an await, so each is taken once
                await self.shard(shard)
                if self.brake.error is not None:
                    return
        except Ending:
            pass  # the brake knows why
        except Exception as error:  # noqa: BLE001 - raised by `until_done`, as itself
            self.brake.pull(error)

    async def shard(self, shard: Shard) -> None:
        line, progress = self.line, self.progress
        items: list[Item] = list(shard.items)
        for index, step in enumerate(line.steps):
            missing = [later for later in line.steps[index:] if not line.is_done(shard.number, later)]
            if not missing:
                for later in line.steps[index:]:
                    progress.advance(later.name, len(shard.items))
                return
            if self.brake.error is not None:
                return
            if line.is_done(shard.number, step):
                heavy = any(step.name in later.needs for later in missing)
                items = line.join(shard.number, step, items, heavy)
                progress.advance(step.name, len(shard.items))
            else:
                progress.advance(step.name, len(shard.items) - len(items))  # those that left before it
                items = await self.step(shard.number, step, items)

    async def step(self, shard: int, step: Step[Any, Any], items: list[Item]) -> list[Item]:
        """Do a step on a shard and commit it; the items that passed."""
        started = time.perf_counter()
        sent = step.arrange(items)
        if isinstance(step, AsyncStep):
            results, cpu_s = await self.asked(shard, step, sent)
        else:
            results, cpu_s = await self.computed(step, sent)
        kept = [(item, result) for item, result in zip(items, results, strict=True) if not isinstance(result, Reject)]
        rejects = [result for result in results if isinstance(result, Reject)]
        found = [(item.key, value) for item, value in kept]
        mark, wall_s = self.line.marks[step.name], time.perf_counter() - started
        await asyncio.to_thread(
            self.line.manifest.commit, shard, step.name, mark, found, rejects, step.value, cpu_s, wall_s
        )
        if isinstance(step, AsyncStep) and self.line.is_settled(shard):
            journal.path_of(self.line.manifest.root, shard).unlink(missing_ok=True)
        return [item.with_value(step.name, value) for item, value in kept]

    async def computed(self, step: Step[Any, Any], items: Sequence[Any]) -> tuple[list[Record | Reject], float]:
        """Results in order and their CPU seconds, from the pool."""
        size = step.portion()

        async def one(batch: Sequence[Any]) -> tuple[list[Record | Reject], float]:
            results = await self.pool.run(step, self.line.marks[step.name], batch)
            self.progress.advance(step.name, len(batch))
            return results

        answers = await asyncio.gather(*(one(items[at : at + size]) for at in range(0, len(items), size)))
        return [result for results, _ in answers for result in results], sum(seconds for _, seconds in answers)

    async def asked(
        self, shard: int, step: AsyncStep[Any, Any], items: Sequence[Any]
    ) -> tuple[list[Record | Reject], float]:
        """Results in order; no CPU seconds, for the driver's are not told apart by step.

        Raises:
            Ending, Stop, OutputError, ConfigError: an item has no result; by then every item under way is through.
        """
        await self.connect(step)
        kept = Journal(journal.path_of(self.line.manifest.root, shard))
        try:
            context = Context(kept, self.pool.apart)
            answers = await asyncio.gather(*(self.one(step, item, context) for item in items), return_exceptions=True)
        finally:
            kept.close()
        results: list[Record | Reject] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            results.append(answer)
        return results, 0.0

    async def one(self, step: AsyncStep[Any, Any], item: Any, context: Context) -> Record | Reject:
        """The result of one item, once there is room for it.

        Raises:
            Stop, OutputError, ConfigError: no answer, or none that could be kept; the brake is pulled.
            Ending: it was not begun.
        """
        async with self.gates[step.name], self.brake.admitted():
            try:
                result: Record | Reject = await step.one(item, context)
            except ENDS_RUN as error:
                self.brake.pull(error)
                raise
            except Exception as error:  # noqa: BLE001 - whatever happens to one item, the others keep their results
                result = step.failed(item, error)
        self.progress.advance(step.name, 1)
        return result

    async def connect(self, step: AsyncStep[Any, Any]) -> None:
        async with self.connecting:  # two lanes may come to a step at once
            if step not in self.connected:
                await step.connect()
                self.connected.append(step)

    async def disconnect(self) -> None:
        for step in self.connected:
            await step.disconnect()
