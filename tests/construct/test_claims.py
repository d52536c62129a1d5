"""What a model says of an object, measured: lies are caught, truths are proved, and in doubt nothing is claimed."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from scenery import edit, edits, scene, thing

from insightedit.backends.chat.replies import Clue, Sentence
from insightedit.construct.claims import Seen, fault_of, is_a, proof, untrue
from insightedit.construct.instruct import DIRECTIONS, InstructKnobs, instructions, scene_of
from insightedit.construct.pointing import frames_of
from insightedit.construct.referring import AnyOf, Between, Is, Most, Nth, Rel, parse, walk
from insightedit.core.record import Direction, Object

# 240 x 180: a row of three mugs from left to right, a lamp above the first, a table that is seen nowhere else
MUG, BLUE, SMALL = (
    thing(0, "red mug", (10, 100, 60, 160), category="mug", colour="red"),
    thing(1, "blue mug", (90, 100, 140, 160), category="mug", colour="blue"),
    thing(2, "tiny mug", (190, 120, 210, 145), category="mug", colour="white"),
)
LAMP = thing(3, "lamp", (15, 10, 55, 60))
ROOM = [MUG, BLUE, SMALL, LAMP]


def seen(target: Object, objects: list[Object] = ROOM, way: Direction = "forward", **values: Any) -> Seen:
    made = edit(target, **values.pop("edit", {}))
    order = tuple(one.object_id for one in objects)
    return Seen(scene_of(made, objects, way), order, way == "reverse", **values)


def clue(says: str, word: str = "", others: tuple[int, ...] = (), count: int = 0) -> Clue:
    return Clue(says=says, word=word, others=list(others), count=count)


def sentence(text: str, *clues: Clue) -> Sentence:
    return Sentence(text=text, clues=list(clues))


LIES = [
    (BLUE, clue("left_of", others=(1,))),
    (MUG, clue("right_of", others=(2,))),
    (LAMP, clue("below", others=(1,))),
    (MUG, clue("above", others=(4,))),
    (MUG, clue("between", others=(2, 3))),
    (SMALL, clue("largest", "mug")),
    (SMALL, clue("largest", others=(1,))),
    (MUG, clue("smallest", "mug")),
    (SMALL, clue("leftmost", "mug")),
    (MUG, clue("rightmost")),
    (MUG, clue("highest")),
    (SMALL, clue("tallest", "mugs")),
    (SMALL, clue("at_left")),
    (LAMP, clue("at_bottom")),
    (LAMP, clue("in_middle")),
    (SMALL, clue("nearest_to", "mug", (4,))),
    (SMALL, clue("nth_from_left", "mug", count=1)),
    (MUG, clue("nth_from_left", "mug", count=3)),
    (MUG, clue("one_of", "mugs", count=2)),
]
TRUTHS = [
    (MUG, clue("left_of", others=(2,))),
    (BLUE, clue("right_of", others=(1,))),
    (LAMP, clue("above", others=(1,))),
    (MUG, clue("below", others=(4,))),
    (BLUE, clue("between", others=(1, 3))),
    (MUG, clue("largest", "mug")),
    (SMALL, clue("smallest", "mug")),
    (MUG, clue("leftmost", "mug")),
    (SMALL, clue("rightmost")),
    (LAMP, clue("highest")),
    (SMALL, clue("at_right")),
    (BLUE, clue("in_middle")),
    (MUG, clue("nearest_to", "mug", (4,))),
    (BLUE, clue("nth_from_left", "mug", count=2)),
    (MUG, clue("nth_from_right", "mug", count=3)),
    (MUG, clue("one_of", "mugs", count=3)),
    (MUG, clue("colour", "crimson")),
    (MUG, clue("other", "chipped")),
    (MUG, clue("left_of", others=(99,))),
    (MUG, clue("largest", "gizmo")),
]


@pytest.mark.parametrize(("target", "told"), LIES, ids=lambda value: getattr(value, "says", None))
def test_a_lie_about_geometry_is_caught(target: Object, told: Clue) -> None:
    assert untrue(told, seen(target))
    fault = fault_of(sentence("Which of them shall go?", told), True, seen(target), 20)
    assert fault is not None and fault.reason == "untrue_claim" and told.says.split("_")[0] in fault.why


@pytest.mark.parametrize(("target", "told"), TRUTHS, ids=lambda value: getattr(value, "says", None))
def test_what_is_true_or_cannot_be_measured_is_no_lie(target: Object, told: Clue) -> None:
    assert not untrue(told, seen(target))


def test_an_incomplete_list_makes_no_liar_of_who_counts_more() -> None:
    for told in (clue("one_of", "mug", count=5), clue("nth_from_left", "mug", count=4)):
        assert untrue(told, seen(MUG)) and not untrue(told, seen(MUG, complete=False))


# --- against the instructions that are right by construction ----------------------------------------------------------


def as_clues(query: Any, numbers: dict[str, int]) -> list[Clue]:
    """The clues that an honest model would list for a formula, as far as they have words; [] for others."""
    found: list[Clue] = []
    for part in getattr(query, "parts", (query,)):
        match part:
            case Rel(relation=word, anchor=Is(field="name", value=name)):
                found.append(clue(word, others=(numbers[name],)))
            case Between(first=Is(value=one), second=Is(value=other)):
                found.append(clue("between", others=(numbers[one], numbers[other])))
            case Most(by=word, of=AnyOf(members=members)) if all(isinstance(one, Is) for one in members):
                found.append(clue(word, others=tuple(numbers[one.value] for one in members)))
            case Nth(n=n, side=side, of=of):
                found.append(clue(f"nth_from_{side}", of.value, count=n))
            case Is(field="across" | "down" as field, value=value) if value != "middle":
                found.append(clue(f"at_{value}"))
            case Is(field="name" | "kind" | "use" | "colour" as field, value=value):
                found.append(clue(field, value))
    return found


def test_nothing_that_the_offline_way_verified_is_called_a_lie() -> None:
    checked = 0
    for seed in range(12):
        rng = Random(seed)
        objects = scene(rng)
        for made in (one for item in objects for one in edits(item, rng)):
            for way in DIRECTIONS:
                shown = scene_of(made, objects, way)
                order = tuple(one.object_id for one in shown.objects)
                view = Seen(shown, order)
                numbers = {one.name: number for number, one in enumerate(shown.objects, 1)}
                for line in instructions(made, objects, way, InstructKnobs(), seed):
                    for told in as_clues(parse(line.query), numbers):
                        checked += 1
                        assert not untrue(told, view), (seed, line, told)
    assert checked > 400


# --- proofs ----------------------------------------------------------------------------------------------------------

PROVED = [
    (MUG, "Remove the red mug.", (clue("name", "red mug"),), 'name("red mug")'),
    (MUG, "What is leftmost among the mugs may go.", (clue("leftmost", "mugs"),), 'leftmost(category("mug"))'),
    (LAMP, "Take away what hangs above the red mug.", (clue("above", others=(1,)),), 'above(name("red mug"))'),
    (
        BLUE,
        "Whatever stands between the red mug and the tiny mug can go.",
        (clue("between", others=(1, 3)),),
        'between(name("red mug"), name("tiny mug"))',
    ),
    (SMALL, "Take the smallest mug away.", (clue("smallest", "mug"),), 'smallest(category("mug"))'),
]
DOUBTED = [
    (MUG, "Remove the red mug next to the lamp.", (clue("name", "red mug"),)),  # "next" is in no clue
    (MUG, "Remove the red mug and its lamp.", (clue("name", "red mug"),)),  # nor is the lamp
    (MUG, "Remove the mug.", (clue("name", "mug"),)),  # there are three
    (MUG, "Remove the red mug.", (clue("name", "red mug"), clue("left_of", others=(2,)))),  # does not say so
    (MUG, "Remove the mug.", (clue("leftmost", "mug"),)),  # a clue that the sentence keeps to itself
    (MUG, "Take away what stands below it.", (clue("below", others=(4,)),)),  # does not say what
    (MUG, "Remove the thing that one drinks from.", (clue("use", "that you can drink from"),)),
    (MUG, "Remove the red mug.", ()),
    (MUG, "Remove the leftmost thing.", (clue("leftmost"),)),  # more may be in view than is listed
    (BLUE, "Remove what is below the lamp.", (clue("below", others=(4,)),)),
]


@pytest.mark.parametrize(("target", "text", "clues", "query"), PROVED, ids=lambda value: str(value)[:30])
def test_geometry_proves_what_it_can(target: Object, text: str, clues: tuple[Clue, ...], query: str) -> None:
    assert str(proof(sentence(text, *clues), seen(target))) == query


@pytest.mark.parametrize(("target", "text", "clues"), DOUBTED, ids=lambda value: str(value)[:30])
def test_in_doubt_nothing_is_proved(target: Object, text: str, clues: tuple[Clue, ...]) -> None:
    assert proof(sentence(text, *clues), seen(target)) is None


def test_a_proof_is_always_of_the_right_thing() -> None:
    """Whatever is said of whatever thing: what is proved picks that thing."""
    words = [clue("name", "mug"), clue("leftmost", "mug"), clue("smallest", "mug"), clue("below", others=(4,))]
    words += [clue("colour", "red"), clue("kind", "container"), clue("at_left"), clue("nth_from_left", "mug", count=2)]
    text = "The red leftmost smallest mug, a container, left of others or below the lamp"
    for target in ROOM:
        for one in words:
            query = proof(sentence(text, one), seen(target))
            assert query is None or seen(target).scene.picks_target(query)


def test_a_described_thing_that_nobody_found_leaves_doubt_where_it_could_be_meant() -> None:
    told = sentence("Take the smallest mug away.", clue("smallest", "mug"))
    lost = Object(object_id="x", category="mug", name="green mug", box=[])
    assert proof(told, seen(SMALL)) and proof(told, seen(SMALL, unplaced=(lost,))) is None
    assert proof(told, seen(SMALL, unplaced=(lost.but(category="cat", name="cat"),)))
    above = sentence("Take away what hangs above the red mug.", clue("above", others=(1,)))
    cat = lost.but(category="cat", name="cat")
    assert proof(above, seen(LAMP)) and proof(above, seen(LAMP, unplaced=(cat,))) is None, "it may hang there"


def test_rows_are_proved_only_where_the_list_is_complete() -> None:
    told = sentence("The second mug from the left is in the way.", clue("nth_from_left", "mug", count=2))
    assert proof(told, seen(BLUE)) is None, "'second' stands in no list of spoken words"
    told = sentence("Of the mugs, number 2 from the left is in the way.", clue("nth_from_left", "mug", count=2))
    query = proof(told, seen(BLUE))
    assert query is not None and any(isinstance(part, Nth) for part in walk(query))
    assert proof(told, seen(BLUE, complete=False)) is None


# --- rules -----------------------------------------------------------------------------------------------------------

FAULTS = [
    ("too_long", "Remove " + "the " * 20 + "mug.", False),
    ("not_english", "请把红色的杯子去掉。", False),
    ("no_words", '"!"', False),
    ("speaks_of_other_image", "Make it look like the second image.", True),
    ("speaks_of_other_image", "Remove the object inside the mask.", True),
    ("names_the_object", "Which lamp could be taken from the scene?", True),
]


@pytest.mark.parametrize(("reason", "text", "advanced"), FAULTS)
def test_what_breaks_a_rule_is_not_asked_about(reason: str, text: str, advanced: bool) -> None:
    fault = fault_of(sentence(text), advanced, seen(LAMP), 20)
    assert fault is not None and fault.reason == reason and fault.why


def test_pictures_on_walls_and_masks_on_faces_may_be_spoken_of() -> None:
    for text in ("Remove the picture on the wall.", "Take off the face mask.", "Remove it before sunset."):
        assert fault_of(sentence(text), False, seen(LAMP), 20) is None


def test_a_name_that_others_share_and_the_name_of_what_is_to_come_give_nothing_away() -> None:
    text = sentence("Which of these mugs is the littlest? It may go.")
    assert fault_of(text, True, seen(SMALL), 20) is None
    named = fault_of(text, True, seen(SMALL, [SMALL, LAMP]), 20)
    assert named is not None and named.reason == "names_the_object"
    assert fault_of(text, True, seen(SMALL, [SMALL, LAMP], "reverse"), 20) is None
    assert fault_of(text, False, seen(SMALL, [SMALL, LAMP]), 20) is None


def test_what_the_edit_covers_is_no_landmark() -> None:
    spoon = thing(4, "spoon", (30, 120, 50, 150))
    view = seen(MUG, [MUG, LAMP, spoon], "reverse")
    assert view.scene.hidden == {"o4"}
    swapped = {"task": "replace", "method": "replacement", "object_after": "kettle"}
    replaced = seen(MUG, [MUG, LAMP, spoon], "reverse", edit=swapped)
    assert [number for number, _ in frames_of(replace(replaced, adding=False))] == [1, 2]
    assert [number for number, _ in frames_of(view)] == [1, 2, 3], "there it is still to be seen"
    by_name = fault_of(sentence("Add a red mug around the spoon."), False, view, 20)
    by_clue = fault_of(sentence("Add a red mug.", clue("on", others=(3,))), False, view, 20)
    assert by_name is not None and by_name.reason == "names_what_is_not_there"
    assert by_clue is not None and by_clue.reason == "untrue_claim"


def test_words_that_nothing_knows_leave_doubt() -> None:
    assert is_a(MUG, "mugs") is True and is_a(MUG, "red mug") is True and is_a(MUG, "gizmo") is None
    assert is_a(thing(5, "pigeon", (0, 0, 9, 9)), "bird") is True
    assert is_a(thing(5, "dog", (0, 0, 9, 9)), "birds") is False
