"""Work on numbered items in several processes: results in order, memory flat, the same with any number of processes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from insightedit.core.errors import BackendError
from insightedit.scenes.render import Rendered, render_pair
from insightedit.scenes.sampling import pair_seed, sample

T = TypeVar("T")
BATCH = 16  # items a message between processes
AHEAD = 3  # batches that a process may be ahead


def spread(make: Callable[[Sequence[int]], list[T]], numbers: Iterable[int], workers: int = 0) -> Iterator[T]:
    """`make` of batches of the numbers, one result after the other, in order.

    Args:
        make: a function of a module (it travels to other processes), one list for a batch of numbers.
        numbers: may be endless; read a few batches ahead.
        workers: processes; 0 and 1 work in this one.

    Raises:
        BackendError: a process was killed.
    """
    batches = _batches(iter(numbers))
    if workers < 2:
        for batch in batches:
            yield from make(batch)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[list[T]]] = deque(pool.submit(make, one) for one in islice(batches, workers * AHEAD))
        try:
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(make, one) for one in islice(batches, 1))
                yield from done
        except BrokenProcessPool as error:
            what, why = "the work on scenes stopped", "one of its processes was killed, by lack of memory perhaps"
            raise BackendError(what, why, "Use fewer --workers; 0 needs no other process") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(numbers: Iterator[int]) -> Iterator[tuple[int, ...]]:
    while batch := tuple(islice(numbers, BATCH)):
        yield batch


class _Draw:
    """Draws the pairs of a run; an object, because a function inside a function does not travel."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size

    def __call__(self, numbers: Sequence[int]) -> list[Rendered]:
        return [render_pair(sample(pair_seed(self.seed, number)), self.size) for number in numbers]


def rendered(count: int, size: int = 64, seed: int = 0, workers: int = 0, start: int = 0) -> Iterator[Rendered]:
    """Pairs number `start` to `start + count` of a run, drawn.

    Args:
        count: how many.
        size: side in px, 32..256.
        seed: of the run.
        workers: processes; 0 and 1 work in this one. No byte depends on it.
        start: number of the first.
    """
    return spread(_Draw(seed, size), range(start, start + count), workers)
