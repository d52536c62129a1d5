"""As many at once as memory allows, one result per item whatever happens."""

from __future__ import annotations

import gc
import random
import weakref

import pytest

from insightedit.backends import batching
from insightedit.backends.batching import BatchSize, each_of, in_batches
from insightedit.core.device import is_out_of_memory
from insightedit.core.errors import BackendError, Stop, Unfit


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


class Device:
    """Doubles numbers; `room` items fit at once."""

    def __init__(self, room: int, error: Exception | None = None, bad: dict[int, Exception] | None = None) -> None:
        self.room, self.bad, self.sizes = room, bad or {}, []
        self.error = error or OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def __call__(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise self.error
        for item in batch:
            if item in self.bad:
                raise self.bad[item]
        return [2 * item for item in batch]


@pytest.mark.parametrize("size", [1, 2, 7, 23, 100])
def test_every_size_gives_equal_results_in_order(size):
    assert in_batches(range(23), size, Device(100)) == [2 * item for item in range(23)]


def test_nothing_in_nothing_out():
    device = Device(8)
    assert in_batches([], 8, device) == [] and device.sizes == []


def test_a_batch_that_does_not_fit_is_halved_and_the_rest_goes_in_the_smaller_size():
    device = Device(room=3)
    assert in_batches(range(11), 8, device) == [2 * item for item in range(11)]
    assert device.sizes == [8, 4, 2, 2, 2, 2, 2, 1]


def test_what_fitted_is_remembered_from_call_to_call():
    device, size = Device(room=3), BatchSize(8)
    for _ in range(2):
        assert in_batches(range(8), size, device) == [2 * item for item in range(8)]
    assert size.now == 2 and device.sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_an_item_that_does_not_fit_even_alone_is_told_and_the_others_go_on():
    full = OutOfMemoryError("CUDA out of memory")
    results = in_batches(range(5), 4, Device(8, bad={2: full}))
    assert results == [0, 2, full, 6, 8]


def test_an_item_that_fails_costs_only_itself_and_no_batch_size():
    size, wrong, unfit = BatchSize(8), KeyError("broken"), Unfit("odd", "seen", "wanted")
    device = Device(8, bad={3: wrong, 12: unfit})
    results = in_batches(range(16), size, device)
    assert results == [wrong if item == 3 else unfit if item == 12 else 2 * item for item in range(16)]
    assert size.now == 8 and len(device.sizes) <= 2 * (1 + 2 * 3), "found by halving, not one by one"


def test_any_mixture_of_room_size_and_bad_items_gives_one_right_result_per_item(monkeypatch):
    monkeypatch.setattr(batching, "free_memory", lambda: None)  # takes its time, and frees nothing here
    rng = random.Random(0)
    for seed in range(300):
        count, size, room = rng.randrange(30), rng.randrange(1, 12), rng.randrange(1, 12)
        bad = {item: ValueError(item) for item in range(count) if rng.random() < 0.15}
        results = in_batches(range(count), size, Device(room, bad=bad))
        assert results == [bad.get(item, 2 * item) for item in range(count)], f"case {seed}"


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 64 bytes"),
    ],
)
def test_every_way_to_say_out_of_memory_is_understood(error):
    assert is_out_of_memory(error)
    assert in_batches(range(6), 6, Device(2, error)) == [2 * item for item in range(6)]


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


@pytest.mark.slow  # imports torch
def test_torch_s_own_error_is_understood():
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))


def test_what_a_failed_attempt_held_is_free_before_the_next_one():
    class Tensor:
        """Something large."""

    alive, most = [], []

    def run(batch):
        gc.disable()  # a cycle that only the collector finds would hide here
        most.append(sum(ref() is not None for ref in alive))
        held = Tensor()
        alive.append(weakref.ref(held))
        if len(batch) > 1:
            try:
                raise KeyError("inner")
            except KeyError as inner:
                raise OutOfMemoryError("CUDA out of memory") from inner
        if batch[0] == 2:
            raise ValueError("bad")
        return [0]

    try:
        results = in_batches(range(4), 4, run)
    finally:
        gc.enable()
    assert most == [0] * len(most)
    assert isinstance(results[2], ValueError) and not any(ref() for ref in alive), "a kept error keeps no tensor"


def test_a_stop_is_nobody_s_result():
    stop = Stop("the key is refused", "401", "Set another")
    with pytest.raises(Stop):
        in_batches(range(4), 2, Device(8, bad={1: stop}))


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_holds_nothing_is_refused(size):
    with pytest.raises(ValueError, match="hold nothing"):
        in_batches([1], size, Device(8))


def test_a_function_that_forgets_a_result_is_refused():
    with pytest.raises(ValueError, match="1 results for 2 items"):
        in_batches([1, 2], 2, lambda batch: [0])


def test_one_failing_item_is_a_backend_error_and_memory_has_its_own_mend():
    def run(items):
        if 3 in items:
            raise RuntimeError("CUDA out of memory")
        return [2 * one for one in items]

    assert each_of("net failed", [1, 2], 2, run, "Try another") == [2, 4]
    with pytest.raises(BackendError, match="float16"):
        each_of("net failed", [1, 2, 3], 2, run, "Try another")
