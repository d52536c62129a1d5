"""Instructions: both directions of every edit, verified, short, without stumbling, the same on every run."""

from collections import Counter
from functools import cache
from itertools import pairwise
from random import Random

import pytest
from scenery import HEIGHT, WIDTH, edit, edits, scene, thing
from test_referring import plainly

from insightedit.construct.grammar import words_of
from insightedit.construct.instruct import DIRECTIONS, Instruct, InstructKnobs, detail_of, instructions, scene_of
from insightedit.construct.referring import parse
from insightedit.construct.work import Painting, Segmentation, Wording, Work
from insightedit.core.record import Direction, Edit, Instruction, Object, Photo

SEEDS = range(120)
KNOBS = InstructKnobs()
Row = tuple[list[Object], Edit, Direction, list[Instruction]]


@cache
def rows(seed: int) -> list[Row]:
    """Every edit of every object of a random scene, in both directions."""
    rng = Random(seed)
    objects = scene(rng)
    made = [made for item in objects for made in edits(item, rng)]
    return [(objects, one, way, instructions(one, objects, way, KNOBS, seed)) for one in made for way in DIRECTIONS]


def texts(objects: list[Object], made: Edit, way: Direction, kind: str = "simple") -> list[str]:
    knobs = InstructKnobs(simple_per_direction=99, advanced_per_direction=99)
    return [line.text for line in instructions(made, objects, way, knobs, 0) if line.kind == kind]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_instruction_picks_exactly_the_edited_object_by_brute_force(seed: int) -> None:
    for objects, made, way, lines in rows(seed):
        seen = scene_of(made, objects, way)
        for line in lines:
            assert line.picks == [made.object_id]
            assert plainly(parse(line.query), _measurable(seen.objects, objects)) == {made.object_id}, line


def _measurable(shown: tuple[Object, ...], objects: list[Object]) -> list[Object]:
    """A transplanted thing has no mask of its own; by brute force it stands where the old one stood."""
    return [item if item.mask else item.but(mask=old.mask) for item, old in zip(shown, objects, strict=True)]


@pytest.mark.parametrize("seed", SEEDS)
def test_instructions_are_short_capitalised_ended_and_do_not_stumble(seed: int) -> None:
    for _, _, way, lines in rows(seed):
        assert len({line.text for line in lines}) == len(lines)
        for line in lines:
            tokens = words_of(line.text)
            assert line.direction == way
            assert line.n_words == len(line.text.split()) <= 20
            assert line.text[0].isupper() and line.text[-1] in ".?"
            assert "  " not in line.text and " ." not in line.text and "{" not in line.text and "None" not in line.text
            assert all(one != two for one, two in pairwise(tokens)), line.text
            assert not {"a", "an", "the", "some"} & {one for one, two in pairwise(tokens) if two in ("a", "an", "the")}


@pytest.mark.parametrize("seed", SEEDS)
def test_only_choices_and_additions_name_the_target(seed: int) -> None:
    for objects, made, way, lines in rows(seed):
        seen = scene_of(made, objects, way)
        for line in lines:
            adds = made.task == "remove_add" and way == "reverse"
            if line.kind == "advanced" and not adds and "any(" not in line.query and "nth(" not in line.query:
                assert seen.target.name.split()[-1] not in words_of(line.text), line.text


def test_every_direction_of_every_kind_of_edit_is_covered() -> None:
    found: Counter[tuple[str, ...]] = Counter(
        (made.task, made.method, way, line.kind)
        for seed in SEEDS
        for _, made, way, lines in rows(seed)
        for line in lines
    )
    for task, method in (
        ("remove_add", "removal"),
        ("replace", "recolour"),
        ("replace", "material"),
        ("replace", "transplant"),
        ("remove_add", "composed"),
        ("replace", "composed"),
    ):
        for way in DIRECTIONS:
            for kind in ("simple", "advanced"):
                assert found[task, method, way, kind] > 100, (task, method, way, kind)
    assert {line.form for seed in SEEDS for row in rows(seed) for line in row[3]} == {
        "template", "description", "question", "reasoning",
    }  # fmt: skip


