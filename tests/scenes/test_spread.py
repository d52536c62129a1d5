"""Drawing in several processes: the same pairs in the same order."""

from __future__ import annotations

import os
import signal
from itertools import count, islice

import pytest

from insightedit.core.errors import BackendError
from insightedit.scenes.spread import rendered, spread


def test_no_byte_depends_on_the_processes_or_on_where_one_starts():
    alone = list(rendered(40, 32, seed=6))
    shared = list(rendered(40, 32, seed=6, workers=2))
    later = list(rendered(5, 32, seed=6, start=20))
    for one, other in zip(alone, shared, strict=True):
        assert one.pair == other.pair and (one.before.image == other.before.image).all()
        assert (one.after.image == other.after.image).all()
    assert [one.pair for one in later] == [one.pair for one in alone[20:25]]


def test_endless_numbers_may_be_left_early():
    assert list(islice(spread(list, count(3)), 5)) == [3, 4, 5, 6, 7]
    results = spread(list, count(), 2)
    assert list(islice(results, 40)) == list(range(40))
    results.close()


def killed(numbers):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_an_error_that_says_so():
    with pytest.raises(BackendError, match="was killed"):
        list(spread(killed, range(40), 2))


def test_a_failure_in_a_process_reaches_the_caller():
    with pytest.raises(TypeError):
        list(spread(len, range(40), 2))
