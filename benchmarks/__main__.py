"""`python -m benchmarks [NAME ...]`: run all measurements, or those named, and print Markdown."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "yields",
    "calibration",
    "mask_growth",
    "build_speed",
    "memory",
    "workers",
    "resume",
    "denoise",
    "comprehension",
    "scenes",
    "judging",
    "training",
    "chat",
    "preset_costs",
    "metrics",
    "meta",
)


def main() -> None:
    """Run them in turn."""
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; known: {', '.join(NAMES)}")
    for name in wanted:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
