"""A triple becomes pairs: every sample is recorded, the best are kept, all of it repeatable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insightedit.backends.pair.pairs import make_pairs
from insightedit.backends.pair.prompt_to_prompt import PromptToPrompt, PromptToPromptKnobs, draws
from insightedit.backends.pair.sift import SiftKnobs
from insightedit.backends.pair.triples import Triple

TRIPLE = Triple(caption="a photo of a cat", instruction="turn it into a dog", edited="a photo of a dog")


@dataclass
class Table:
    before: np.ndarray
    after: np.ndarray
    direction: np.ndarray
    image: np.ndarray


class Painted:
    """Pictures that carry the number of their sample, and the words they were asked for."""

    knobs = PromptToPromptKnobs(samples=6, side=64)

    def pairs(self, caption, edited, drawn):
        self.asked = (caption, edited, list(drawn))
        made = np.zeros((len(drawn), 2, 64, 64, 3), np.uint8)
        for place, draw in enumerate(drawn):
            made[place] = draw.sample
            made[place, 1, 0, 0] = 255
        return made


def score(pictures, caption, edited):
    assert (caption, edited) == (TRIPLE.caption, TRIPLE.edited)
    number = pictures[:, 0, 5, 5, 0].astype(float)
    high = np.full(len(number), 0.9)
    return Table(np.where(number == 4, 0.1, high), high, 0.2 + number / 10, high)


def test_the_best_pairs_come_first_and_no_sample_is_forgotten():
    sampler = Painted()
    pairs, samples = make_pairs(TRIPLE, sampler, score, SiftKnobs(most=2), run_seed=3)
    assert [pair.sample.sample for pair in pairs] == [5, 3]
    assert all((pair.before == pair.sample.sample).all() and pair.after[0, 0, 0] == 255 for pair in pairs)
    assert [sample.left_out for sample in samples] == [
        "not_among_best", "not_among_best", "not_among_best", "", "before_unlike_caption", "",
    ]  # fmt: skip
    drawn = draws(3, TRIPLE.triple_id, sampler.knobs)
    assert sampler.asked == (TRIPLE.caption, TRIPLE.edited, drawn)
    for sample, draw in zip(samples, drawn, strict=True):
        assert (sample.seed, sample.tau, sample.guidance) == (draw.seed, draw.tau, draw.guidance)
        assert sample.triple_id == TRIPLE.triple_id and sample.direction == 0.2 + sample.sample / 10


def test_a_triple_none_of_whose_samples_pass_gives_no_pair_and_all_reasons():
    def poor(pictures, caption, edited):
        return Table(*np.zeros((4, len(pictures))))

    pairs, samples = make_pairs(TRIPLE, Painted(), poor, SiftKnobs(), run_seed=0)
    assert not pairs and {sample.left_out for sample in samples} == {"before_unlike_caption"}


def test_the_whole_way_from_weights_is_repeatable(weights):
    def all_fit(pictures, caption, edited):
        apart = np.abs(pictures[:, 0].astype(float) - pictures[:, 1]).mean(axis=(1, 2, 3))
        return Table(*np.ones((2, len(pictures))), apart, np.ones(len(pictures)))

    knobs = PromptToPromptKnobs(model=str(weights), vae=None, side=64, steps=3, samples=5, batch_size=2, device="cpu")
    runs = [make_pairs(TRIPLE, PromptToPrompt(knobs), all_fit, SiftKnobs(), run_seed=1) for _ in range(2)]
    (pairs, samples), (again, same) = runs
    assert len(pairs) == 4 and len(samples) == 5 and samples == same
    for one, other in zip(pairs, again, strict=True):
        assert np.array_equal(one.before, other.before) and np.array_equal(one.after, other.after)
    assert len({pair.before.tobytes() for pair in pairs}) == 4
