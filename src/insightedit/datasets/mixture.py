"""Several datasets as one endless sequence: what stands at a place depends on the run's seed and the place only.

The sequence is dealt in decks. A deck holds a card for each of 10,000 places, so many of each dataset as its weight
says, in an order that seed and deck number decide. The n-th card of a dataset since the beginning takes the n-th index
of the dataset's own order: a permutation per epoch, so that nothing comes twice before all has come once. Both numbers
are computed from the place: there is no history to keep, ranks and workers share nothing, and a resumed run goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError, InputError, Unfit
from insightedit.core.seed import derive
from insightedit.datasets.example import Example, Part, Reader
from insightedit.datasets.permutation import mix, permuted
from insightedit.datasets.readers import reader
from insightedit.datasets.weights import weights

DECK = 10_000  # places
TRIES = 64  # bad records in a row before the dataset is called broken


class DatasetKnobs(Knobs):
    """One dataset of the mixture."""

    reader: str = ""  # of `READERS`; the name in the mixture if it is left out
    share: float | None = Field(None, ge=0, le=1)  # of all draws; None: what the default mixture gives it
    knobs: dict[str, Any] = {}  # the reader's own


class MixtureKnobs(Knobs):
    """The datasets by name, and weights if the defaults (see `weights`) are not wanted."""

    datasets: dict[str, DatasetKnobs] = Field(min_length=1)
    weights: dict[str, float] = {}


@dataclass(frozen=True)
class Skip:
    """A record that could not be used."""

    dataset: str
    index: int
    reason: str  # a word, to be counted
    detail: str


@dataclass(frozen=True, eq=False)
class Draw:
    """What stands at a place."""

    dataset: str
    index: int  # into that dataset's reader
    example: Example
    skipped: tuple[Skip, ...] = ()  # records that came before it in the dataset's order and could not be used


class _Lane(NamedTuple):
    """A part of a dataset, with its own cards."""

    reader: Reader
    part: Part
    cards: int  # in every deck


def _fits_all(example: Example) -> None:
    """The check of a mixture that has none."""


@dataclass
class Mixture:
    """Readers and their weights, dealt out by place.

    Args:
        readers: by name, at least one.
        shares: weights that add up to 1, by the same names.
        seed: of the run.
        check: raises `Unfit` for an example that the training cannot take, such as a prompt that is too long; it is
            skipped and counted as a bad record is. It must be picklable where workers are spawned.

    Raises:
        ConfigError: no dataset can be drawn.
    """

    readers: Mapping[str, Reader]
    shares: Mapping[str, float]
    seed: int
    check: Callable[[Example], None] = _fits_all
    _lanes: list[_Lane] = field(init=False, repr=False)
    _dealt: tuple[int, np.ndarray] = field(init=False, repr=False, default=(-1, np.zeros(0, np.int16)))

    def __post_init__(self) -> None:
        shares = [
            (one, part, self.shares[name] * _inner(one, part))
            for name, one in self.readers.items()
            for part in one.parts
        ]
        shares = [(one, part, share) for one, part, share in shares if share > 0 and part.count]
        if not shares:
            raise ConfigError("the mixture is empty", "no dataset has a weight and examples", "Check its weights")
        cards = apportioned([share for _, _, share in shares], DECK)
        self._lanes = [_Lane(one, part, count) for (one, part, _), count in zip(shares, cards, strict=True)]

    def at(self, place: int) -> Draw:
        """What stands at `place` (0, 1, ...): the same in every process, whatever was asked before.

        Raises:
            InputError: `TRIES` records in a row are unfit, or a file is missing or malformed as a whole.
        """
        lane, number = self._card(place)
        name, skipped = lane.reader.name, list[Skip]()
        for attempt in range(min(TRIES, lane.part.count)):
            epoch, position = divmod(number + attempt, lane.part.count)
            order = derive(self.seed, name, lane.part.label, "order", epoch)
            index = lane.part.start + permuted(position, lane.part.count, order)
            try:
                example = lane.reader.example(index, derive(self.seed, name, "example", epoch))
                self.check(example)
            except Unfit as error:
                skipped.append(Skip(name, index, error.reason, f"{error.seen}; wanted {error.wanted}"))
            else:
                return Draw(name, index, example, tuple(skipped))
        last = skipped[-1]
        raise InputError(
            f"dataset '{name}' cannot be used",
            f"{len(skipped)} records in a row are unfit, the last for {last.reason} ({last.detail})",
            "Check its path, its pictures and its knobs",
        )

    def _card(self, place: int) -> tuple[_Lane, int]:
        """The lane that `place` belongs to, and how many cards of that lane lie before it."""
        if place < 0:
            raise ValueError(f"place {place}")
        deck, within = divmod(place, DECK)
        cards = self._deck(deck)
        chosen = int(cards[within])
        lane = self._lanes[chosen]
        return lane, deck * lane.cards + int(np.count_nonzero(cards[:within] == chosen))

    def _deck(self, number: int) -> np.ndarray:
        """(DECK,) lane of every place of a deck; the last one asked for is held."""
        if self._dealt[0] != number:
            base = mix(derive(self.seed, "deck", number))
            keys = _scrambled(np.arange(DECK, dtype=np.uint64) + np.uint64(base))
            sorted_cards = np.repeat(np.arange(len(self._lanes)), [lane.cards for lane in self._lanes])
            self._dealt = number, sorted_cards[np.argsort(keys, kind="stable")].astype(np.int16)
        return self._dealt[1]

    def summary(self) -> list[dict[str, Any]]:
        """Per part: dataset, part, examples, weight as dealt, and what the index left out (reason -> records)."""
        return [
            {
                "dataset": lane.reader.name,
                "part": lane.part.label,
                "examples": lane.part.count,
                "weight": lane.cards / DECK,
                "left_out": dict(lane.reader.left_out),
            }
            for lane in self._lanes
        ]


def _inner(one: Reader, part: Part) -> float:
    """A part's share of its dataset."""
    return part.share / (sum(other.share for other in one.parts if other.count) or 1.0)


