"""Instructions: of the right thing, in words that the formula stands for, and honestly divided."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from insightedit.scenes.formula import parse, picks, seen
from insightedit.scenes.grammar import ACTIONS, HELD_KINDS, held_out, holds, instruct, instructions, split_of
from insightedit.scenes.referents import KINDS, SIMPLE, reasoning, simple
from insightedit.scenes.sampling import samples
from insightedit.scenes.scene import TASKS

PAIRS = [way for pair in islice(samples(4), 110) for way in (pair, pair.reversed())]
ALL = [(pair, one) for pair in PAIRS for one in instructions(pair, random.Random(pair.seed), 6)]


def test_each_formula_picks_the_subject_and_only_it():
    assert len(ALL) > 800
    for pair, one in ALL:
        assert holds(pair, one)
        assert picks(parse(str(one.formula)), seen(pair.full)) == pair.subject


def test_no_reference_fits_another_thing_of_the_scene():
    for pair in PAIRS[:60:2]:
        things = seen(pair.before)
        words = Counter()
        for index in range(len(things)):
            for reference in (*simple(things, index), *reasoning(things, index)):
                words[reference.noun] += 1
        assert all(count == 1 for count in words.values()), words


def test_a_formula_does_not_hold_for_a_pair_about_another_thing():
    wrong = 0
    for pair, one in ALL:
        if pair.task == "remove" and len(pair.before.things) > 1:
            other = (pair.subject + 1) % len(pair.before.things)
            moved = pair.__class__(pair.before, pair.before.without(other), "remove", other)
            assert not holds(moved, one)
            wrong += 1
    assert wrong > 100


def test_sentences_are_english_and_short():
    for pair, one in ALL:
        assert "{" not in one.text and "  " not in one.text and len(one.text.split()) <= 20
        assert " a orange" not in one.text and "the the" not in one.text
        assert one.kind == SIMPLE or one.kind in KINDS
        if pair.task in ("replace", "recolour"):
            assert pair.result.colour in one.text
        if pair.task == "add":
            assert all(getattr(pair.thing, look) in one.text for look in ("size", "colour", "material", "shape"))


def test_every_kind_task_and_wording_occurs_in_both_parts():
    assert {one.kind for _, one in ALL} == {SIMPLE, *KINDS}
    assert {one.task for _, one in ALL} == set(TASKS)
    seen_actions = {(one.task, one.wording.split("/")[0]) for _, one in ALL}
    assert len(seen_actions) == sum(map(len, ACTIONS.values()))
    parts = Counter((one.task, one.level, split_of(pair, one)) for pair, one in ALL)
    assert len(parts) == 16 and min(parts.values()) >= 10, parts


def test_the_last_wordings_held_combinations_and_held_kinds_are_held_out_and_nothing_else():
    for pair, one in ALL:
        action, frame = map(int, one.wording.split("/"))
        last = action == len(ACTIONS[one.task]) - 1 or frame == 3
        held = last or held_out(pair) or (one.kind, one.task) in HELD_KINDS
        assert split_of(pair, one) == ("heldout" if held else "train")
    share = sum(map(held_out, PAIRS)) / len(PAIRS)
    assert 0.1 < share < 0.3


@pytest.mark.parametrize("part", ["train", "heldout"])
@pytest.mark.parametrize("level", ["simple", "advanced"])
def test_one_can_ask_for_a_part_and_a_level(part, level):
    found = [(pair, instruct(pair, random.Random(0), level, part)) for pair in PAIRS[:100]]
    given = [(pair, one) for pair, one in found if one]
    assert len(given) > 20
    assert all(split_of(pair, one) == part and one.level == level for pair, one in given)


def test_the_same_chance_gives_the_same_words():
    pair = PAIRS[3]
    assert instructions(pair, random.Random(5), 4) == instructions(pair, random.Random(5), 4)
    said = instructions(pair, random.Random(5), 4)
    assert len({(one.kind, str(one.formula)) for one in said}) == len(said)


def test_an_addition_names_a_thing_that_is_there_before():
    for pair, one in ALL:
        if pair.task == "add":
            assert one.formula.word == "all" and len(one.formula.parts) == 5
            anchor = one.formula.parts[4].parts[0]
            assert picks(anchor, seen(pair.before)) is not None


HELD_LOOKS = {  # as docs/scenes.md lists them
    "remove": {("red", "sphere"), ("cyan", "cube"), ("blue", "cylinder"), ("gray", "cone")},
    "add": {("blue", "sphere"), ("gray", "cube"), ("purple", "cylinder"), ("green", "cone")},
    "replace": {("purple", "sphere"), ("green", "cube"), ("orange", "cylinder"), ("yellow", "cone")},
    "recolour": {("orange", "sphere"), ("yellow", "cube"), ("red", "cylinder"), ("cyan", "cone")},
}
HELD_WORDS = {"remove": "disappear", "add": "insert ", "replace": "exchange ", "recolour": "recolor "}


def shown(pair) -> set[tuple[str, str]]:
    return {(thing.colour, thing.shape) for thing in (pair.thing, pair.result) if thing}


def test_training_shows_nothing_that_is_held_out():
    said = [(pair, one) for pair in PAIRS for one in instructions(pair, random.Random(1), 9, "train")]
    assert len(said) > 800
    for pair, one in said:
        assert not shown(pair) & HELD_LOOKS[one.task] and (one.kind, one.task) not in HELD_KINDS
        assert "look for" not in one.text and HELD_WORDS[one.task] not in one.text


def test_what_is_held_out_is_what_the_guide_lists():
    guide = (Path(__file__).parents[2] / "docs" / "scenes.md").read_text()
    for task, looks in HELD_LOOKS.items():
        row = next(line for line in guide.splitlines() if line.startswith(f"| {task} |"))
        assert all(f"{colour} {shape}" in row for colour, shape in looks)
        assert HELD_WORDS[task].strip() in row
    assert all(held_out(pair) == bool(shown(pair) & HELD_LOOKS[pair.task]) for pair in PAIRS)
