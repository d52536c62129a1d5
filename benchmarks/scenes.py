"""Rendered scenes: pairs a second, drawn only and published, by size and number of processes.

A pair is drawn with both pictures and all masks; the time counts sampling, drawing, handing over and, for more than one
process, their start, as `insightedit scenes` pays it. "Published" is the command: instructions, JPEG, parquet, page.
CPU milliseconds a pair are those of all processes, and say what a machine that does nothing else would give.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from insightedit.app.cli.scenes import run
from insightedit.scenes.render import as_arrays
from insightedit.scenes.spread import rendered

CASES = ((64, 1, 600), (64, 2, 3000), (128, 2, 600), (256, 2, 200))  # px, processes, pairs


def drawn(size: int, workers: int, count: int) -> None:
    """Draw, and stack every 32 pairs as a consumer would."""
    batch = []
    for one in rendered(count, size, seed=1, workers=workers):
        batch.append(one)
        if len(batch) == 32:
            as_arrays(batch)
            batch = []


def published(size: int, workers: int, count: int) -> None:
    """The whole command."""
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "out", count, size, 1, workers, lambda name, more: None)


def measured(work: Callable[[int, int, int], None], *case: int) -> str:
    """Pairs a second and CPU milliseconds a pair, as two cells."""
    started, used = time.monotonic(), cpu_s()
    work(*case)
    return f"{case[-1] / (time.monotonic() - started):.0f} | {(cpu_s() - used) / case[-1] * 1000:.1f}"


def cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    print("\n## Rendered scenes\n")
    print("| px | processes | pairs | drawn, pairs/s | CPU ms a pair | published, pairs/s | CPU ms a pair |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        print(f"| {case[0]} | {case[1]} | {case[2]} | {measured(drawn, *case)} | {measured(published, *case)} |")
        sys.stdout.flush()
    print("\nAsked: 100 pairs/s at 64 px on 2 cores.")


if __name__ == "__main__":
    main()
