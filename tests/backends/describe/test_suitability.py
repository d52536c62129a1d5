"""What may be edited, word by word."""

from __future__ import annotations

import pytest

from insightedit.backends.describe.suitability import kind_of, suitability

FREE, KEEPS, NEVER = (True, True), (True, False), (False, False)


@pytest.mark.parametrize(
    ("category", "name", "flags"),
    [
        ("toy bird", "wooden toy bird", FREE),
        ("bird statue", "bird statue", FREE),
        ("astronaut figurine", "plastic astronaut", FREE),
        ("bottle", "bottle with a bird on it", FREE),
        ("dog", "brown dog", KEEPS),
        ("dog", "two dogs", KEEPS),
        ("horse", "horse with a rider", KEEPS),
        ("person", "woman in a red coat", KEEPS),
        ("cloud", "white clouds", KEEPS),
        ("tree", "fir tree", KEEPS),
        ("eye", "left eye", NEVER),
        ("nose", "nose of the cat", NEVER),
        ("hat", "straw hat", NEVER),
        ("glasses", "reading glasses", NEVER),
        ("sunglasses", "sunglasses", NEVER),
        ("lake", "calm lake", NEVER),
        ("shadow", "shadow of a bowl", NEVER),
        ("wine glass", "wine glass", FREE),
        ("wine glass", "two wine glasses", FREE),
        ("glass", "glass of water", FREE),
        ("cup", "coffee cup", FREE),
        ("table", "table in the garden", FREE),
        ("bus", "bus", FREE),
        ("traffic light", "traffic light", FREE),
        ("teddy bear", "teddy bear", FREE),
        ("hot dog", "hot dog", FREE),
    ],
)
def test_flags_follow_what_a_thing_is(category, name, flags):
    removable, replaceable, because = suitability(category, "", name)
    assert (removable, replaceable) == flags
    assert bool(because) == (flags != FREE)


@pytest.mark.parametrize(
    ("category", "supercategory", "kind"),
    [
        ("mouse", "electronic", "thing"), ("mouse", "animal", "animal"), ("hot dog", "food", "thing"),
        ("umbrella", "accessory", "thing"), ("handbag", "accessory", "thing"), ("tie", "accessory", "clothing"),
        ("traffic light", "outdoor", "thing"), ("bear", "animal", "animal"), ("teddy bear", "indoor", "thing"),
        ("whatever", "Scenery", "scenery"), ("potted plant", "furniture", "thing"), ("thing", "nonsense", "thing"),
    ],
)  # fmt: skip
def test_cocos_supercategories_are_heard(category, supercategory, kind):
    assert kind_of(category, supercategory, category) == kind


def test_the_stricter_of_category_and_name_decides():
    assert suitability("object", "", "left eye")[:2] == NEVER
    assert suitability("eye", "", "blue marble")[:2] == NEVER


def test_dahlias_are_plants_that_may_be_repainted_and_trees_are_not():
    assert suitability("dahlia", "plant", "pink dahlia")[:2] == FREE
    assert suitability("tree", "plant", "old oak tree")[:2] == KEEPS
