"""Two edits of one object make a third, whose pictures are already there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pytest

from insightedit.construct.compose import compose, composed
from insightedit.core.image import decode_own, encode_jpeg
from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Rle
from insightedit.metrics.pixel import outside_difference


@dataclass
class Scene:
    """One photograph painted three times: without its cup, with a blue one, with a golden one."""

    pictures: dict[str, np.ndarray]
    removal: Edit
    blue: Edit
    golden: Edit


def sha(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def scene(seed: int = 0, object_id: str = "p-1") -> Scene:
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 256, (96, 120, 3), dtype=np.uint8)
    pictures = {sha(source): source}

    def edit(name: str, box: tuple[int, int, int, int], **known) -> Edit:
        full = np.zeros((96, 120), bool)
        full[box[1] : box[3], box[0] : box[2]] = True
        painted = source.copy()
        painted[full] = rng.integers(0, 256, (int(full.sum()), 3))
        pictures[sha(painted)] = painted
        mask = Mask.of(full)
        return Edit(
            edit_id=f"{object_id} {name}", photo_id="p", object_id=object_id, natural="source", category="cup",
            object_before="cup", source_sha256=sha(source), edited_sha256=sha(painted), mask=Rle(**mask.rle()),
            box=list(mask.box), mask_share=mask.share, engine=name, **known,
        )  # fmt: skip

    x, y = (int(start) for start in rng.integers(10, 40, 2))
    removal = edit(
        "removal", (x - 6, y - 6, x + 46, y + 46), task="remove_add", method="removal", detail_before="a red cup"
    )
    look = {
        "task": "replace",
        "method": "recolour",
        "category_after": "cup",
        "object_after": "cup",
        "look_before": "red",
    }
    blue = edit("blue", (x, y, x + 40, y + 40), look_after="blue", detail_after="a blue cup", **look)
    golden = edit("golden", (x - 2, y, x + 38, y + 41), look_after="golden", detail_after="a golden cup", **look)
    return Scene(pictures, removal, blue, golden)


def test_a_replacement_and_a_removal_make_the_removal_of_the_new_thing():
    it = scene()
    made = compose(it.blue, it.removal)
    assert (made.task, made.method, made.natural) == ("remove_add", "composed", "neither")
    assert (made.look_before, made.object_before, made.object_after, made.detail_before) == (
        "blue",
        "cup",
        None,
        "a blue cup",
    )
    assert (made.source_sha256, made.edited_sha256) == (it.blue.edited_sha256, it.removal.edited_sha256)
    assert made.parents == [it.blue.edit_id, it.removal.edit_id] and made.look_after is None


def test_two_replacements_make_a_replacement():
    it = scene()
    made = compose(it.blue, it.golden)
    assert (made.task, made.look_before, made.look_after) == ("replace", "blue", "golden")
    assert (made.detail_before, made.detail_after, made.object_after) == ("a blue cup", "a golden cup", "cup")


def test_composing_the_other_way_round_swaps_the_sides_and_nothing_else():
    it = scene()
    there, back = compose(it.blue, it.golden), compose(it.golden, it.blue)
    assert (there.source_sha256, there.edited_sha256) == (back.edited_sha256, back.source_sha256)
    assert (there.look_before, there.look_after) == (back.look_after, back.look_before)
    assert (there.mask, there.box, there.mask_share) == (back.mask, back.box, back.mask_share)
    assert there.edit_id != back.edit_id


def test_a_thing_of_another_kind_gives_its_own_name_and_category():
    it = scene()
    swapped = it.blue.but(method="transplant", category_after="vase", object_after="vase", look_after=None)
    made = compose(swapped, it.removal)
    assert (made.category, made.object_before, made.look_before) == ("vase", "vase", None)


@pytest.mark.parametrize("seed", range(10))
def test_the_pictures_differ_nowhere_outside_the_union_of_the_masks(seed):
    it = scene(seed)
    for first, second in ((it.blue, it.removal), (it.blue, it.golden), (it.golden, it.removal)):
        made = compose(first, second)
        mask = Mask.from_rle(made.mask.model_dump())
        one, other = (Mask.from_rle(edit.mask.model_dump()).full() for edit in (first, second))
        np.testing.assert_array_equal(mask.full(), one | other)
        assert made.box == list(mask.box) and made.mask_share == pytest.approx(mask.share)
        before, after = (
            decode_own(encode_jpeg(it.pictures[name])) for name in (made.source_sha256, made.edited_sha256)
        )
        assert outside_difference(before, after, mask.full()) == (True, None)


def test_ids_follow_from_the_parents():
    assert compose(scene().blue, scene().removal).edit_id == compose(scene().blue, scene().removal).edit_id
    made = {compose(*pair).edit_id for it in [scene()] for pair in ((it.blue, it.removal), (it.golden, it.removal))}
    assert len(made) == 2 and all(len(name) == 16 for name in made)


def test_edits_of_different_objects_or_pictures_are_not_composed():
    it = scene()
    for other in (it.removal.but(object_id="p-2"), it.removal.but(source_sha256="0")):
        with pytest.raises(ValueError, match="do not start from the same picture and object"):
            compose(it.blue, other)


def test_every_object_gets_its_own_compositions():
    one, other = scene(0, "p-1"), scene(0, "p-2")
    edits = [one.removal, other.blue, one.blue, other.golden, one.golden]
    found = composed(edits)
    assert [edit.object_id for edit in found] == ["p-1", "p-1", "p-2"]
    assert [edit.task for edit in found] == ["remove_add", "replace", "replace"]
    assert all(edit.natural == "neither" and len(edit.parents) == 2 for edit in found)
    assert len({edit.edit_id for edit in (*edits, *found)}) == 8


def test_a_single_edit_composes_with_nothing():
    it = scene()
    assert composed([]) == composed([it.removal]) == composed([it.blue]) == []