def _scrambled(values: np.ndarray) -> Any:
    """`permutation.mix` for uint64 (N,): keys to shuffle by, the same in every version of NumPy."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def apportioned(shares: list[float], total: int) -> list[int]:
    """`total` seats by largest remainder, one at least for each share; the largest pay for those.

    Raises:
        ConfigError: more shares than seats.
    """
    if len(shares) > total:
        raise ConfigError("the mixture has too many parts", f"{len(shares)}, at most {total}", "Leave some out")
    exact = np.array(shares) / sum(shares) * total
    seats = np.floor(exact).astype(int)
    for place in np.argsort(seats - exact, kind="stable")[: total - seats.sum()]:
        seats[place] += 1
    for place in np.flatnonzero(seats == 0):
        seats[place] = 1
        seats[np.argmax(seats)] -= 1
    return [int(count) for count in seats]


def mixture(knobs: MixtureKnobs, seed: int, check: Callable[[Example], None] = _fits_all) -> Mixture:
    """The mixture of a configuration: builds the readers, and weighs them.

    Raises:
        UnknownName, ConfigError: the configuration is wrong.
        InputError: a dataset is not there, or not as expected.
    """
    readers = {name: reader(one.reader or name, one.knobs, name) for name, one in knobs.datasets.items()}
    sizes = {name: len(one) for name, one in readers.items()}
    roles = {name: one.role for name, one in readers.items()}
    set_shares = {name: one.share for name, one in knobs.datasets.items() if one.share is not None}
    return Mixture(readers, weights(sizes, roles, set_shares, knobs.weights), seed, check)


@dataclass
class Skipped:
    """What was skipped, summed over the draws of a run: counted, told, and a reason to stop where it is too much.

    Args:
        limit: share of a dataset's records that may be unfit.
        after: records of a dataset before its share is judged.
    """

    limit: float = 0.2
    after: int = 200
    drawn: Counter[str] = field(default_factory=Counter)  # dataset -> usable examples
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)  # (dataset, reason) -> records
    first: dict[tuple[str, str], Skip] = field(default_factory=dict)  # one to look at for each

    def take(self, dataset: str, skipped: tuple[Skip, ...]) -> None:
        """Count one draw; workers hand `Draw.skipped` on with their batch.

        Raises:
            InputError: the dataset has more unfit records than `limit`.
        """
        self.drawn[dataset] += 1
        for skip in skipped:
            self.reasons[skip.dataset, skip.reason] += 1
            self.first.setdefault((skip.dataset, skip.reason), skip)
        lost = self.lost(dataset)
        seen = lost + self.drawn[dataset]
        if seen >= self.after and lost > self.limit * seen:
            why = "; ".join(line for line in self.lines() if line.startswith(f"{dataset}: "))
            raise InputError(f"too much of dataset '{dataset}' is unfit", why, "Mend the data, or raise the limit")

    def lost(self, dataset: str) -> int:
        """Records of a dataset that were skipped."""
        return sum(count for (name, _), count in self.reasons.items() if name == dataset)

    def lines(self) -> list[str]:
        """One line per dataset and reason, the most frequent first, with the first such record."""
        return [
            f"{name}: {reason} {count} of {self.drawn[name] + self.lost(name)}, "
            f"first at {self.first[name, reason].index} ({self.first[name, reason].detail})"
            for (name, reason), count in self.reasons.most_common()
        ]
