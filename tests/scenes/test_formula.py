"""The language of descriptions: written and read back, true, false or doubtful."""

from __future__ import annotations

import pytest

from insightedit.scenes.formula import (
    ANYTHING,
    Formula,
    Seen,
    described,
    every,
    parse,
    picks,
    read_seen,
    selects,
    truths,
)


def thing(shape="cube", colour="red", size="big", across=0.5, right=0.0, away=0.0, material="matte") -> Seen:
    return Seen(shape, colour, size, material, across, right, away)


ROW = (
    thing(across=0.2, right=-2, away=0),
    thing("sphere", "blue", "small", across=0.5, right=0, away=1),
    thing("cone", "blue", "small", across=0.52, right=0.1, away=-2),
    thing("cube", "green", "small", across=0.8, right=2, away=0.1),
)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ('colour("red")', 0),
        ('colour("blue")', None),
        ('all(colour("blue"), shape("cone"))', 2),
        ("leftmost(anything())", 0),
        ("rightmost(anything())", 3),
        ('rightmost(shape("cube"))', 3),
        ('rightmost(colour("blue"))', None),  # 0.50 and 0.52: nobody could say
        ("nearest(anything())", 2),
        ("farthest(anything())", 1),
        ("largest(anything())", 0),
        ("smallest(anything())", None),
        ('lacks(size("small"))', 0),
        ('left_of(shape("sphere"))', 0),
        ('right_of(shape("sphere"))', None),  # the cone is 0.02 to the right of it: is that "to the right"?
        ('right_of(colour("red"))', None),  # three are
        ('behind(colour("red"))', 1),
        ('in_front_of(colour("red"))', 2),
        ('same("colour", shape("cone"))', 1),
        ('same("shape", colour("green"))', 0),
        ('same("size", colour("green"))', None),
        ('closest(shape("sphere"))', None),  # red and green cube are about as far
        ('closest(colour("blue"))', None),  # there are two
        ('all(shape("cube"), left_of(nearest(anything())))', 0),
    ],
)
def test_a_formula_picks_what_a_person_would_or_nothing(text, index):
    assert picks(parse(text), ROW) == index


def test_truth_has_three_values():
    assert truths(parse('leftmost(colour("blue"))'), ROW) == [False, None, None, False]
    near = (thing(across=0.5), thing("cone", across=0.53))
    assert truths(parse('right_of(shape("cube"))'), near) == [False, None]
    assert truths(parse('right_of(shape("sphere"))'), near) == [None, None]  # there is no such thing to start from


def test_formulas_and_things_are_read_back_as_they_were_written():
    formula = every(described(colour="red", shape="cube"), Formula("left_of", (Formula("same", ("shape", ANYTHING)),)))
    assert parse(str(formula)) == formula
    assert [read_seen(str(one)) for one in ROW] == list(ROW)


@pytest.mark.parametrize(
    "text",
    ["", "red", "colour(red)", 'colour("pink")', "leftmost()", "leftmost(anything(), anything())", 'behind("cube")',
     "__import__('os')", 'same("colour")', "all()", "colour(3)", "anything(", "x" * 10, 'colour(shape("cube"))',
     "leftmost(of=anything())"],
)  # fmt: skip
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ValueError, match="not a formula"):
        parse(text)


@pytest.mark.parametrize("text", ["", "red cube", "big red matte cube at across x, right 1, away 2"])
def test_what_is_no_thing_is_refused(text):
    with pytest.raises(ValueError):
        read_seen(text)


def test_an_addition_must_start_from_what_the_reader_sees():
    new = parse('all(colour("red"), left_of(shape("sphere")))')
    assert selects(new, ROW, 0, adding=True)
    assert not selects(parse('colour("red")'), ROW, 0, adding=True)  # says nothing of the place
    # "the cube", which it can be only without the new cube; and "the leftmost", which is the new one itself
    assert not selects(parse('all(colour("red"), left_of(shape("cube")))'), ROW, 0, adding=True)
    assert not selects(parse('all(colour("red"), left_of(leftmost(anything())))'), ROW, 0, adding=True)
