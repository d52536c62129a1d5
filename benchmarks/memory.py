"""Peak memory of a build in the number of photographs: flat, or it would not scale."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.photos import make
from benchmarks.process import measured

SIDE, COUNTS = 320, (100, 400)


def main() -> None:
    print(f"\n## Peak memory, photographs of {SIDE} px, two workers (proportional set size of all processes)\n")
    print("| photographs | peak MB |")
    print("|---|---|")
    peaks = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            photos = make(Path(folder) / "photos", count, SIDE)
            ours = measured("benchmarks.run_build", "executor", photos, Path(folder) / "out", 2)
        peaks.append(ours["peak_mb"])
        print(f"| {count} | {ours['peak_mb']:.0f} |")
    print(f"\n{COUNTS[1]} against {COUNTS[0]} photographs: {peaks[1] / peaks[0]:.2f}x.")


if __name__ == "__main__":
    main()
