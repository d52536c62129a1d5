"""Repeatable measurements: `python -m benchmarks` prints what RESULTS.md records."""
