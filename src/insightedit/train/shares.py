"""What a configuration would draw from, told before a run: a dataset that is not there is named, not fatal."""

from __future__ import annotations

from dataclasses import dataclass

from insightedit.core.errors import ConfigError, InputError
from insightedit.datasets.example import Reader
from insightedit.datasets.mixture import MixtureKnobs
from insightedit.datasets.readers import reader
from insightedit.datasets.weights import weights


@dataclass(frozen=True)
class Portion:
    """One dataset: examples and share of the draws, or what keeps it from being read."""

    name: str
    reader: str
    examples: int | None
    weight: float | None  # among those that are there; None where they do not work out without the others
    missing: str = ""


def portions(knobs: MixtureKnobs) -> list[Portion]:
    """The datasets in their order.

    Raises:
        UnknownName, ConfigError: the configuration itself is wrong.
    """
    found: dict[str, Reader] = {}
    missing: dict[str, str] = {}
    for name, one in knobs.datasets.items():
        try:
            found[name] = reader(one.reader or name, one.knobs, name)
        except InputError as error:
            missing[name] = f"{error.what}: {error.why}"
    dealt = _weights(knobs, found, partial=bool(missing))
    return [
        Portion(
            name,
            one.reader or name,
            len(found[name]) if name in found else None,
            dealt.get(name),
            missing.get(name, ""),
        )
        for name, one in knobs.datasets.items()
    ]


def _weights(knobs: MixtureKnobs, found: dict[str, Reader], partial: bool) -> dict[str, float]:
    if not found:
        return {}
    shares = {name: one.share for name, one in knobs.datasets.items() if one.share is not None and name in found}
    given = {name: weight for name, weight in knobs.weights.items() if name in found or name not in knobs.datasets}
    sizes, roles = {name: len(one) for name, one in found.items()}, {name: one.role for name, one in found.items()}
    try:
        return weights(sizes, roles, shares, given)
    except ConfigError:
        if not partial:
            raise
        return {}
