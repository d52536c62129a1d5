"""Is the judge any good? Known-good edits against seeded faults: how often does a score put the good one first?

AUC is the probability that a good picture scores better than a faulty one, ties counting half (Mann and Whitney 1947);
0.5 is a coin, below it the fault is rewarded. Intervals are of a bootstrap over families of edits, not over pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from insightedit.evaluate.faults import FAULTS, faulty, reencoded
from insightedit.evaluate.known import Known
from insightedit.metrics.catalogue import METRICS
from insightedit.metrics.networks import Networks
from insightedit.metrics.profile import Profile
from insightedit.metrics.sample import Sample
from insightedit.metrics.score import score
from insightedit.metrics.viescore import Score
from insightedit.scenes.truth import judge

GOOD = ""  # the fault of a good picture
WHY = 60  # characters of a reason in a table; JSON has all of it
NO_CASE = "no edit can have this fault"
Judge = Callable[[Known, np.ndarray], Mapping[str, float]]  # scores by name; higher is better
Replies = Callable[[Known, np.ndarray], Mapping[str, str | Score]]  # of a chat judge, by question: "sc", "pq"


@dataclass(frozen=True)
class Scored:
    """A picture and what every score says of it.

    Fields:
        edit, family: of the known edit.
        fault: a name in `faults.FAULTS`; "" = the good picture.
        values: by name of the score, higher is better; infinities are values. What has none is in `gaps`: why.
    """

    edit: str
    family: str
    fault: str
    values: Mapping[str, float]
    gaps: Mapping[str, str]


@dataclass(frozen=True)
class Auc:
    """How well a score tells good pictures from those with one fault.

    Fields:
        score, fault: names.
        n, families: edits with a value for the good picture and the faulty one; photographs or scenes behind them.
        auc: 0..1; None where there is none.
        low, high: the percentile interval of 95 %.
        paired: share of edits whose good picture scores better than their own faulty one, ties half.
        why: there is no value.
    """

    score: str
    fault: str
    n: int
    families: int
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    paired: float | None = None
    why: str = ""


def truth(edit: Known, picture: np.ndarray) -> dict[str, float]:
    """The renderer's judge: success, nearness to the answer (-closeness), the kept background's PSNR in dB."""
    if edit.pair is None:
        return {}
    verdict = judge(edit.pair, picture)
    return {
        "success": float(verdict.success),
        "nearness": -verdict.closeness,
        "background_psnr": verdict.background_psnr,
    }


def measure(
    edits: Iterable[Known],
    profiles: Sequence[Profile],
    judges: Mapping[str, Judge],
    networks: Networks | None = None,
    replies: Replies | None = None,
    encoded: bool = False,
    seed: int = 0,
) -> list[Scored]:
    """Score every good picture and every faulty one.

    Args:
        edits: known to be good.
        profiles: of metrics; those with a judge have values only with `replies`.
        judges: by name; scores are called "judge.name".
        networks: of the metrics; what lacks weights has a gap.
        replies: asks a chat judge about an edit and a picture.
        encoded: pictures as of an editor that generates every pixel anew. What changes nothing stays the very source.
        seed: of the faults.

    Raises:
        ConfigError, UnknownName: as `metrics.score.score`.
    """
    networks, found = networks or Networks(), []
    for edit in edits:
        for fault in (GOOD, *FAULTS):
            picture = faulty(edit, fault, seed) if fault else edit.target
            if picture is None:
                continue
            if encoded and fault != "nothing_changed":
                picture = reencoded(picture)
            found.append(_scored(edit, fault, picture, profiles, judges, networks, replies))
    return found


def _scored(
    edit: Known,
    fault: str,
    picture: np.ndarray,
    profiles: Sequence[Profile],
    judges: Mapping[str, Judge],
    networks: Networks,
    replies: Replies | None,
) -> Scored:
    said = replies(edit, picture) if replies else {}
    texts = edit.clip_text, edit.caption_source, edit.caption_target
    sample = Sample(edit.source, picture, edit.target, edit.mask, *texts, said)
    values: dict[str, float] = {}
    gaps: dict[str, str] = {}
    for profile in profiles:
        for name, outcome in score(profile, sample, networks).items():
            if outcome.value is None:
                gaps[f"{profile.name}.{name}"] = f"{outcome.status} {outcome.why}".strip()
            else:
                values[f"{profile.name}.{name}"] = outcome.value if METRICS[name].higher_is_better else -outcome.value
    for who, asked in judges.items():
        values |= {f"{who}.{name}": value for name, value in asked(edit, picture).items()}
    return Scored(edit.id, edit.family, fault, values, gaps)


# --- AUC -------------------------------------------------------------------------------------------------------------


def table(scored: Sequence[Scored], draws: int = 1000, seed: int = 0) -> list[Auc]:
    """A line for every score and fault, in the order in which they first come.

    Args:
        scored: as `measure` gives.
        draws: of the bootstrap.
        seed: of its draws.
    """
    good = {one.edit: one for one in scored if one.fault == GOOD}
    names = dict.fromkeys(name for one in scored for name in (*one.values, *one.gaps))
    lines = []
    for name in names:
        for fault in FAULTS:
            pairs = [(good[one.edit], one) for one in scored if one.fault == fault and one.edit in good]
            lines.append(_line(name, fault, pairs, draws, seed))
    return lines


def _line(name: str, fault: str, pairs: Sequence[tuple[Scored, Scored]], draws: int, seed: int) -> Auc:
    both = [(first, other) for first, other in pairs if name in first.values and name in other.values]
    if not both:
        gaps = Counter(one.gaps[name] for pair in pairs for one in pair if name in one.gaps)
        return Auc(name, fault, 0, 0, why=gaps.most_common(1)[0][0] if gaps else NO_CASE)
    families = [first.family for first, _ in both]
    wins = _wins(*(np.array([one.values[name] for one in side]) for side in zip(*both, strict=True)))
    low, high = _interval(wins, families, draws, seed)
    paired = float(np.diagonal(wins).mean())
    return Auc(name, fault, len(both), len(set(families)), float(wins.mean()), low, high, paired)


def auc(good: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a good value (N,) is above a bad one (M,), ties counting half."""
    return float(_wins(good, bad).mean())


