"""The mixture: a function of seed and place; no repetition; exact frequencies; nothing skipped in silence."""

from __future__ import annotations

import pickle
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import pytest

from insightedit.core.config import validate
from insightedit.core.errors import ConfigError, InputError, Unfit
from insightedit.datasets.example import CaptionExample, Part, whole
from insightedit.datasets.mixture import DECK, Mixture, MixtureKnobs, Skip, Skipped, apportioned, mixture


class Toy:
    """Captions that say where they come from and what was drawn."""

    role = ""

    def __init__(self, name: str, count: int, bad: frozenset[int] = frozenset(), parts: tuple[Part, ...] = ()) -> None:
        self.name, self.count, self.bad, self.left_out = name, count, bad, Counter()
        self.parts = parts or whole(count)

    def __len__(self) -> int:
        return self.count

    def example(self, index: int, seed: int) -> CaptionExample:
        assert 0 <= index < self.count
        if index in self.bad:
            raise Unfit("broken", f"record {index}", "a good one")
        return CaptionExample(str(index), self.name, f"{self.name} {index} {seed}")


def toys(seed: int = 0, **how) -> Mixture:
    readers = {"big": Toy("big", 30_000), "small": Toy("small", 700), "tiny": Toy("tiny", 3)}
    return Mixture(readers, {"big": 0.6, "small": 0.3, "tiny": 0.1}, seed, **how)


def told(mixed: Mixture, places) -> list[tuple[str, int, str]]:
    draws = [mixed.at(place) for place in places]
    return [(draw.dataset, draw.index, draw.example.text) for draw in draws]


def drawn_elsewhere(data: bytes, places: list[int]) -> list[tuple[str, int, str]]:
    return told(pickle.loads(data), places)  # noqa: S301


def test_a_place_says_the_same_whatever_was_asked_before():
    places = [*range(50), DECK - 1, DECK, 7 * DECK + 3, 10**9]
    one = told(toys(), places)
    assert told(toys(), reversed(places)) == one[::-1]
    assert told(toys(seed=1), places) != one


def test_workers_and_ranks_share_nothing_and_draw_one_sequence():
    """Any division of the places among processes gives the sequence that one process draws."""
    mixed = toys()
    whole_sequence = told(mixed, range(240))
    data = pickle.dumps(mixed)
    for ranks in (2, 3):
        with ProcessPoolExecutor(ranks, get_context("fork")) as pool:
            mine = [list(range(rank, 240, ranks)) for rank in range(ranks)]
            parts = list(pool.map(drawn_elsewhere, [data] * ranks, mine))
        joined = {place: item for places, items in zip(mine, parts, strict=True)
                  for place, item in zip(places, items, strict=True)}  # fmt: skip
        assert [joined[place] for place in range(240)] == whole_sequence


def test_frequencies_are_exact_per_deck_and_close_at_any_length():
    mixed = toys()
    names = [mixed.at(place).dataset for place in range(DECK)]
    assert Counter(names) == {"big": 6000, "small": 3000, "tiny": 1000}
    for length in (200, 1000, 5000):
        count = Counter(names[:length])
        for name, share in (("big", 0.6), ("small", 0.3), ("tiny", 0.1)):
            assert abs(count[name] / length - share) < 4 * (share * (1 - share) / length) ** 0.5
    runs = sum(a == b for a, b in pairwise(names)) / DECK
    assert runs == pytest.approx(0.36 + 0.09 + 0.01, abs=0.03)  # as independent draws would give


def test_nothing_comes_twice_before_all_has_come_once():
    mixed = toys()
    drawn: dict[str, list[int]] = {"big": [], "small": [], "tiny": []}
    for place in range(int(2.5 * DECK)):
        draw = mixed.at(place)
        drawn[draw.dataset].append(draw.index)
    for name, size in (("big", 30_000), ("small", 700), ("tiny", 3)):
        indices = drawn[name]
        assert len(indices) > min(2 * size, 10_000)
        for start in range(0, len(indices), size):
            epoch = indices[start : start + size]
            assert len(set(epoch)) == len(epoch), f"{name} repeats in epoch {start // size}"
    epochs = [drawn["small"][start : start + 700] for start in (0, 700)]
    assert sorted(epochs[0]) == sorted(epochs[1]) and epochs[0] != epochs[1]


def test_an_epoch_draws_other_sentences_than_the_last():
    mixed = Mixture({"tiny": Toy("tiny", 3)}, {"tiny": 1.0}, 0)
    texts = [draw.example.text for draw in map(mixed.at, range(9))]
    assert len(set(texts)) == 9 and len({text.split()[1] for text in texts}) == 3


def test_parts_share_a_dataset_as_they_say():
    parts = (Part("a", 0, 10, 0.25), Part("b", 10, 990, 0.75), Part("none", 1000, 0, 5.0))
    mixed = Mixture({"one": Toy("one", 1000, parts=parts)}, {"one": 1.0}, 3)
    low = sum(mixed.at(place).index < 10 for place in range(DECK))
    assert low == 2500
    assert [(line["part"], line["weight"]) for line in mixed.summary()] == [("a", 0.25), ("b", 0.75)]


