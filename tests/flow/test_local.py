"""Lines of steps: equal results however they are run, interrupted or resumed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import toys
from toys import Number, Toy, content, drive, line, shards

from insightedit.flow.local import Shard
from insightedit.flow.pool import Pool

TOYS = [Toy(number) for number in range(23)]
WANTED = [(f"toy {number}", (2 * number + 1) ** 2) for number in range(23)]
MIXED = [Toy(number, {4: "unfit", 9: "raise key", 17: "reject"}.get(number, "")) for number in range(23)]


def alone(the_line, items):
    """Run it in this process, as a fresh run does."""
    with Pool(0, 30) as pool:
        return drive(the_line, items, pool)


class Told:
    """Remembers what it was told."""

    def __init__(self):
        self.totals, self.passed = {}, Counter()

    def begin(self, step, total):
        self.totals[step] = total

    def advance(self, step, count):
        self.passed[step] += count


def log_of(path: Path) -> Counter:
    return Counter(text.split()[0] for text in path.read_text().splitlines()) if path.exists() else Counter()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_number_of_workers_gives_equal_results(tmp_path, workers):
    the_line = line(tmp_path)
    with Pool(workers, 30) as pool:
        found = drive(the_line, MIXED, pool)
    assert found == [pair for pair in WANTED if pair[0] not in ("toy 4", "toy 9", "toy 17")]
    rejects = [reject for _, left in the_line.results(shards(MIXED)) for reject in left]
    reasons = {(reject.photo_id, reject.step, reject.reason) for reject in rejects}
    assert reasons == {("toy 4", "times", "odd"), ("toy 9", "times", "step_failed"), ("toy 17", "times", "refused")}


def test_finished_work_is_not_done_again(tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        assert alone(line(tmp_path / "shards", log=str(log)), TOYS) == WANTED
    assert log_of(log) == {"times": 23, "plus": 23, "square": 23}


def test_a_changed_knob_redoes_its_step_and_those_after_it(tmp_path):
    log = tmp_path / "log"
    alone(line(tmp_path / "shards", log=str(log)), TOYS)
    changed = alone(line(tmp_path / "shards", log=str(log), plus=5), TOYS)
    assert changed == [(f"toy {number}", (2 * number + 5) ** 2) for number in range(23)]
    assert log_of(log) == {"times": 23, "plus": 46, "square": 46}
    assert alone(line(tmp_path / "shards", log=str(log)), TOYS) == WANTED  # going back finds the old ones
    assert log_of(log) == {"times": 23, "plus": 46, "square": 46}


def test_a_lost_or_touched_file_redoes_its_step_alone(tmp_path):
    log = tmp_path / "log"
    the_line = line(tmp_path / "shards", log=str(log))
    alone(the_line, TOYS)
    next((tmp_path / "shards" / "00001").glob("plus-*.parquet")).unlink()
    touched = next((tmp_path / "shards" / "00002").glob("square-*.parquet"))
    touched.write_bytes(touched.read_bytes()[:-3])
    (tmp_path / "shards" / "00000" / "plus-0.parquet.unfinished").write_bytes(b"half")
    assert alone(the_line, TOYS) == WANTED
    assert log_of(log) == {"times": 23, "plus": 28, "square": 28}


def test_heavy_fields_reach_a_step_that_needs_them_after_a_resume(tmp_path):
    alone(line(tmp_path), TOYS)
    again = line(tmp_path, plus=5)
    alone(again, TOYS)
    blobs = [item.values["plus"].blob for items, _ in again.results(shards(TOYS)) for item in items]
    assert blobs == [bytes(100)] * 23
    light = [item.values["plus"].blob for items, _ in again.results(shards(TOYS), heavy=False) for item in items]
    assert light == [b""] * 23


def test_progress_counts_every_item_at_every_step_also_those_that_left(tmp_path):
    import asyncio

    for _ in range(2):  # the second time everything is done already
        told = Told()
        asyncio.run(toys.run(line(tmp_path), shards(MIXED), Pool(0, 30), told))
        assert told.passed == {"times": 23, "plus": 23, "square": 23}


def test_an_empty_shard_and_one_that_loses_all_its_items_are_done(tmp_path):
    import asyncio

    the_line, empty = line(tmp_path), [Shard(0, []), Shard(1, [Toy(1, "reject"), Toy(2, "unfit")])]
    asyncio.run(toys.run(the_line, empty, Pool(0, 30), Told()))
    assert [len(items) for items, _ in the_line.results(empty)] == [0, 0]
    assert all(the_line.is_done(shard.number, step) for shard in empty for step in the_line.steps)


def test_asking_for_what_is_not_done_is_refused(tmp_path):
    the_line = line(tmp_path)
    with pytest.raises(LookupError, match="step 'times' is not done on shard 0"):
        the_line.values(0, the_line.steps[0])
    with pytest.raises(LookupError):
        list(the_line.results(shards(TOYS)))


def test_values_of_a_finished_step_can_be_counted_without_its_items(tmp_path):
    the_line = line(tmp_path)
    alone(the_line, TOYS)
    values, done = the_line.values(0, the_line.steps[0])
    assert values == [Number(value=2 * number) for number in range(5)] and done.came_in == 5


def start(folder: Path, count: int, workers: int, pause_s: float) -> subprocess.Popen:
    command = [sys.executable, toys.__file__, str(folder), str(count), str(workers), str(pause_s)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def alive_in(session: int) -> list[int]:
    """Processes of a session that still run; zombies do not."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == session:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except (ProcessLookupError, FileNotFoundError, PermissionError):
            continue
    return found


def gone(session: int, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while alive_in(session) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive_in(session)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for orphans in /proc")
@pytest.mark.parametrize("seed", [0])
def test_kill_9_at_any_moment_and_a_rerun_give_the_same_content_and_leave_no_orphan(tmp_path, seed):
    rng, count, log = random.Random(seed), 60, tmp_path / "log"
    wanted = [(f"toy {number}", (2 * number + 1) ** 2) for number in range(count)]
    for _ in range(3):
        before = sum(log_of(log).values())
        driver = start(tmp_path, count, 2, 0.01)
        while driver.poll() is None and sum(log_of(log).values()) <= before:  # until work is really under way
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        assert gone(driver.pid, 10), "a worker outlived its driver"
    assert start(tmp_path, count, 2, 0).wait(60) == 0
    the_line = line(tmp_path / "shards")
    assert content(the_line, [Toy(number) for number in range(count)]) == wanted
    assert not [name for name in (tmp_path / "shards").rglob("*.done.json") if not name.stat().st_size]
    done = log_of(log)
    assert start(tmp_path, count, 2, 0).wait(60) == 0
    assert log_of(log) == done  # nothing was left to do


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for orphans in /proc")
def test_workers_die_with_a_driver_that_is_killed(tmp_path):
    driver = start(tmp_path, 60, 1, 0.2)
    while driver.poll() is None and not log_of(tmp_path / "log"):
        time.sleep(0.02)
    assert len(alive_in(driver.pid)) >= 2
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert gone(driver.pid, 10), "a worker outlived its driver"
