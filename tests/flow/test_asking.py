"""Steps that ask others: nothing is paid for twice, one bad item costs only itself, and a run ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paid
import pytest
from paid import Ask, AskKnobs, Service, asking_line, run_here
from toys import Number, Square, Times, Toy, ToyKnobs, drive, line, shards

from insightedit.core.errors import ConfigError, OutputError, Stop
from insightedit.flow import brake, journal
from insightedit.flow.journal import Journal
from insightedit.flow.local import Line, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import Place

TOYS = [Toy(number) for number in range(23)]
WANTED = [(f"toy {number}", (2 * number + 1) ** 2) for number in range(23)]
main_thread_only = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread only"
)


@pytest.fixture
def service():
    with Service() as service:
        yield service


def kept_in(root: Path) -> set[str]:
    """Questions whose answers lie in journals, read without opening (and so mending) them."""
    lines = [text for path in root.glob("journal-*.jsonl") for text in path.read_bytes().splitlines(keepends=True)]
    return {found[0] for found in map(journal._parsed, lines) if found}


def signal_once(is_time: Callable[[], object], *numbers: signal.Signals) -> None:
    """Signals to this process, the first once something has happened; by then the run is ready for them."""

    def send():
        while not is_time():
            time.sleep(0.01)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    threading.Thread(target=send, daemon=True).start()


def rejects_of(the_line: Line, toys: list[Toy]) -> set[tuple[str, str, str]]:
    left = [reject for _, rejects in the_line.results(shards(toys)) for reject in rejects]
    return {(reject.photo_id, reject.step, reject.reason) for reject in left}


def test_asking_gives_what_computing_gives_and_asks_everything_once(tmp_path, service):
    with Pool(0, 30) as pool:
        computed = drive(line(tmp_path / "computed"), TOYS, pool)
    assert run_here(asking_line(tmp_path / "asked", service.port), TOYS) == computed == WANTED
    assert set(service.asked.values()) == {1} and len(service.asked) == 2 * 23


def test_finished_work_is_not_asked_for_again_and_journals_are_gone(tmp_path, service):
    for _ in range(2):
        the_line = asking_line(tmp_path, service.port)
        assert run_here(the_line, TOYS) == WANTED
        assert not list(tmp_path.glob("journal*"))
    assert set(service.asked.values()) == {1}
    assert the_line.steps[1].connects == 0, "nothing was left to ask, so nobody needs to be reached"


def test_a_line_that_asks_nobody_has_no_journal(tmp_path):
    with Pool(0, 30) as pool:
        drive(line(tmp_path), TOYS, pool)
    assert not list(tmp_path.glob("journal*"))


def test_a_changed_later_step_asks_nothing_again(tmp_path, service):
    run_here(asking_line(tmp_path, service.port), TOYS)
    changed = run_here(asking_line(tmp_path, service.port, by=3), TOYS)
    assert changed == [(f"toy {number}", (2 * number + 1) ** 3) for number in range(23)]
    assert set(service.asked.values()) == {1}


def test_an_item_that_fails_costs_only_itself(tmp_path, service):
    deeds = {4: "early", 9: "late", 17: "reject", 20: "apart"}
    mixed = [Toy(number, deeds.get(number, "")) for number in range(23)]
    the_line = asking_line(tmp_path, service.port)
    # `Times` meets the deeds first and knows only "reject": let it pass
    the_line = Line([Deaf(ToyKnobs()), *the_line.steps[1:]], "source", Manifest(tmp_path))
    assert run_here(the_line, mixed) == [pair for pair in WANTED if pair[0] not in ("toy 4", "toy 9", "toy 17")]
    wanted = {("toy 4", "plus", "odd"), ("toy 9", "plus", "step_failed"), ("toy 17", "plus", "refused")}
    assert rejects_of(the_line, mixed) == wanted


class Deaf(Times):
    """`Times` without misdeeds."""

    name, version, value = "times", "1", Number

    def _one(self, item):
        return Number(value=item.number * self.knobs.by)


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_items_are_awaited_at_once_than_allowed(tmp_path, in_flight):
    with Service(pause_s=0.01) as service:
        assert run_here(asking_line(tmp_path, service.port, in_flight=in_flight), TOYS) == WANTED
        assert service.most == in_flight  # over both lanes


def test_a_spent_budget_ends_the_run_keeps_what_was_paid_and_the_next_run_pays_the_rest(tmp_path):
    with Service(pause_s=0.01) as service:
        with pytest.raises(Stop, match="the budget is spent"):
            run_here(asking_line(tmp_path, service.port, budget=19), TOYS)
        assert sum(service.asked.values()) == service.answered == 19  # what was under way was waited for
        done = {f"{turn} {2 * number}" for number in range(23) for turn in range(2) if _is_done(tmp_path, number)}
        assert kept_in(tmp_path) | done == set(service.asked)
        assert run_here(asking_line(tmp_path, service.port), TOYS) == WANTED
        assert set(service.asked.values()) == {1}


def _is_done(root: Path, number: int) -> bool:
    the_line = asking_line(root, 0)
    return the_line.is_done(number // 5, the_line.steps[1])


def test_a_stop_lets_other_shards_finish_the_step_they_are_in(tmp_path):
    slow = Times(ToyKnobs(by=2, pause_s=0.1))
    the_line = Line([slow, Ask(AskKnobs(), 0, budget=0), Square(ToyKnobs())], "source", Manifest(tmp_path))
    with pytest.raises(Stop), Pool(1, 30) as pool:
        asyncio.run(run(the_line, shards(TOYS), pool, Silent()))
    assert [the_line.is_done(number, slow) for number in range(5)] == [True, True, False, False, False]


@pytest.mark.parametrize("kind", [OutputError, ConfigError])
def test_errors_that_are_no_item_s_fault_end_the_run_and_reject_nothing(tmp_path, service, monkeypatch, kind):
    async def broken(*_):
        raise kind("what", "why", "mend")

    monkeypatch.setattr(Ask, "_asked", broken)
    the_line = asking_line(tmp_path, service.port)
    with pytest.raises(kind):
        run_here(the_line, TOYS)
    assert not the_line.is_done(0, the_line.steps[1])
    monkeypatch.undo()
    assert run_here(asking_line(tmp_path, service.port), TOYS) == WANTED


def test_a_full_disk_under_the_journal_ends_the_run_and_costs_the_answers_in_flight_at_most(
    tmp_path, service, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_sync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        run_here(asking_line(tmp_path, service.port), TOYS)
    assert sum(service.asked.values()) <= 4  # as many as may be in flight
    monkeypatch.undo()
    assert run_here(asking_line(tmp_path, service.port), TOYS) == WANTED


@main_thread_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_what_is_paid_so_that_nothing_is_asked_twice(tmp_path, number):
    before = signal.getsignal(number)
    with Service(pause_s=0.05) as service:
        signal_once(lambda: service.answered > 9, number)
        with pytest.raises(KeyboardInterrupt):
            run_here(asking_line(tmp_path, service.port), [Toy(number) for number in range(500)])
        assert service.answered == sum(service.asked.values()) < 900
        assert signal.getsignal(number) is before
        toys = [Toy(number) for number in range(40)]
        assert run_here(asking_line(tmp_path, service.port), toys) == [
            (toy.key, (2 * toy.number + 1) ** 2) for toy in toys
        ]
        assert set(service.asked.values()) == {1}


@main_thread_only
def test_a_second_signal_and_the_end_of_the_grace_wait_for_nothing(tmp_path, monkeypatch):
    with Service(pause_s=60) as service:
        for grace_s, signals in ((0.2, 1), (60, 2)):
            monkeypatch.setattr(brake, "GRACE_S", grace_s)
            signal_once(lambda: service.now, *[signal.SIGINT] * signals)
            started = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                run_here(asking_line(tmp_path, service.port), TOYS)
            assert time.monotonic() - started < 20
            service.now = 0


@main_thread_only
def test_a_signal_ends_a_line_that_asks_nobody_at_once(tmp_path):
    signal_once(lambda: list(tmp_path.rglob("*.done.json")), signal.SIGTERM)
    the_line = line(tmp_path, pause_s=0.05)
    with pytest.raises(KeyboardInterrupt), Pool(1, 30) as pool:
        asyncio.run(run(the_line, shards([Toy(number) for number in range(2000)]), pool, Silent()))


def test_pulled_twice_a_brake_keeps_the_first_error_unless_a_harder_one_follows_a_stop():
    async def pulled(*errors):
        one = brake.Brake()
        for error in errors:
            one.pull(error)
        return one.error

    stop, other = Stop("a", "b", "c"), OutputError("a", "b", "c")
    assert asyncio.run(pulled(stop, other)) is other
    assert asyncio.run(pulled(other, stop)) is other
    assert asyncio.run(pulled(stop, Stop("d", "e", "f"))) is stop


def test_stray_journals_of_finished_shards_are_swept_and_others_are_not(tmp_path, service):
    run_here(asking_line(tmp_path, service.port), TOYS[:5])
    for shard in (0, 7):  # a kill between the commit and the removal; a shard that is not done
        Journal(journal.path_of(tmp_path, shard)).close()
    (tmp_path / "journal-00009.jsonl.unfinished").touch()
    run_here(asking_line(tmp_path, service.port), TOYS[:5])
    assert [path.name for path in tmp_path.glob("journal*")] == ["journal-00007.jsonl"]


def test_where_a_step_runs_is_no_part_of_its_fingerprint_and_a_knob_is():
    here, there = Ask(AskKnobs(), 1), Ask(AskKnobs(place=Place(device="cpu", batch_size=3, in_flight=9)), 2)
    assert here.fingerprint("") == there.fingerprint("") != Ask(AskKnobs(times=5), 1).fingerprint("")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_kill_9_while_asking_and_a_rerun_repeat_no_question_whose_answer_was_kept(tmp_path):
    count, in_flight = 40, 4
    toys = [Toy(number) for number in range(count)]
    with Service(pause_s=0.02) as service:
        command = [sys.executable, paid.__file__, str(tmp_path), str(count), str(service.port)]
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while driver.poll() is None and service.answered < 33:
            time.sleep(0.005)
        driver.send_signal(signal.SIGKILL)
        assert driver.wait() == -signal.SIGKILL, "it was done before it could be killed"
        time.sleep(0.1)  # the service ends what it had begun
        before, kept = service.asked.copy(), kept_in(tmp_path)
        done = {f"{turn} {2 * toy.number}" for toy in toys for turn in range(2) if _is_done(tmp_path, toy.number)}
        assert len(set(before) - kept - done) <= in_flight
        found = run_here(asking_line(tmp_path, service.port), toys)
        assert found == [(toy.key, (2 * toy.number + 1) ** 2) for toy in toys]
        repeated = {question for question, times in service.asked.items() if times > 1}
        assert not repeated & (kept | done)
        assert len(repeated) <= in_flight
        assert set(service.asked) == {f"{turn} {2 * number}" for number in range(count) for turn in range(2)}
    assert not list(tmp_path.glob("journal*"))
