"""The funnel: what every step was given, what it kept, why the rest was left out, and what asking took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from insightedit.construct.describe_mllm import Looked
from insightedit.construct.row import FunnelLine
from insightedit.construct.source.plan import Plan
from insightedit.construct.work import Asked, Description, Painting, Segmentation, Verdict, Wording
from insightedit.core.record import Record, Reject
from insightedit.flow.local import Line

UNITS = {"describe": "objects", "segment": "objects", "paint": "edits", "instruct": "edits", "judge": "edits"}
WITHIN = {"score": "judge"}  # a step that is half of one of these


class Spending(Record):
    """What the answers that one step used had cost when they were paid for, in whichever run that was.

    Answers that were of no use (refused, cut off, malformed) are not among them, and one that was of use twice counts
    twice: what was paid is in the ledger of a run.
    """

    step: str
    models: list[str] = []  # as the servers name them
    answers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    unpriced: int = 0  # answers whose price nobody knows: `usd` lacks them

    def plus(self, answers: Sequence[Asked]) -> Spending:
        """With more answers."""
        return self.but(
            models=sorted({*self.models, *(answer.model for answer in answers)}),
            answers=self.answers + len(answers),
            tokens_in=self.tokens_in + sum(answer.tokens_in or 0 for answer in answers),
            tokens_out=self.tokens_out + sum(answer.tokens_out or 0 for answer in answers),
            usd=self.usd + math.fsum(answer.usd or 0.0 for answer in answers),
            unpriced=self.unpriced + sum(answer.usd is None for answer in answers),
        )


@dataclass(frozen=True)
class Counted:
    """A run in numbers."""

    funnel: list[FunnelLine]
    rejects: list[Reject]
    cpu_s: dict[str, float]  # CPU seconds by step
    spent: list[Spending]  # of the steps that asked


def count(plan: Plan, line: Line, found: int) -> Counted:
    """Read every step's values, without pictures and one shard at a time, and count.

    Args:
        plan: the photographs that entered.
        line: the finished steps.
        found: candidates before scanning.
    """
    rejects, counts, judged = list(plan.rejects), Counter[str](), Counter[str]()
    cpu_s = {step.name: 0.0 for step in line.steps}
    spent = {step.name: spending(step.name, []) for step in line.asking}
    for shard in plan.shards():
        if line.steps[0].value is not Looked:  # who looks was given no objects
            counts["describe.in"] += sum(len(work.photo.notes) for work in shard.items)
        described: dict[str, int] = {}  # photograph -> objects
        for step in line.steps:
            values, done = line.values(shard.number, step)
            rejects += [*done.rejects, *(reject for value in values for reject in getattr(value, "rejects", []))]
            cpu_s[step.name] += done.cpu_s
            for value in values:
                if isinstance(value, Description):
                    described[value.photo_id] = len(value.objects)
                counts.update(_counts(value, described))
                judged.update(_judged_out(value))
            if step.name in spent:
                answers = [answer for value in values for answer in getattr(value, "asked", [])]
                spent[step.name] = spent[step.name].plus(answers)
    reasons = {step: Counter[str]() for step in ("source", *UNITS)}
    for reject in rejects:
        reasons.get(WITHIN.get(reject.step, reject.step), Counter())[reject.reason] += 1
    reasons["judge"].update(judged)
    lines = [_line("source", "photos", found, len(plan), reasons)]
    lines += [_line(step, what, counts[f"{step}.in"], counts[f"{step}.kept"], reasons) for step, what in UNITS.items()]
    return Counted(lines, rejects, cpu_s, list(spent.values()))


def _line(step: str, what: str, came_in: int, kept: int, counted: dict[str, Counter[str]]) -> FunnelLine:
    reasons = counted[step]
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return FunnelLine(step=step, what=what, came_in=came_in, kept=kept, rejected=came_in - kept, reasons=ordered)


def _counts(value: Record, described: Mapping[str, int]) -> Counter[str]:
    """What one photograph adds: to its own step's `kept`, and to the next step's `in`."""
    if isinstance(value, Description):
        named = len(value.objects) + sum(not reject.reason.startswith("target_") for reject in value.rejects)
        seen = named if isinstance(value, Looked) else 0
        return Counter({"describe.in": seen, "describe.kept": len(value.objects), "segment.in": len(value.objects)})
    if isinstance(value, Segmentation):
        more = len(value.objects) + len(value.rejects) - described[value.photo_id]  # one name may find several things
        return Counter({"segment.kept": len(value.objects), "segment.in": more})
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


def spending(step: str, answers: Sequence[Asked]) -> Spending:
    """What the answers of a step took."""
    return Spending(step=step).plus(answers)


def most_frequent(rejects: Iterable[Reject]) -> str:
    """The most frequent reasons, in a sentence part."""
    counted = Counter((reject.step, reject.reason) for reject in rejects).most_common(4)
    return "rejected: " + ", ".join(f"{times} x {reason} ({step})" for (step, reason), times in counted)
