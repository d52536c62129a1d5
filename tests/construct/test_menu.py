"""Which edits are worth painting, on drawn masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from insightedit.construct.menu import (
    LookKnobs,
    Refusal,
    RemovalKnobs,
    TransplantKnobs,
    Wish,
    fit_to_remove,
    fit_to_repaint,
    holds,
    wishes,
    without_others,
)
from insightedit.construct.work import Description, Segmentation, Work
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask
from insightedit.core.record import Object, Photo, Rle

WIDTH, HEIGHT = 400, 300


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    full = np.zeros((HEIGHT, WIDTH), bool)
    full[y0:y1, x0:x1] = True
    return full


def disc(x: int, y: int, radius: int) -> np.ndarray:
    full = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(full, (x, y), radius, 1, -1)
    return full.astype(bool)


def bowl() -> np.ndarray:
    """The lower half of an ellipse with its rim as an ellipse of its own."""
    full = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(full, (200, 150), (100, 90), 0, 0, 180, 1, -1)
    cv2.ellipse(full, (200, 150), (100, 25), 0, 0, 360, 1, -1)
    return full.astype(bool)


def thing(name: str, full: np.ndarray, **known) -> Object:
    mask = Mask.of(full)
    facts = {"mask_score": 0.9, "rim": 0.9, "area": mask.area, "box": list(mask.box), "mask": Rle(**mask.rle())}
    return Object(**({"object_id": name, "category": name, "name": name} | facts | known))


# --- what holds what ------------------------------------------------------------------------------------------------

HELD = {
    "fig in a bowl that is outlined without it": (bowl() & ~disc(200, 150, 20), disc(200, 150, 20)),
    "fig in a bowl that is outlined with it": (bowl(), disc(200, 150, 20)),
    "fig that looks over the rim": (bowl(), disc(200, 120, 25)),
    "bottle on a table seen from the side": (box(50, 200, 350, 230), box(180, 90, 220, 200)),
    "bottle on a table seen from above": (box(50, 150, 350, 280), box(180, 90, 220, 190)),
    "bottle two pixels above a table": (box(50, 200, 350, 230), box(180, 90, 220, 198)),
    "tall bottle on a table": (box(50, 260, 350, 290), box(180, 20, 220, 260)),
    "ball on a table": (box(50, 200, 350, 230), disc(200, 140, 59)),
    "cup on a saucer": (box(120, 220, 280, 235), box(150, 150, 250, 222)),
}
FREE = {
    "twins that touch": (box(100, 100, 150, 200), box(150, 100, 200, 200)),
    "neighbours that touch": (box(100, 100, 200, 200), box(200, 80, 260, 200)),
    "tall one behind a short one": (box(100, 150, 200, 200), box(200, 50, 260, 200)),
    "far above": (box(50, 200, 350, 230), box(180, 20, 220, 100)),
    "below": (box(180, 90, 220, 200), box(50, 200, 350, 230)),
    "overlapping by a corner": (box(100, 100, 200, 200), box(190, 190, 290, 290)),
    "a hand's breadth beside": (box(100, 100, 150, 200), box(180, 100, 230, 200)),
}


@pytest.mark.parametrize("name", HELD)
def test_what_lies_in_or_stands_on_a_thing_is_held_by_it(name):
    mask, other = HELD[name]
    assert holds(Mask.of(mask), Mask.of(other))


@pytest.mark.parametrize("name", FREE)
def test_what_is_beside_above_or_below_a_thing_is_not_held_by_it(name):
    mask, other = FREE[name]
    assert not holds(Mask.of(mask), Mask.of(other))


@pytest.mark.parametrize("name", HELD)
def test_nothing_is_held_by_what_it_holds(name):
    mask, other = HELD[name]
    if "looks over" not in name:
        assert not holds(Mask.of(other), Mask.of(mask))


@pytest.mark.parametrize("name", [*HELD, *FREE])
def test_holding_does_not_depend_on_the_side_of_the_picture(name):
    mask, other = (HELD | FREE)[name]
    assert holds(Mask.of(mask[:, ::-1]), Mask.of(other[:, ::-1])) == (name in HELD)


# --- rules ----------------------------------------------------------------------------------------------------------


def reason(rule, *args) -> str:
    with pytest.raises(Unfit) as caught:
        rule(*args)
    assert caught.value.seen and caught.value.wanted
    return caught.value.reason


def test_a_clear_thing_alone_may_be_removed_and_repainted():
    cup = thing("cup", box(100, 100, 160, 160))
    assert fit_to_remove(cup, [cup], [], RemovalKnobs()) is None
    assert fit_to_repaint(cup, LookKnobs()) is None


@pytest.mark.parametrize(
    ("known", "full", "wanted"),
    [
        ({"removable": False, "unfit_because": "a body part"}, box(100, 100, 160, 160), "not_removable"),
        ({"mask_score": 0.1}, box(100, 100, 160, 160), "weak_mask"),
        ({"mask_score": None}, box(100, 100, 160, 160), "weak_mask"),
        ({}, box(50, 50, 350, 250), "too_large_to_remove"),
        ({}, box(0, 0, 80, 80), "cut_by_frame"),
    ],
)
def test_what_cannot_be_removed_well_is_refused(known, full, wanted):
    assert reason(fit_to_remove, thing("cup", full, **known), [], [], RemovalKnobs()) == wanted


@pytest.mark.parametrize(
    ("known", "full", "wanted"),
    [
        ({"replaceable": False, "unfit_because": "an animal"}, box(100, 100, 160, 160), "keeps_its_look"),
        ({"mask_score": None}, box(100, 100, 160, 160), "weak_mask"),
        ({"rim": 0.1}, box(100, 100, 160, 160), "weak_rim"),
        ({"rim": None}, box(100, 100, 160, 160), "weak_rim"),
        ({}, box(100, 100, 115, 115), "too_small_to_repaint"),
        ({}, box(10, 10, 390, 290), "too_large_to_repaint"),
    ],
)
def test_what_cannot_be_repainted_well_is_refused(known, full, wanted):
    assert reason(fit_to_repaint, thing("cup", full, **known), LookKnobs()) == wanted


def test_a_bowl_cannot_be_removed_from_under_its_fig_but_the_fig_can():
    fig, empty = thing("fig", disc(200, 150, 20)), thing("bowl", bowl() & ~disc(200, 150, 20))
    knobs = RemovalKnobs(max_share=0.5)
    assert reason(fit_to_remove, empty, [fig, empty], [], knobs) == "holds_another_object"
    assert fit_to_remove(fig, [fig, empty], [], knobs) is None


def test_a_pot_holds_its_plant_even_where_the_plant_has_no_mask():
    pot = thing("pot", box(150, 150, 220, 220))
    plant, beside = pot.but(object_id="plant", box=[100, 20, 260, 190]), pot.but(object_id="x", box=[230, 20, 300, 190])
    assert reason(fit_to_remove, pot, [pot], [plant], RemovalKnobs()) == "holds_another_object"
    assert fit_to_remove(pot, [pot], [beside], RemovalKnobs()) is None


def test_a_twig_found_from_a_box_is_refused_a_drawn_one_is_not():
    twig = np.zeros((HEIGHT, WIDTH), bool)
    for step in range(100):
        twig[100 + step : 106 + step, 100 + step : 106 + step] = True
    found = thing("twig", twig, mask_from="box", rim=0.9)
    assert reason(fit_to_remove, found, [], [], RemovalKnobs()) == "thin_mask"
    assert fit_to_remove(found.but(mask_from="polygon"), [], [], RemovalKnobs()) is None


def test_repainting_a_bowl_spares_what_lies_in_it_but_nothing_larger():
    fig, dish, table = thing("fig", disc(200, 160, 20)), thing("bowl", bowl()), thing("table", box(0, 0, WIDTH, HEIGHT))
    left = without_others(Mask.of(bowl()), dish, [fig, dish, table]).full()
    assert not left[disc(200, 160, 20)].any()
    assert left[bowl() & ~disc(200, 160, 23)].all() and not left[~bowl()].any()


# --- the whole menu -------------------------------------------------------------------------------------------------


def work(*objects: Object, donors=()) -> Work:
    photo = Photo(
        photo_id="p", uri="a.jpg", sha256="0", phash=0, cluster="p", width=WIDTH, height=HEIGHT, orig_width=WIDTH,
        orig_height=HEIGHT,
    )  # fmt: skip
    values = {
        "describe": Description(photo_id="p", caption="", objects=list(objects)),
        "segment": Segmentation(photo_id="p", objects=list(objects)),
    }
    return Work(photo, values, tuple((photo, it) for it in donors))


def menu(given: Work, **knobs) -> list[Wish | Refusal]:
    removal, look = knobs.get("removal", RemovalKnobs()), knobs.get("look", LookKnobs())
    return list(wishes(given, removal, look, knobs.get("transplant", TransplantKnobs())))


def test_kinds_and_objects_take_turns():
    cup, pot = thing("cup", box(50, 50, 110, 110)), thing("pot", box(250, 150, 330, 230))
    order = [(wish.thing.name, wish.method, wish.turn) for wish in menu(work(cup, pot))]
    assert order[:4] == [("cup", "removal", 0), ("pot", "removal", 0), ("cup", "recolour", 0), ("pot", "recolour", 0)]
    assert len(order) == 2 * (1 + LookKnobs().recolours + LookKnobs().materials) and len(set(order)) == len(order)


def test_every_refusal_names_its_rule_and_is_said_once():
    dog = thing("dog", box(50, 50, 110, 110), replaceable=False, unfit_because="an animal", mask_score=0.0)
    found = [(entry.method, entry.why.reason) for entry in menu(work(dog)) if isinstance(entry, Refusal)]
    assert found == [("removal", "weak_mask"), ("recolour", "keeps_its_look")] and len(menu(work(dog))) == 2


def test_removal_can_be_switched_off():
    cup = thing("cup", box(50, 50, 110, 110))
    assert "removal" not in {wish.method for wish in menu(work(cup), removal=RemovalKnobs(enabled=False))}


def test_transplants_happen_only_when_asked_for_and_never_into_what_cannot_go():
    cup, nose = thing("cup", box(50, 50, 110, 110)), thing("nose", box(200, 50, 260, 110), removable=False)
    given, asked = work(cup, nose, donors=[thing("pear", disc(100, 100, 30))] * 3), TransplantKnobs(per_object=2)
    assert "transplant" not in {wish.method for wish in menu(given)}
    placed = [wish for wish in menu(given, transplant=asked) if wish.method == "transplant"]
    assert [(wish.thing.name, wish.donor[1].name) for wish in placed] == [("cup", "pear")] * 2


def test_a_photograph_without_objects_has_an_empty_menu():
    assert menu(work()) == []
