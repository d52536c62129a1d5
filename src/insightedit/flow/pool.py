"""Worker processes: a batch goes in, one result per item comes out, whatever happens to the worker.

Pebble keeps the pool alive when a worker dies and says whose batch it had; here the batch is then halved until the one
item that kills workers is known. A step that raises is asked again item by item, so the others survive.

Steps with models (`Step.share`) get workers of their own, one per GPU, which see that GPU only. Without a GPU, or where
their place names another device, they run in the ordinary workers.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from insightedit.core.errors import Unfit
from insightedit.core.record import Record, Reject
from insightedit.flow.devices import visible_devices
from insightedit.flow.step import ENDS_RUN, Step

TRIES = 2  # a worker may also die innocently (killed, out of memory): once more before an item is blamed
LOAD_S = 900.0  # what a step with models may take beside its items: the first batch waits until they are loaded
_ready: dict[str, Step[Any, Any]] = {}  # in a worker: steps that are set up, by fingerprint; the last used is last
_resting: dict[str, Step[Any, Any]] = {}  # those that were released: their models may wait in main memory

Results = list[Record | Reject]
R = TypeVar("R")


class Pool:
    """`workers` processes; 0 runs everything in this process (debugging, tests, bare timings).

    Args:
        workers: how many processes.
        timeout_s: seconds that one item may take before it is given up.
        devices: values of CUDA_VISIBLE_DEVICES, one for each worker with a GPU; None looks for them when a step asks.
    """

    def __init__(self, workers: int, timeout_s: float, devices: Sequence[str] | None = None) -> None:
        self.workers, self.timeout_s, self.devices = workers, timeout_s, devices
        self.processes: ProcessPool | None = None
        self.owners: list[_Owner] | None = None  # of a GPU each; None until a step asks for one

    def __enter__(self) -> Pool:
        _forget()  # without workers: a step of an earlier run may read from another root under the same mark
        if self.workers:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process per core: more threads only trip each other
            self.processes = _processes(self.workers, _start_worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        every = [self.processes] if self.processes else []
        every += [owner.processes for owner in self.owners or []]
        for processes in every:  # all are told before any is waited for
            if error:
                processes.stop()  # type: ignore[no-untyped-call]
            else:
                processes.close()  # type: ignore[no-untyped-call]
        for processes in every:
            processes.join()
        _forget()

    async def run(self, step: Step[Any, Any], mark: str, batch: Sequence[Any]) -> tuple[Results, float]:
        """Results in order and the CPU seconds they took."""
        for attempt in range(1, TRIES + 1):
            try:
                return await self._call(step, mark, batch)
            except (ProcessExpired, TookTooLong) as error:
                if len(batch) > 1:
                    return await self._halves(step, mark, batch)
                timed_out = isinstance(error, TookTooLong)
                if timed_out or attempt == TRIES:
                    return [step.failed(batch[0], self._accusation(error))], 0.0
        raise AssertionError("unreachable: the last try returns")

    async def apart(self, function: Callable[..., R], *arguments: Any) -> R:
        """What a function of a module returns; it runs in an ordinary worker.

        Raises:
            Unfit: worker_died, timed_out.
            Exception: whatever the function raises.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return await self._scheduled(self.processes, self.timeout_s, function, *arguments)
            except (ProcessExpired, TookTooLong) as error:
                if attempt == TRIES or isinstance(error, TookTooLong):
                    raise self._accusation(error) from error
        raise AssertionError("unreachable: the last try returns or raises")

    async def _call(self, step: Step[Any, Any], mark: str, batch: Sequence[Any]) -> tuple[Results, float]:
        limit = self.timeout_s * len(batch) + (LOAD_S if step.share() else 0)
        owner = self._owner(step)
        if owner is None:
            return await self._scheduled(self.processes, limit, _work, step, mark, batch)
        owner.waiting += 1
        try:
            return await self._scheduled(owner.processes, limit, _work, step, mark, batch)
        finally:
            owner.waiting -= 1

    async def _scheduled(
        self, processes: ProcessPool | None, limit_s: float, function: Callable[..., R], *arguments: Any
    ) -> R:
        if processes is None:
            return function(*arguments)
        return await asyncio.wrap_future(processes.schedule(function, args=arguments, timeout=limit_s))

    def _owner(self, step: Step[Any, Any]) -> _Owner | None:
        """The worker with a GPU that has least to do; None for a step that needs none, and where there is none."""
        if not self.workers or not step.share() or step.place.device not in ("auto", "cuda"):
            return None
        if self.owners is None:
            devices = visible_devices() if self.devices is None else self.devices
            self.owners = [_Owner(_processes(1, _start_owner, device)) for device in devices]
        return min(self.owners, key=lambda owner: owner.waiting, default=None)

    async def _halves(self, step: Step[Any, Any], mark: str, batch: Sequence[Any]) -> tuple[Results, float]:
        middle = len(batch) // 2
        halves = await asyncio.gather(self.run(step, mark, batch[:middle]), self.run(step, mark, batch[middle:]))
        return halves[0][0] + halves[1][0], halves[0][1] + halves[1][1]

    def _accusation(self, error: BaseException) -> Unfit:
        if isinstance(error, ProcessExpired):
            return Unfit("worker_died", f"exit code {error.exitcode}, {TRIES} times", "a step that survives it")
        return Unfit("timed_out", f"more than {self.timeout_s:g} s", f"at most {self.timeout_s:g} s")


@dataclass
class _Owner:
    """A worker that owns a GPU."""

    processes: ProcessPool
    waiting: int = 0  # batches sent to it and not yet answered


def _processes(workers: int, initializer: Callable[..., None], *arguments: Any) -> ProcessPool:
    context = multiprocessing.get_context("spawn")
    return ProcessPool(max_workers=workers, context=context, initializer=initializer, initargs=arguments)


def _start_owner(device: str) -> None:
    """CUDA reads this once, when torch first uses it; nothing has imported torch yet."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    _start_worker()


def _start_worker() -> None:
    import cv2

    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=[parent], daemon=True).start()


def _die_with(parent: multiprocessing.process.BaseProcess) -> None:
    """kill -9 of the driver leaves no orphan behind."""
    parent.join()
    os._exit(1)


def _forget() -> None:
    _ready.clear()
    _resting.clear()


def _work(step: Step[Any, Any], mark: str, batch: Sequence[Any]) -> tuple[Results, float]:
    """In the worker."""
    started = time.process_time()
    return _guarded(_set_up(step, mark), batch), time.process_time() - started


def _set_up(step: Step[Any, Any], mark: str) -> Step[Any, Any]:
    """The step, ready to work; where its models would not fit beside the others', those used longest ago leave."""
    ready = _ready.pop(mark, None)
    if ready is None:
        heavy = [other for other, there in _ready.items() if there.share()]
        while step.share() and heavy and step.share() + sum(_ready[other].share() for other in heavy) > 1:
            oldest = heavy.pop(0)
            _resting[oldest] = _ready.pop(oldest)
            _resting[oldest].release()
        ready = _resting.pop(mark, step)
        ready.setup()
    _ready[mark] = ready
    return ready


def _guarded(step: Step[Any, Any], batch: Sequence[Any]) -> Results:
    try:
        results = step.process(batch)
        if len(results) != len(batch):
            raise AssertionError(f"step '{step.name}' gave {len(results)} results for {len(batch)} items")
        return results
    except ENDS_RUN:
        raise
    except Exception as error:  # noqa: BLE001 - cv2.error, struct.error and SyntaxError share no narrower base
        if len(batch) == 1:
            return [step.failed(batch[0], error)]
    return [result for item in batch for result in _guarded(step, [item])]
