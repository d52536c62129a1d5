"""How many of the kept edits are good, usable, bad, by eye: the labels of benchmarks/labels/kept.csv, counted.

Labelled by one person who knew the method, from crops around each edit: good = a stranger would not notice, or takes
the thing for real; usable = it does what the instruction says with a flaw; bad = it does not, or the flaw strikes.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

LABELS = Path(__file__).with_name("labels") / "kept.csv"
GRADES = ("good", "usable", "bad")


def main() -> None:
    with LABELS.open() as file:
        rows = list(csv.DictReader(file))
    print("\n## Edits that the default thresholds keep, by eye\n")
    print("| photographs | kind | edits | good | usable | bad |")
    print("|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        for kind in (*sorted({row["method"] for row in own}), "all"):
            counts = Counter(row["label"] for row in own if kind in ("all", row["method"]))
            total = sum(counts.values())
            shares = " | ".join(f"{counts[grade]} ({counts[grade] / total:.0%})" for grade in GRADES)
            print(f"| {name} | {kind} | {total} | {shares} |")


if __name__ == "__main__":
    main()
