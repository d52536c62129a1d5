"""Worker processes: a batch goes in, one result per item comes out, whatever happens to the worker.

Pebble keeps the pool alive when a worker dies and says whose batch it had; here the batch is then halved until the one
item that kills workers is known. A step that raises is asked again item by item, so the others survive.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError as TookTooLong
from types import TracebackType
from typing import Any

from pebble import ProcessExpired, ProcessPool

from insightedit.core.errors import Unfit
from insightedit.core.record import Record, Reject
from insightedit.flow.step import Step

TRIES = 2  # a worker may also die innocently (killed, out of memory): once more before an item is blamed
_ready: dict[str, Step[Any, Any]] = {}  # in a worker: steps that are set up, by fingerprint

Results = list[Record | Reject]


class Pool:
    """`workers` processes; 0 runs everything in this process (debugging, tests, bare timings).

    Args:
        workers: how many processes.
        timeout_s: seconds that one item may take before it is given up.
    """

    def __init__(self, workers: int, timeout_s: float) -> None:
        self.workers, self.timeout_s = workers, timeout_s
        self.processes: ProcessPool | None = None

    def __enter__(self) -> Pool:
        _ready.clear()  # without workers: a step of an earlier run may read from another root under the same mark
        if self.workers:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process per core: more threads only trip each other
            context = multiprocessing.get_context("spawn")
            self.processes = ProcessPool(max_workers=self.workers, context=context, initializer=_start_worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.processes:
            if error:
                self.processes.stop()  # type: ignore[no-untyped-call]
            else:
                self.processes.close()  # type: ignore[no-untyped-call]
            self.processes.join()

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
                    return [self._blame(step, batch[0], error)], 0.0
        raise AssertionError("unreachable: the last try returns")

    async def _call(self, step: Step[Any, Any], mark: str, batch: Sequence[Any]) -> tuple[Results, float]:
        if self.processes is None:
            return _work(step, mark, batch)
        limit = self.timeout_s * len(batch)
        return await asyncio.wrap_future(self.processes.schedule(_work, args=[step, mark, batch], timeout=limit))

    async def _halves(self, step: Step[Any, Any], mark: str, batch: Sequence[Any]) -> tuple[Results, float]:
        middle = len(batch) // 2
        halves = await asyncio.gather(self.run(step, mark, batch[:middle]), self.run(step, mark, batch[middle:]))
        return halves[0][0] + halves[1][0], halves[0][1] + halves[1][1]

    def _blame(self, step: Step[Any, Any], item: Any, error: BaseException) -> Reject:
        if isinstance(error, ProcessExpired):
            return step.reject(
                item, "worker_died", f"exit code {error.exitcode}, {TRIES} times", "a step that survives it"
            )
        return step.reject(item, "timed_out", f"more than {self.timeout_s:g} s", f"at most {self.timeout_s:g} s")


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


def _work(step: Step[Any, Any], mark: str, batch: Sequence[Any]) -> tuple[Results, float]:
    """In the worker."""
    started = time.process_time()
    if mark not in _ready:
        step.setup()
        _ready[mark] = step
    return _guarded(_ready[mark], batch), time.process_time() - started


def _guarded(step: Step[Any, Any], batch: Sequence[Any]) -> Results:
    try:
        results = step.process(batch)
        if len(results) != len(batch):
            raise AssertionError(f"step '{step.name}' gave {len(results)} results for {len(batch)} items")
        return results
    except Unfit as error:
        if len(batch) == 1:
            return [step.reject(batch[0], error.reason, error.seen, error.wanted)]
    except Exception as error:  # noqa: BLE001 - cv2.error, struct.error and SyntaxError share no narrower base
        if len(batch) == 1:
            return [step.reject(batch[0], "step_failed", f"{type(error).__name__}: {error}"[:300], "no error")]
    return [result for item in batch for result in _guarded(step, [item])]
