"""Reading: what does not fit is passed over by name, errors come out of reader processes as they are."""

from dataclasses import dataclass, replace

import pytest
import torch
from train_toys import Toys, goals, settings

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.example import EditExample, Part
from insightedit.datasets.mixture import Mixture, MixtureKnobs
from insightedit.model.pipeline import from_preset
from insightedit.model.tokens import IGNORE, QUESTIONS
from insightedit.train.batch import Batcher, Layout, Sample
from insightedit.train.data import Fits, Reading, Taken, batches, deciding
from insightedit.train.loop import Run, fingerprint


@pytest.fixture(scope="module")
def batcher() -> Batcher:
    pipeline = from_preset("tiny")
    return Batcher(pipeline.tokenizer, Layout.of(pipeline.comprehension, 64), 0)


@dataclass
class Wordy:
    """Sixteen edits; every `long`-th has more words than any model takes."""

    long: int
    name: str = "wordy"
    role: str = ""
    left_out = {}

    @property
    def parts(self):
        return (Part("", 0, 16),)

    def __len__(self):
        return 16

    def example(self, index, seed):
        edit = Toys().at(index).example
        words = "word " * 400 if index % self.long == 0 else edit.instruction
        return replace(edit, dataset=self.name, instruction=words)


def taught(long: int, batcher: Batcher) -> Mixture:
    return Mixture({"wordy": Wordy(long)}, {"wordy": 1.0}, 0, Fits(batcher))


def test_words_that_do_not_fit_are_skipped_with_their_reason(batcher):
    drawn = [taught(8, batcher).at(place) for place in range(16)]
    assert all(len(one.example.instruction) < 100 for one in drawn)
    reasons = {(skip.index, skip.reason) for one in drawn for skip in one.skipped}
    assert reasons == {(0, "words_do_not_fit"), (8, "words_do_not_fit")}


def test_what_passes_the_check_fits_with_every_question(batcher):
    nothing, check = Toys().at(0).example, Fits(batcher)
    longest = next(count for count in range(1, 400) if not _fits(check, replace(nothing, instruction="word " * count)))
    just = replace(nothing, instruction="word " * (longest - 1))
    lengths = {len(batcher.sequence(Sample(place, just)).ids) for place in range(64)}
    assert len(lengths) > 1 and len(QUESTIONS) > 1


def _fits(check: Fits, example: EditExample) -> bool:
    try:
        check(example)
    except Unfit:
        return False
    return True


def test_a_run_counts_what_was_skipped_and_stops_where_it_is_too_much(tmp_path, batcher):
    config = settings("image_align", updates=8, save_every=100)
    run = Run(config, taught(8, batcher), tmp_path / "few", goals=goals)
    run.train()
    (line,) = run.skipped.lines()
    assert line.startswith("wordy: words_do_not_fit 2 of 18, first at ")
    many = Run(config, taught(2, batcher), tmp_path / "many", goals=goals)
    many.skipped.after = 10
    with pytest.raises(InputError, match="too much of dataset 'wordy' is unfit"):
        many.train()


class Broken(Toys):
    def at(self, place):
        raise InputError("cannot read x.tar", "it is gone", "Bring it back")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_source_arrives_as_it_is(batcher, workers):
    with pytest.raises(InputError, match="it is gone") as caught:
        next(batches(Broken(), batcher, range(3), 0, 1, 2, workers))
    assert caught.value.mend == "Bring it back"


def test_a_batch_of_talks_gets_an_edit_that_counts_for_nothing(batcher):
    toys = Toys(talks=1)
    drawn = [(Sample(place, toys.at(place).example), Taken("toys", ())) for place in range(2)]
    alone, alike = Reading(batcher)(drawn), Reading(batcher, alike=True)(drawn)
    assert not alone.places and not alone.stand_in
    assert alike.stand_in and len(alike.places) == 1 and alike.tensors.editing.tolist() == [False, False, True]
    assert (alike.tensors.tokens.labels[-1] == IGNORE).all()
    assert (alike.tensors.tokens.labels != IGNORE).sum() == (alone.tensors.tokens.labels != IGNORE).sum()
    edits = [(Sample(1, Toys().at(1).example), Taken("toys", ()))]
    assert not Reading(batcher, alike=True)([drawn[0], *edits]).stand_in


def test_a_stand_in_moves_nothing(tmp_path):
    """The gradient of a batch of talks is the same with and without it."""
    found = []
    for alike in (False, True):
        run = Run(settings("joint"), Toys(talks=1), tmp_path, goals=goals)
        run.spread = alike
        run._mode()
        torch.manual_seed(0)
        for module in run.editor.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        run._backward(next(run._data()))
        found.append({name: p.grad for name, p in run.named.items()})
    plain, with_it = found
    assert any(grad is not None for grad in plain.values())
    for name, grad in with_it.items():
        before = plain[name] if plain[name] is not None else torch.zeros_like(grad) if grad is not None else None
        assert (grad is None and before is None) or torch.allclose(grad, before, atol=1e-6), name


def knobs(path="a", count=5, weight=1.0) -> MixtureKnobs:
    cc12m = {"knobs": {"path": path, "max_words": count}}
    return MixtureKnobs(datasets={"cc12m": cc12m}, weights={"cc12m": weight})


def test_a_run_may_move_its_data_and_divide_its_batch_anew_but_nothing_else():
    assert deciding(knobs("a")) == deciding(knobs("b"))
    assert deciding(knobs(count=5)) != deciding(knobs(count=6)) != deciding(knobs(weight=2.0))
    base = fingerprint(settings(batch=4, data=knobs("a")))
    assert fingerprint(settings(batch=2, accumulation=2, data=knobs("b"), workers=3)) == base
    assert fingerprint(settings(batch=1, data=knobs("a")), 4) == base
    assert fingerprint(settings(batch=4, data=knobs("a")), 2) != base
    assert fingerprint(settings(batch=4, seed=1, data=knobs("a"))) != base
