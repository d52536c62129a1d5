"""Pairs drawn once: the same pictures, sentences that fit them, and labels that say what a patch shows."""

import pickle
import random

import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.datasets.drawn import LOOKS, draw_all, opened, seen
from insightedit.datasets.rendered import Rendered, RenderedCaptions, RenderedKnobs, in_words
from insightedit.scenes.formula import seen as things_of
from insightedit.scenes.grammar import instruct
from insightedit.scenes.render import render_pair
from insightedit.scenes.sampling import pair_seed, sample

COUNT = 6


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "pairs"
    return draw_all(folder, COUNT, 64, 3, 0)


def knobs(drawn=None, **more) -> RenderedKnobs:
    return RenderedKnobs(count=COUNT, seed=3, store=drawn and drawn.folder, **more)


def test_drawn_pictures_are_those_drawn_on_demand(drawn):
    kept, fresh = Rendered(knobs(drawn)), Rendered(knobs())
    for index in range(len(fresh)):
        one, other = kept.example(index, 5), fresh.example(index, 5)
        if one.id == other.id:  # else nothing of that level could be said of the pair, and stand-ins differ
            assert one.instruction == other.instruction and one.task == other.task
            assert np.array_equal(one.source, other.source) and np.array_equal(one.target, other.target)
    assert sum(kept.example(i, 5).id == fresh.example(i, 5).id for i in range(len(fresh))) > COUNT


def test_the_second_half_is_mirrored_and_speaks_of_what_it_shows(drawn):
    reader = Rendered(knobs(drawn, mirror=True))
    assert len(reader) == 4 * COUNT
    pair = sample(pair_seed(3, 0))
    flipped = next(
        one for one in (reader.example(2 * COUNT, seed) for seed in range(9)) if one.id == f"{pair.seed:x}-0m"
    )
    assert np.array_equal(flipped.source[:, ::-1], render_pair(pair, 64).before.image)
    assert flipped.mask is not None
    assert np.array_equal(flipped.mask, (flipped.source != flipped.target).any(axis=2))


def test_left_becomes_right_in_a_mirrored_pair_and_its_picture_is_the_flipped_one():
    turned = 0
    for number in range(40):
        pair = sample(pair_seed(0, number))
        for thing, other in zip(pair.before.things, pair.mirrored().before.things, strict=True):
            assert thing.right == -other.right and thing.away == other.away
        if pair.before.ground.pattern == "plain" and turned < 3:
            plain, flipped = render_pair(pair, 64), render_pair(pair.mirrored(), 64)
            assert np.array_equal(plain.before.image, flipped.before.image[:, ::-1])
            turned += 1
    assert turned


def test_the_answer_names_what_the_sentence_is_about():
    for number in range(60):
        pair = sample(pair_seed(1, number))
        for directed in (pair, pair.reversed()):
            said = instruct(directed, random.Random(number), "simple", "train")
            if said is None:
                continue
            words = in_words(directed, said.formula)
            assert len(words) == 8
            looks = LOOKS["colour"] + LOOKS["shape"] + LOOKS["size"] + LOOKS["material"]
            named = [word for word in said.text.replace("?", "").replace(",", "").split() if word in looks]
            if directed.task != "add":  # eight words do not hold the new thing's size and material too
                assert set(named) <= set(words), (said.text, words)
            if directed.task == "recolour":
                assert words[5] == directed.result.colour and words[4] == "change"


def test_captions_name_every_thing(drawn):
    reader = RenderedCaptions(knobs())
    for index in range(len(reader)):
        pair = sample(pair_seed(3, index // 2))
        scene = pair.after if index % 2 else pair.before
        text = reader.example(index, 0).text
        assert text.count(" a ") + text.startswith("a ") == len(scene.things)
        assert all(thing.colour in text and thing.shape in text for thing in things_of(scene))


def test_patches_are_labelled_by_what_covers_them(drawn):
    one = seen(drawn, 8, random.Random(2))
    assert one.image.shape == (64, 64, 3) and one.patches.shape == (64, 4) and one.there.sum() >= 1
    shows = one.patches[:, 0] > 0
    assert shows.any() and (one.patches[:, 0] == 0).any()
    assert ((one.patches[shows] > 0).all(axis=1)).all()  # size, colour, material and shape together
    pairs = {(colour - 1, shape - 1) for _, colour, _, shape in one.patches[shows]}
    there = {tuple(place) for place in np.argwhere(one.there.reshape(len(LOOKS["colour"]), -1))}
    assert pairs <= there


def test_a_folder_with_other_pairs_is_refused_and_a_whole_one_kept(drawn):
    assert draw_all(drawn.folder, COUNT, 64, 3, 0).folder == drawn.folder
    for other in ((COUNT, 64, 4), (COUNT + 1, 64, 3), (COUNT, 32, 3)):
        with pytest.raises(InputError, match="holds other scenes"):
            opened(drawn.folder, *other)
    with pytest.raises(InputError, match="no drawn scenes"):
        opened(drawn.folder / "none", COUNT, 64, 3)


def test_what_is_drawn_travels_to_other_processes_as_a_path(drawn):
    assert len(drawn["before"]) == COUNT and len(pickle.dumps(drawn)) < 1000
    assert np.array_equal(pickle.loads(pickle.dumps(drawn))["after"], drawn["after"])  # noqa: S301
