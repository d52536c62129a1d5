"""Workers that raise, hang, die and are killed: one result per item, in order, whatever happens."""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import ClassVar

import heavy
import pytest
from heavy import Computing, Heavy, HeavyKnobs, Light, Other
from toys import Lossy, Number, Plus, Times, Toy, ToyKnobs

from insightedit.core.errors import ConfigError, Stop, Unfit
from insightedit.core.record import Reject
from insightedit.flow.pool import Pool
from insightedit.flow.step import Place


@pytest.fixture(scope="module")
def two_workers():
    with Pool(2, 20) as pool:
        yield pool


@pytest.fixture(params=[0, 2], ids=["in this process", "two workers"])
def pool(request, two_workers):
    return two_workers if request.param else Pool(0, 20)


def work(pool: Pool, toys: list[Toy], step=None, size: int = 4) -> list:
    async def all_at_once() -> list:
        one = step or Times(ToyKnobs())
        batches = [toys[at : at + size] for at in range(0, len(toys), size)]
        answers = await asyncio.gather(*(pool.run(one, f"mark of {one.name}", batch) for batch in batches))
        return [result for results, _ in answers for result in results]

    return asyncio.run(all_at_once())


def survivors(results: list) -> list[int | None]:
    return [None if isinstance(result, Reject) else result.value for result in results]


def test_there_is_one_result_per_item_in_order(pool):
    assert survivors(work(pool, [Toy(number) for number in range(23)])) == [2 * number for number in range(23)]


@pytest.mark.parametrize("deed", ["raise key", "raise cv2", "raise syntax", "raise stop", "cv"])
def test_a_step_that_raises_loses_only_the_item_that_it_raised_for(pool, deed):
    results = work(pool, [Toy(number, deed if number == 5 else "") for number in range(8)])
    assert survivors(results) == [0, 2, 4, 6, 8, None, 12, 14]
    assert (results[5].reason, results[5].photo_id, results[5].step) == ("step_failed", "toy 5", "times")
    assert "Error" in results[5].seen or "error" in results[5].seen or "Stop" in results[5].seen


def test_an_unfit_item_leaves_with_its_own_reason(pool):
    results = work(pool, [Toy(0), Toy(1, "unfit"), Toy(2, "reject"), Toy(3)])
    assert survivors(results) == [0, None, None, 6]
    assert (results[1].reason, results[1].seen, results[1].wanted) == ("odd", "seen", "wanted")
    assert results[2].reason == "refused"


def test_a_step_that_forgets_a_result_is_asked_item_by_item(pool):
    assert survivors(work(pool, [Toy(number) for number in range(6)], Lossy(ToyKnobs()))) == list(range(6))


@pytest.mark.parametrize(("deed", "code", "size"), [("kill", "-9", 2), ("exit 3", "3", 1)])
def test_an_item_that_kills_its_worker_is_blamed_alone(two_workers, deed, code, size):
    toys = [Toy(number, deed if number == 6 else "") for number in range(10)]
    results = work(two_workers, toys, size=size)
    assert survivors(results) == [0, 2, 4, 6, 8, 10, None, 14, 16, 18]
    assert results[6].reason == "worker_died" and f"exit code {code}" in results[6].seen


@pytest.mark.slow
def test_several_killers_are_found_in_one_batch(two_workers):
    results = work(two_workers, [Toy(number, "kill" if number in (1, 3) else "") for number in range(4)])
    assert survivors(results) == [0, None, 4, None]


@pytest.mark.parametrize("alone", [True, False])
def test_a_healthy_worker_killed_once_loses_nothing(two_workers, tmp_path, alone):
    toys = [Toy(number, f"once {tmp_path / 'mark'}" if number == 0 else "") for number in range(1 if alone else 6)]
    assert survivors(work(two_workers, toys)) == [2 * number for number in range(len(toys))]


def test_an_item_that_hangs_is_given_up_alone():
    with Pool(1, 0.5) as pool:
        work(pool, [Toy(0)])  # the worker is up
        started = time.perf_counter()
        results = work(pool, [Toy(0), Toy(1, "sleep 60")])
        assert survivors(results) == [0, None] and results[1].reason == "timed_out"
        assert results[1].seen == "more than 0.5 s"
        assert time.perf_counter() - started < 30


def test_steps_are_set_up_once_per_worker_and_anew_in_a_new_pool():
    class Counted(Times):
        name, version, value = "counted", "1", Number
        made: ClassVar[list[str]] = []

        def __init__(self, knobs, root):
            super().__init__(knobs)
            self.root = root

        def setup(self):
            self.made.append(self.root)

        def process(self, batch):
            return [Number(value=len(self.root)) for _ in batch]

    for root in ("a", "abc"):  # two runs in one process whose steps differ in nothing that a fingerprint sees
        with Pool(0, 20) as pool:
            results = work(pool, [Toy(number) for number in range(9)], Counted(ToyKnobs(), root))
        assert survivors(results) == [len(root)] * 9
    assert Counted.made == ["a", "abc"]