def test_where_things_are_told_apart_there_are_enough_instructions() -> None:
    for seed in SEEDS:
        for objects, made, way, lines in rows(seed):
            kinds = Counter(line.kind for line in lines)
            names = [item.name.split()[-1] for item in objects]
            told = len(set(names)) == len(names) and not any(item.category == "person" for item in objects)
            if told and "orange" not in names:  # an orange is hard to turn orange
                assert 3 <= kinds["simple"] <= 5, (made, way)
            assert kinds["simple"] <= 5 and kinds["advanced"] <= 4


def test_the_same_seed_gives_the_same_words_whatever_else_is_asked() -> None:
    objects, made, way, lines = rows(3)[0]
    assert instructions(made, objects, way, KNOBS, 3) == lines
    assert instructions(made, objects, way, KNOBS, 4) != lines


def test_recolouring_a_thing_whose_name_holds_its_colour_drops_the_old_word() -> None:
    brush = thing(0, "pink brush", (60, 40, 100, 140), colour="pink")
    made = edit(brush, task="replace", method="recolour", object_after="pink brush", look_after="blue")
    assert "Make the pink brush blue." in texts([brush], made, "forward")
    assert "Make the blue brush pink." in texts([brush], made, "reverse")
    assert not any("pink" in text.split(" brush")[0] for text in texts([brush], made, "reverse"))


def test_plain_removal_and_addition_read_as_people_say_them() -> None:
    bottle = thing(0, "wine bottle", (60, 40, 100, 140), colour=None)
    made = edit(bottle)
    assert {"Remove the wine bottle.", "Get rid of the wine bottle."} <= set(texts([bottle], made, "forward"))
    assert "Add a wine bottle." in texts([bottle], made, "reverse")


def test_added_things_are_neither_left_nor_second_but_another() -> None:
    towers = [thing(0, "right tower", (180, 40, 200, 140)), thing(1, "lightning tower", (40, 40, 60, 140))]
    found = texts(towers, edit(towers[0]), "reverse")
    assert "Add another tower." in found
    assert not any("right tower" in text for text in found)


def test_material_is_undone_to_the_colour_or_to_the_natural_look() -> None:
    vase = thing(0, "vase", (60, 40, 100, 140))
    made = edit(vase, task="replace", method="material", object_after="vase", look_after="marble")
    assert "Turn the vase into marble." in texts([vase], made, "forward")
    assert "Make the marble vase look natural again." in texts([vase], made, "reverse")
    assert "Turn the marble vase green." in texts([vase], made.but(look_before="green"), "reverse")


def test_transplants_name_both_things() -> None:
    fig = thing(0, "fig", (60, 40, 100, 80))
    made = edit(fig, task="replace", method="transplant", object_after="orange", look_after="orange", look_before=None)
    assert "Replace the fig with an orange." in texts([fig], made, "forward")
    assert "Swap the orange for a fig." in texts([fig], made, "reverse")


def test_things_of_one_name_are_told_apart_by_place() -> None:
    pair = [thing(0, "dandelion", (10, 60, 40, 90)), thing(1, "dandelion", (200, 60, 230, 90))]
    found = texts(pair, edit(pair[1]), "forward")
    assert "Remove the dandelion on the right side of the picture." in found
    clever = texts(pair, edit(pair[1]), "forward", "advanced")
    assert any(text.startswith("Of the two dandelions, ") and text.endswith(" the right one.") for text in clever)


def test_a_fig_in_a_bowl_is_described_by_what_it_is_for_and_where() -> None:
    bowl, fig = thing(0, "bowl", (20, 20, 220, 170), colour="red"), thing(1, "fig", (90, 70, 140, 120), colour=None)
    found = texts([bowl, fig], edit(fig), "forward", "advanced")
    assert any("that you can eat" in text for text in found)
    assert any(text.startswith("Which looks smaller in the picture, the ") for text in found)
    assert any("in the bowl" in text and "fig" not in text for text in found)


