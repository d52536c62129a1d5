"""Edits of several tasks with sentences of two kinds: an order in which every (kind, task) is one run of indices."""

from __future__ import annotations

import numpy as np

from insightedit.datasets.example import Part

TASKS = ("remove", "add", "replace", "edit")  # edit: any other
KINDS = ("simple", "reasoning")


def balanced(tasks: np.ndarray, kinds: np.ndarray, reasoning: float) -> tuple[np.ndarray, tuple[Part, ...]]:
    """Sort directed, worded edits, and share the draws among the runs.

    Args:
        tasks: (N,) numbers into `TASKS`.
        kinds: (N,) numbers into `KINDS`.
        reasoning: share of the draws that take a reasoning instruction; the tasks of one kind share equally.

    Returns:
        The order (N,), and its runs as parts. A (kind, task) without edits leaves its share to the other tasks of the
        kind, a kind without edits to the other kind.
    """
    order = np.lexsort((tasks, kinds))
    shares = {0: 1.0 - reasoning, 1: reasoning}
    parts: list[Part] = []
    start = 0
    for kind, kind_name in enumerate(KINDS):
        counts = [int(np.count_nonzero((kinds == kind) & (tasks == task))) for task in range(len(TASKS))]
        filled = sum(count > 0 for count in counts)
        for count, task_name in zip(counts, TASKS, strict=True):
            if count:
                parts.append(Part(f"{task_name}/{kind_name}", start, count, shares[kind] / filled))
            start += count
    if sum(part.share for part in parts) == 0:  # all the share was a kind's that is not there
        parts = [Part(part.label, part.start, part.count, 1 / len(parts)) for part in parts]
    return order, tuple(parts)
