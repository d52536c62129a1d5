"""kill -9 at random moments: the finished dataset must be that of an unbroken run, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.photos import make
from benchmarks.process import measured
from insightedit.construct.inspection import inspect
from insightedit.core.files import read_json

PHOTOS, SIDE, KILLS, WORKERS = 16, 320, 20, 2


def main() -> None:
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photos = make(folder / "photos", PHOTOS, SIDE)
        unbroken = measured("benchmarks.run_build", "executor", photos, folder / "unbroken", WORKERS)
        kills, runs, equal = 0, 0, 0
        while kills < KILLS:
            out = folder / f"broken-{runs}"
            kills += killed_until_done(photos, out, KILLS - kills, unbroken["wall_s"], chance)
            runs += 1
            same = read_json(out / "dataset" / "manifest.json")["content_hash"] == unbroken["hash"]
            equal += same and inspect(out).ok
    print(f"\n## Resume\n\n{kills} kill -9 of the driver at random moments over {runs} builds of {PHOTOS} photographs: "
          f"{equal} of {runs} datasets equal the unbroken one in content hash and pass `inspect`.")  # fmt: skip


def killed_until_done(photos: Path, out: Path, most: int, wall_s: float, chance: random.Random) -> int:
    """Start and kill the build, again and again; returns the kills it took before one run was let through."""
    command = [sys.executable, "-m", "benchmarks.run_build", "executor", str(photos), str(out), str(WORKERS)]
    for kills in range(most):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            child.wait(chance.uniform(0.3, 0.8 * wall_s))
            return kills
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            time.sleep(0.2)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return most


if __name__ == "__main__":
    main()