def _wins(good: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """(N, M): 1 where the good one is above, 0.5 where they are equal."""
    return np.asarray((good[:, None] > bad[None]) + 0.5 * (good[:, None] == bad[None]))


def _interval(wins: np.ndarray, families: Sequence[str], draws: int, seed: int) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the AUC (N, N) when families, each with all of its edits, are drawn again.

    A family that is drawn twice is not compared with its own copy: within a family the comparison is easier, and the
    interval would lie too high.
    """
    _, member = np.unique(np.array(families), return_inverse=True)  # (N,)
    belongs = np.eye(member.max() + 1)[member]  # (N, F)
    count, sizes = belongs.shape[1], belongs.sum(axis=0)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)  # (D, F)
    won, met = (_summed(one, drawn) for one in (belongs.T @ wins @ belongs, np.outer(sizes, sizes)))
    low, high = np.percentile(won / met, [2.5, 97.5])
    return float(low), float(high)


def _summed(between: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Of each draw (D, F): the sum over its pairs of families (F, F), copies of one family left out."""
    copies = (drawn * (drawn - 1)) @ np.diagonal(between)  # (D,)
    return np.asarray(((drawn @ between) * drawn).sum(axis=1) - copies)


# --- shown -----------------------------------------------------------------------------------------------------------


def markdown(lines: Sequence[Auc]) -> str:
    """A row for each score (or scores whose values are the same), a column for each fault: AUC and its interval.

    What has no value at all stands below, with the reason.
    """
    n = {fault: max((line.n for line in lines if line.fault == fault), default=0) for fault in FAULTS}
    heads = [f"{fault.replace('_', ' ')} (n {n[fault]})" for fault in FAULTS]
    rows, absent = dict[str, list[str]](), dict[str, list[str]]()
    for name in dict.fromkeys(line.score for line in lines):
        own = [line for line in lines if line.score == name]
        if any(line.n for line in own):
            rows.setdefault(" | ".join(map(_cell, own)), []).append(f"`{name}`")
        else:
            why = next((line.why for line in own if line.why != NO_CASE), NO_CASE)
            absent.setdefault(why[:WHY], []).append(f"`{name}`")
    shown = [f"| score | {' | '.join(heads)} |", "|---" * (len(FAULTS) + 1) + "|"]
    shown += [f"| {', '.join(names)} | {cells} |" for cells, names in rows.items()]
    if absent:
        shown += ["", *(f"No value: {', '.join(names)} ({why})" for why, names in absent.items())]
    return "\n".join(shown)


def _cell(line: Auc) -> str:
    if line.auc is None:
        return "-"
    return f"{line.auc:.2f} [{line.low:.2f}, {line.high:.2f}]"


def records(lines: Sequence[Auc]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(line) for line in lines]
