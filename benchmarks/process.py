"""Running a measurement in a process of its own, so that CPU seconds and memory are its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


def measured(module: str, *arguments: object) -> dict[str, Any]:
    """Run `python -m module arguments`; its last line of output must be JSON.

    Returns:
        that JSON with `wall_s`, `cpu_s` (of the process and all its children) and `peak_mb` (largest sum over the
        process and its children of proportional memory, sampled ten times a second).
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = _watch(child.pid)
    output, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed with {child.returncode}")
    answer = json.loads(output.strip().splitlines()[-1])
    return {**answer, "wall_s": time.monotonic() - started, "peak_mb": peak[0] / 1024}


def _watch(pid: int) -> list[float]:
    peak = [0.0]

    def look() -> None:
        while Path(f"/proc/{pid}").exists():
            peak[0] = max(peak[0], sum(_pss_kb(one) for one in [pid, *_children(pid)]))
            time.sleep(0.1)

    threading.Thread(target=look, daemon=True).start()
    return peak


def _children(pid: int) -> list[int]:
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [grand for child in map(int, own) for grand in (child, *_children(child))]


def _pss_kb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # gone since it was listed
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)
