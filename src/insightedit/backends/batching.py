"""As many at once as memory allows: a batch that does not fit is halved, and one bad item does not spoil its batch."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from insightedit.core.device import free_memory, is_out_of_memory
from insightedit.core.errors import BackendError, InsightEditError, Stop, one_line

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class BatchSize:
    """How many at once at most; shrinks when memory runs out and stays so, from call to call."""

    now: int


def in_batches(
    items: Sequence[T], size: int | BatchSize, run: Callable[[Sequence[T]], Sequence[R]]
) -> list[R | Exception]:
    """Run a function on batches: one result per item, in order.

    Out of memory: the batch is halved, and what follows goes in batches no larger than the halves. Any other error of
    a batch: its halves are tried, until the items that fail alone are known. The error is such an item's result, free
    of the tensors that it held.

    Args:
        items: what to run on.
        size: how many at once at most; a `BatchSize` remembers what fitted for the next call.
        run: one result per item, in order. It may be called again with the same items, so it must not change them.

    Raises:
        Stop: `run` raised it.
        ValueError: `size` is below 1, or `run` gave another number of results than it got items.
    """
    size = BatchSize(size) if isinstance(size, int) else size
    if size.now < 1:
        raise ValueError(f"batches of {size.now} items hold nothing")
    results: list[R | Exception] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size.now]
        answer = _tried(batch, run)
        if not isinstance(answer, Exception):
            if len(answer) != len(batch):
                raise ValueError(f"{len(answer)} results for {len(batch)} items")
            results += answer
            continue
        memory = is_out_of_memory(answer)
        if memory:
            free_memory()  # not in `_tried`: here the frames of the failed attempt are gone, and what they held
        if len(batch) == 1:
            results.append(answer)
        elif memory:
            size.now = len(batch) // 2
        else:
            middle = len(batch) // 2
            results += in_batches(batch[:middle], size, run) + in_batches(batch[middle:], size, run)
    return results


def _tried(batch: Sequence[T], run: Callable[[Sequence[T]], Sequence[R]]) -> Sequence[R] | Exception:
    try:
        return run(batch)
    except Stop:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a network raises is the item's result, not the run's end
        link: BaseException | None = error
        while link is not None:  # a traceback keeps every local of its frames alive: the very tensors that did not fit
            traceback.clear_frames(link.__traceback__)
            link = link.__cause__ or link.__context__
        return error


def each_of(
    what: str, items: Sequence[T], size: int | BatchSize, run: Callable[[Sequence[T]], Sequence[R]], mend: str
) -> list[R]:
    """One result per item through `in_batches`; an item without one ends it.

    Args:
        what: what could not be done, for the error.
        items, size, run: as `in_batches`.
        mend: what to do about a failure that is not for want of memory.

    Raises:
        BackendError: one item failed by itself.
        InsightEditError: as `run` raised it.
    """
    results: list[R] = []
    for result in in_batches(items, size, run):
        if isinstance(result, InsightEditError):
            raise result
        if isinstance(result, Exception):
            less = "Use another device or dtype float16"
            why = f"{type(result).__name__}: {one_line(result)}"
            raise BackendError(what, why, less if is_out_of_memory(result) else mend) from result
        results.append(result)
    return results
