"""How well the shipped scores tell good edits from bad ones, on the labelled edits they were fitted to.

In-sample, so optimistic: weights, features and thresholds were chosen on these rows. labels: 2 good, 1 usable, 0 bad.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from insightedit.metrics.fill import fill_score
from insightedit.metrics.recolour import recolour_score

FOLDER = Path(__file__).with_name("labels")
NOT_FEATURES = ("photo", "object", "kind", "label", "mask", "run", "mask_score", "")


def auc(scores: np.ndarray, wanted: np.ndarray) -> float:
    """Probability that a wanted edit scores higher than another one."""
    above, below = scores[wanted][:, None], scores[~wanted][None]
    return float((above > below).mean() + 0.5 * (above == below).mean())


def main() -> None:
    print("\n## Scores on the labelled edits (in-sample)\n")
    print("| labels | edits | AUC usable | AUC good | kept at | n | good | usable | bad |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, score, least in (("removal", fill_score, 0.80), ("replace", recolour_score, 0.85)):
        with (FOLDER / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        labels = np.array([int(row["label"]) for row in rows])
        scores = np.array([score(_features(row)) for row in rows])
        kept = labels[scores >= least]
        shares = " | ".join(f"{np.mean(kept == grade):.0%}" for grade in (2, 1, 0))
        print(f"| {name} | {len(rows)} | {auc(scores, labels > 0):.2f} | {auc(scores, labels == 2):.2f} | "
              f"{least} | {len(kept)} | {shares} |")  # fmt: skip


def _features(row: dict[str, str]) -> dict[str, float]:
    found = {}
    for name, value in row.items():
        if name in NOT_FEATURES:
            continue
        try:
            found[name] = float(value)
        except ValueError:  # a column of words
            continue
    return found


if __name__ == "__main__":
    main()
