"""Two results side by side, where they may be: the same samples, profiles, weights and judges, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from insightedit.core.errors import InputError
from insightedit.core.lookup import suggest
from insightedit.evaluate.means import difference, outcomes
from insightedit.evaluate.results import (
    TRUTH,
    TRUTHS,
    JudgeUsed,
    PairedResult,
    ProfileUsed,
    Results,
    Row,
    read,
    read_rows,
)


def compare(first: Path, second: Path, ones: Sequence[str] = (), others: Sequence[str] = ()) -> list[PairedResult]:
    """First minus second, by editor and metric, on the samples that both have.

    Editors are paired by their label; if no label is in both, every one of the first with every one of the second.

    Args:
        first, second: results.json, or the folder that holds it.
        ones, others: labels to compare, of the first and of the second; () = as said above.

    Raises:
        InputError: they are not of the same benchmark, profiles, weights or judges, and what differs; or a file is
            missing or damaged.
    """
    left, right = read(first), read(second)
    if differing := list(differences(left, right)):
        why = "; ".join(differing)
        raise InputError("these results cannot be compared", why, "Evaluate both in the same way")
    rows = [_by_label(read_rows(path)) for path in (first, second)]
    found: list[PairedResult] = []
    for one, other in _pairs(left, right, ones, others):
        found += _compared((one, rows[0].get(one, {})), (other, rows[1].get(other, {})), left)
    return found


def differences(left: Results, right: Results) -> Iterator[str]:
    """What stands between two results, in words; nothing if they may be compared."""
    for name in ("name", "version", "settings", "fingerprint"):
        one, other = getattr(left.benchmark, name), getattr(right.benchmark, name)
        if one != other:
            yield _words(f"benchmark {name}", one, other)
            break  # the fingerprint follows from the others
    profiles = [{profile.name: profile for profile in side.profiles} for side in (left, right)]
    if profiles[0].keys() != profiles[1].keys():
        yield _words("profiles", *(", ".join(side) for side in profiles))
    for name in sorted(profiles[0].keys() & profiles[1].keys()):
        yield from _of_profile(profiles[0][name], profiles[1][name])


def _of_profile(one: ProfileUsed, other: ProfileUsed) -> Iterator[str]:
    if one.version != other.version:
        yield _words(f"version of profile '{one.name}'", one.version, other.version)
    for network in sorted(one.engines.keys() | other.engines.keys()):
        sides = one.engines.get(network, "none"), other.engines.get(network, "none")
        if sides[0] != sides[1]:
            yield _words(f"weights of {network}", *sides)
    judges = [_judge(profile.judge) for profile in (one, other)]
    for key in sorted(judges[0].keys() | judges[1].keys()):
        if judges[0].get(key) != judges[1].get(key):
            yield _words(f"judge of '{one.name}' ({key})", judges[0].get(key), judges[1].get(key))


def _judge(judge: JudgeUsed | None) -> dict[str, Any]:
    """What decides whether two judges are one; when they were asked, a table says."""
    if judge is None:
        return {"model": None}
    return {"model": judge.model, "answered by": judge.answered_by, "settings": judge.settings}


def _words(what: str, one: object, other: object) -> str:
    return f"{what}: {one} against {other}"


def _pairs(left: Results, right: Results, ones: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    known = [[editor.label for editor in side.editors] for side in (left, right)]
    for given, labels in zip((ones, others), known, strict=True):
        for label in given:
            if label not in labels:
                raise InputError(f"no editor '{label}'", "the results have none of that name", suggest(label, labels))
    if ones or others:
        return [(one, other) for one in ones or known[0] for other in others or known[1]]
    common = [(label, label) for label in known[0] if label in known[1]]
    return common or [(one, other) for one in known[0] for other in known[1]]


def _by_label(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row.label, {})[row.id] = row
    return found


def _compared(
    one: tuple[str, Mapping[str, Row]], other: tuple[str, Mapping[str, Row]], results: Results
) -> Iterator[PairedResult]:
    (first, ones), (second, others) = one, other
    ids = [name for name in ones if name in others]
    metrics = {profile.name: profile.metrics for profile in results.profiles}
    if any(ones[name].truth and others[name].truth for name in ids):
        metrics[TRUTH] = list(TRUTHS)
    for profile, names in metrics.items():
        sides = [[outcomes(rows[name], profile) for name in ids] for rows in (ones, others)]
        for metric in names:
            values = ([scores[metric] for scores in side] for side in sides)
            yield difference(first, second, profile, metric, None, *values)
