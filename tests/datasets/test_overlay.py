"""Overlays: the reference's arithmetic, our sentences."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.datasets import overlay


def test_half_image_half_colour_cut_to_whole_numbers(art):
    image = art.pixels(0)
    mask = np.zeros((16, 24), bool)
    mask[4:9, 5:20] = True
    for colour in overlay.COLOURS.values():
        target = overlay.painted(image, mask, colour)
        assert np.array_equal(target[~mask], image[~mask])
        inside = (image[mask].astype(int) + np.array(colour)) // 2
        assert np.array_equal(target[mask], inside)


def test_a_mask_of_another_size_is_taken_by_nearest_neighbour(art):
    image = art.pixels(0, 24, 16)
    small = np.zeros((8, 12), bool)
    small[2, 3] = True
    target = overlay.painted(image, small, (0, 0, 255))
    changed = (target != image).any(2)
    where = np.zeros((16, 24), bool)
    where[4:6, 6:8] = True
    assert not changed[~where].any() and changed[where].any()


def test_the_colours_are_the_reference_ones():
    assert len(overlay.COLOURS) == 8 and overlay.COLOURS["green"] == (0, 128, 0)
    assert len(set(overlay.TEMPLATES)) == 11


@pytest.mark.parametrize("template", [*overlay.TEMPLATES, *overlay.PRONOUN_TEMPLATES])
def test_templates_name_what_they_should(template):
    assert "{color}" in template
    assert ("{object}" in template) == (template in overlay.TEMPLATES)


def test_seeds_draw_every_colour_and_sentence(art):
    image, mask = art.pixels(1), np.ones((16, 24), bool)
    drawn = [overlay.example("d", "id", image, mask, "The DOG", seed) for seed in range(400)]
    told = {one.instruction for one in drawn}
    wanted = {t.format(object="the dog", color=c) for t in overlay.TEMPLATES for c in overlay.COLOURS}
    assert told <= wanted and len(told) > 80  # of 88
    for one in drawn[:20]:
        colour = next(name for name in overlay.COLOURS if name in one.instruction)
        assert np.array_equal(one.target, overlay.painted(image, mask, overlay.COLOURS[colour]))


def test_nothing_to_paint_changes_nothing(art):
    image = art.pixels(2)
    empty = overlay.example("d", "id", image, np.zeros((16, 24), bool), "dog", 0)
    kept = overlay.unchanged("d", "id", image, 0)
    for one in (empty, kept):
        assert np.array_equal(one.source, one.target) and not one.mask.any()
    assert kept.task == "keep" and kept.instruction in overlay.KEEP