def test_a_failure_in_the_driver_stops_the_pool():
    with pytest.raises(KeyboardInterrupt), Pool(1, 20):
        raise KeyboardInterrupt


def test_steps_and_their_knobs_travel():
    step = pickle.loads(pickle.dumps(Plus(ToyKnobs(by=7), seed=3)))  # noqa: S301 - our own bytes
    assert (step.knobs.by, step.seed) == (7, 3)


def told_by(pool: Pool, step: Heavy, count: int = 8) -> list[list[str]]:
    """What each item was told of the process that it was in: id, GPUs, setups, torch, size of the batch."""
    size = step.portion()
    results = work(pool, [Toy(number) for number in range(count)], step, size)
    return [result.blob.decode().split() for result in results]


@pytest.fixture(scope="module")
def with_gpus():
    with Pool(1, 20, devices=["7", "MIG-8"]) as pool:
        yield pool


def test_a_step_with_a_model_runs_in_workers_that_own_one_gpu_each_and_see_no_other(with_gpus):
    told = told_by(with_gpus, Heavy(HeavyKnobs()))
    assert {(process, gpu) for process, gpu, *_ in told} == {(told[0][0], "7"), (told[2][0], "MIG-8")}
    assert {setups for _, _, setups, *_ in told} == {"1"}, "a model is loaded once per worker"
    assert {torch for *_, torch, _ in told} == {"False"}, "torch must not have looked for GPUs before"


@pytest.mark.parametrize(
    "step",
    [
        Computing(HeavyKnobs()),
        Heavy(HeavyKnobs(place=Place(device="cpu"))),
        Heavy(HeavyKnobs(place=Place(device_share=0))),
    ],
)
def test_steps_without_a_model_or_for_another_device_run_in_ordinary_workers(with_gpus, step):
    assert {gpu for _, gpu, *_ in told_by(with_gpus, step)} == {"all"}


def test_without_a_gpu_a_step_with_a_model_runs_in_ordinary_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with Pool(1, 20) as pool:
        assert len(told_by(pool, Heavy(HeavyKnobs()))) == 8 and pool.owners == []


def test_a_worker_lets_go_of_the_models_used_longest_ago_when_the_next_do_not_fit_beside_them():
    Heavy.told.clear()
    with Pool(0, 20) as pool:
        for step in (Heavy, Computing, Light, Heavy, Other, Light, Heavy):
            work(pool, [Toy(0)], step(HeavyKnobs()))
    assert Heavy.told == [
        "+heavy", "heavy", "+computing", "computing", "+light", "light",  # 0.6 + 0.4: both stay
        "heavy", "-light", "-heavy", "+other", "other",  # 0.6 beside 0.6 + 0.4 does not fit
        "+light", "light", "-other", "+heavy", "heavy",
    ]  # fmt: skip


def test_a_released_step_is_set_up_again_as_the_same_object_so_that_it_can_keep_its_model_in_main_memory():
    with Pool(0, 20) as pool:
        setups = [told_by(pool, step(HeavyKnobs()), 1)[0][2] for step in (Heavy, Other, Heavy, Other)]
    assert setups == ["1", "1", "2", "2"]


def test_the_batch_size_is_a_knob(with_gpus):
    for size in (1, 3):
        told = told_by(with_gpus, Heavy(HeavyKnobs(place=Place(batch_size=size))), 3)
        assert {batch for *_, batch in told} == {str(size)}


@pytest.mark.parametrize(("deed", "kind"), [("stop", Stop), ("config", ConfigError)])
def test_errors_that_are_no_item_s_fault_leave_the_pool_as_they_are(with_gpus, deed, kind):
    with pytest.raises(kind):
        work(with_gpus, [Toy(number, deed) for number in range(4)], Heavy(HeavyKnobs()))


def test_a_function_can_run_apart(with_gpus):
    import os

    word, process = asyncio.run(with_gpus.apart(heavy.shout, "loud")).split()
    assert word == "LOUD" and int(process) != os.getpid()
    with pytest.raises(KeyError, match="broken"):
        asyncio.run(with_gpus.apart(heavy.fall, "broken"))
    with pytest.raises(Unfit) as blamed:
        asyncio.run(with_gpus.apart(heavy.fall, "die"))
    assert (blamed.value.reason, blamed.value.seen) == ("worker_died", "exit code 3, 2 times")


def test_a_function_apart_that_hangs_is_given_up():
    with Pool(1, 1) as pool, pytest.raises(Unfit, match="timed_out: more than 1 s"):
        asyncio.run(pool.apart(time.sleep, 60))