def test_a_bad_record_is_skipped_for_the_next_and_told():
    bad = frozenset(range(0, 700, 10))
    mixed = Mixture({"small": Toy("small", 700, bad)}, {"small": 1.0}, 0)
    clean = Mixture({"small": Toy("small", 700)}, {"small": 1.0}, 0)
    order = [clean.at(place).index for place in range(1400)]
    skips: list[Skip] = []
    for place in range(700):
        draw = mixed.at(place)
        wanted = next(later for later in range(place, 1400) if order[later] not in bad)
        assert draw.index == order[wanted]
        assert [skip.index for skip in draw.skipped] == order[place:wanted]
        skips += draw.skipped
    assert {skip.index for skip in skips} == bad and {skip.reason for skip in skips} == {"broken"}
    assert told(mixed, [500]) == told(pickle.loads(pickle.dumps(mixed)), [500])  # noqa: S301


def too_long(example) -> None:
    if int(example.id) % 2:
        raise Unfit("too_long", example.id, "fewer tokens")


def test_what_the_training_cannot_take_is_skipped_and_told():
    mixed = toys(check=too_long)
    draws = [mixed.at(place) for place in range(300)]
    assert all(int(draw.example.id) % 2 == 0 for draw in draws)
    assert {skip.reason for draw in draws for skip in draw.skipped} == {"too_long"}


def test_a_dataset_of_bad_records_stops_the_run():
    mixed = Mixture({"small": Toy("small", 700, frozenset(range(700)))}, {"small": 1.0}, 0)
    with pytest.raises(InputError, match=r"'small' cannot be used: 64 records in a row are unfit, the last for broken"):
        mixed.at(0)


def test_skipped_counts_tells_and_stops():
    mixed = Mixture({"small": Toy("small", 700, frozenset(range(0, 700, 7)))}, {"small": 1.0}, 0)
    kept, strict = Skipped(), Skipped(limit=0.05, after=50)
    for place in range(400):
        draw = mixed.at(place)
        kept.take(draw.dataset, draw.skipped)
    assert kept.lost("small") == sum(kept.reasons.values()) > 30
    assert kept.lines()[0].startswith(f"small: broken {kept.lost('small')} of {400 + kept.lost('small')}, first at ")
    with pytest.raises(InputError, match="too much of dataset 'small' is unfit"):
        for place in range(400):
            draw = mixed.at(place)
            strict.take(draw.dataset, draw.skipped)


def test_seats_add_up_and_nobody_goes_without():
    rng = np.random.default_rng(0)
    for _ in range(50):
        shares = rng.dirichlet(np.ones(rng.integers(1, 30)) * 0.2) + 1e-12
        seats = apportioned([float(share) for share in shares], 1000)
        assert sum(seats) == 1000 and min(seats) >= 1
        assert all(abs(seat - 1000 * share / shares.sum()) <= 30 for seat, share in zip(seats, shares, strict=True))
    assert apportioned([0.5, 0.25, 0.25], 1000) == [500, 250, 250]


def test_the_sequence_is_the_same_for_ever():
    """A change here changes what a resumed run sees."""
    assert [(draw.dataset, draw.index) for draw in map(toys(seed=5).at, (0, 1, 2, DECK))] == PINNED


PINNED = [("small", 634), ("small", 399), ("small", 689), ("big", 20643)]


def test_a_mixture_from_a_configuration(tmp_path):
    for name, count in (("a", 30), ("b", 10)):
        (tmp_path / f"{name}.tsv").write_text("".join(f"u\tcaption {n}\n" for n in range(count)))
    values = {
        "datasets": {
            "cc12m": {"knobs": {"path": str(tmp_path / "a.tsv")}},
            "more": {"reader": "cc12m", "knobs": {"path": str(tmp_path / "b.tsv")}},
        }
    }
    mixed = mixture(validate(MixtureKnobs, values, "test"), seed=1)
    assert Counter(mixed.at(place).dataset for place in range(DECK)) == {"cc12m": 7500, "more": 2500}
    values["datasets"]["more"]["share"] = 0.9
    mixed = mixture(validate(MixtureKnobs, values, "test"), seed=1)
    assert {line["dataset"]: line["weight"] for line in mixed.summary()} == {"cc12m": 0.1, "more": 0.9}


@pytest.mark.parametrize(
    ("dataset", "match"),
    [
        ({"reader": "cc12n"}, "no reader 'cc12n'.*Did you mean 'cc12m'"),
        ({"reader": "cc12m", "knobs": {"path": "x", "pth": "x"}}, "unknown key 'pth'.*Did you mean 'path'"),
        ({"reader": "cc12m", "knobs": {}}, "wrong value for 'path' in datasets.mine"),
        ({"reader": "cc12m", "shar": 1}, "unknown key"),
        ({"reader": "cc12m", "share": 2}, "share"),
    ],
)
def test_configurations_that_are_wrong_say_so(dataset, match):
    with pytest.raises(ConfigError, match=match):
        mixture(validate(MixtureKnobs, {"datasets": {"mine": dataset}}, "test"), seed=0)


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(ConfigError):
        Mixture({"a": Toy("a", 5)}, {"a": 0.0}, 0)
    with pytest.raises(ValueError, match="place -1"):
        toys().at(-1)
