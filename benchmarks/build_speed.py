"""Build: photographs and pairs per minute by step, and what the executor costs beyond the bare steps.

The executor's CPU seconds include all processes, the commits of every step, and publishing (parquet, card, page); the
bare run calls the same steps one photograph after the other and writes nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.photos import make
from benchmarks.process import measured

PHOTOS, SIDE = 40, 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        photos = make(Path(folder) / "photos", PHOTOS, SIDE)
        plain = measured("benchmarks.run_build", "bare", photos)
        ours = measured("benchmarks.run_build", "executor", photos, Path(folder) / "out", 1)
    print(f"\n## Build, {PHOTOS} photographs of {SIDE} px, one worker\n")
    print("| step | CPU s a photo, bare | in the executor | photos a minute of CPU |")
    print("|---|---|---|---|")
    for step, seconds in plain["steps"].items():
        inside = ours["steps"].get(step)
        shown = f"{inside / PHOTOS:.3f}" if inside is not None else "-"
        print(f"| {step} | {seconds / PHOTOS:.3f} | {shown} | {60 * PHOTOS / max(seconds, 1e-9):.0f} |")
    ratio = ours["cpu_s"] / plain["cpu_s"]
    print(f"\nWhole process: bare {plain['cpu_s'] / PHOTOS:.3f} CPU s a photo, executor with publishing "
          f"{ours['cpu_s'] / PHOTOS:.3f}: {ratio:.3f}x.")  # fmt: skip
    steps = sum(ours["steps"].values()) / sum(value for step, value in plain["steps"].items() if step != "scan")
    print(f"The five steps alone, executor over bare: **{steps:.3f}x** (asked: at most 1.05x).")
    per_minute = 60 / ours["wall_s"]
    print(f"Kept {ours['rows']} edits, {ours['pairs']} directed pairs: {PHOTOS * per_minute:.1f} photographs and "
          f"{ours['pairs'] * per_minute:.1f} pairs a minute of wall time.")  # fmt: skip


if __name__ == "__main__":
    main()