def test_what_the_removed_thing_hides_is_no_landmark_for_its_return() -> None:
    table, cup = thing(0, "table", (20, 40, 220, 170)), thing(1, "cup", (90, 60, 120, 100))
    lines = instructions(edit(table), [table, cup], "reverse", KNOBS, 0)
    assert lines and not any("cup" in line.text for line in lines)


def test_details_become_noun_phrases_or_nothing() -> None:
    assert detail_of("A dark bottle with a label, on a table.", "bottle") == "a dark bottle with a label"
    assert detail_of("old bottle with a label", "bottle") == "an old bottle with a label"
    assert detail_of("It stands there", "bottle") == ""
    assert detail_of("", "bottle") == ""
    assert detail_of("a bottle", "bottle") == ""
    assert detail_of("a " + "very " * 12 + "old bottle", "bottle") == ""


def work(objects: list[Object], made: list[Edit]) -> Work:
    photo = Photo(
        photo_id="photo", uri="a.jpg", sha256="0", phash=0, cluster="photo", width=WIDTH, height=HEIGHT,
        orig_width=WIDTH, orig_height=HEIGHT,
    )  # fmt: skip
    values = {
        "segment": Segmentation(photo_id="photo", objects=objects),
        "paint": Painting(photo_id="photo", edits=made),
    }
    return Work(photo, dict(values))


def test_the_step_words_every_edit_and_reports_what_has_no_name_of_its_own() -> None:
    twins = [thing(0, "gizmo", (60, 40, 100, 80)), thing(1, "gizmo", (64, 44, 104, 84))]
    step = Instruct(InstructKnobs(), 7)
    made = [edit(item) for item in twins]
    [found] = step.process([work(twins, made)])
    assert isinstance(found, Wording)
    assert [item.edit_id for item in found.edits] == [item.edit_id for item in made]
    assert {(no.step, no.reason, no.object_id) for no in found.rejects} == {
        ("instruct", "no_unique_name", "o0"), ("instruct", "no_unique_name", "o1"),
    }  # fmt: skip
    assert all(no.photo_id == "photo" and no.edit_id for no in found.rejects)
    lone = step.process([work(twins[:1], made[:1])])[0]
    assert isinstance(lone, Wording) and not lone.rejects


def test_fewer_words_and_no_counting_can_be_asked_for() -> None:
    row = [thing(at, "dandelion", (10 + 50 * at, 60, 40 + 50 * at, 90)) for at in range(3)]
    brief = instructions(edit(row[1]), row, "forward", InstructKnobs(max_words=8, advanced_per_direction=9), 0)
    assert all(line.n_words <= 8 for line in brief)
    quiet = instructions(edit(row[1]), row, "forward", InstructKnobs(counting=False, advanced_per_direction=9), 0)
    assert not any("three" in line.text for line in quiet)


def test_a_transplanted_thing_is_not_measured_by_the_one_it_stands_for() -> None:
    fig, bowl = thing(0, "fig", (60, 40, 80, 60)), thing(1, "bowl", (120, 30, 220, 130))
    made = edit(fig, task="replace", method="transplant", object_after="orange", category_after="orange")
    assert any("bigger" in text or "smaller" in text for text in texts([fig, bowl], made, "forward", "advanced"))
    for text in texts([fig, bowl], made, "reverse", "advanced"):
        assert not {"bigger", "smaller", "taller"} & set(words_of(text)), text


def test_a_look_in_a_name_is_not_doubled_by_a_measured_one() -> None:
    bag = thing(0, "beige beanbag", (60, 40, 100, 80), colour="brown")
    made = edit(bag, task="replace", method="transplant", object_after="vase", look_after=None)
    found = texts([bag], made, "reverse") + texts([bag], edit(bag), "reverse") + texts([bag], edit(bag), "forward")
    assert found and not any("brown" in text for text in found)
