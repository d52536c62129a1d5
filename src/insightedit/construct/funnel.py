"""The funnel: what every step was given, what it kept, and why the rest was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from insightedit.construct.row import FunnelLine
from insightedit.construct.source.plan import Plan
from insightedit.construct.work import Description, Painting, Segmentation, Verdict, Wording
from insightedit.core.record import Record, Reject
from insightedit.flow.local import Line

UNITS = {"describe": "objects", "segment": "objects", "paint": "edits", "instruct": "edits", "judge": "edits"}


@dataclass(frozen=True)
class Counted:
    """A run in numbers."""

    funnel: list[FunnelLine]
    rejects: list[Reject]
    cpu_s: dict[str, float]  # CPU seconds by step


def count(plan: Plan, line: Line, found: int) -> Counted:
    """Read every step's values, without pictures and one shard at a time, and count.

    Args:
        plan: the photographs that entered.
        line: the finished steps.
        found: candidates before scanning.
    """
    rejects, counts, judged = list(plan.rejects), Counter[str](), Counter[str]()
    cpu_s = {step.name: 0.0 for step in line.steps}
    for shard in plan.shards():
        counts["describe.in"] += sum(len(work.photo.notes) for work in shard.items)
        for step in line.steps:
            values, done = line.values(shard.number, step)
            rejects += [*done.rejects, *(reject for value in values for reject in getattr(value, "rejects", []))]
            cpu_s[step.name] += done.cpu_s
            for value in values:
                counts.update(_counts(value))
                judged.update(_judged_out(value))
    reasons = {step: Counter(reject.reason for reject in rejects if reject.step == step) for step in ("source", *UNITS)}
    reasons["judge"].update(judged)
    lines = [_line("source", "photos", found, len(plan), reasons)]
    lines += [_line(step, what, counts[f"{step}.in"], counts[f"{step}.kept"], reasons) for step, what in UNITS.items()]
    return Counted(lines, rejects, cpu_s)


def _line(step: str, what: str, came_in: int, kept: int, counted: dict[str, Counter[str]]) -> FunnelLine:
    reasons = counted[step]
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return FunnelLine(step=step, what=what, came_in=came_in, kept=kept, rejected=came_in - kept, reasons=ordered)


def _counts(value: Record) -> Counter[str]:
    """What one photograph adds: to its own step's `kept`, and to the next step's `in`."""
    if isinstance(value, Description):
        return Counter({"describe.kept": len(value.objects), "segment.in": len(value.objects)})
    if isinstance(value, Segmentation):
        return Counter({"segment.kept": len(value.objects)})
    if isinstance(value, Painting):
        done = len(value.edits)
        return Counter({"paint.in": done + len(value.rejects), "paint.kept": done, "instruct.in": done})
    if isinstance(value, Wording):
        worded = sum(bool(edit.instructions) for edit in value.edits)
        return Counter({"instruct.kept": worded, "judge.in": worded})
    if isinstance(value, Verdict):
        return Counter({"judge.kept": sum(edit.keep_forward or edit.keep_reverse for edit in value.edits)})
    return Counter()


def _judged_out(value: Record) -> Counter[str]:
    """The first reason of every edit that was judged out; `publish` makes the rejects of them."""
    if not isinstance(value, Verdict):
        return Counter()
    return Counter(edit.reasons[0] for edit in value.edits if edit.reasons)


def most_frequent(rejects: Iterable[Reject]) -> str:
    """The most frequent reasons, in a sentence part."""
    counted = Counter((reject.step, reject.reason) for reject in rejects).most_common(4)
    return "rejected: " + ", ".join(f"{times} x {reason} ({step})" for (step, reason), times in counted)
