"""COCO-Stuff: source and target are one square; a class that is not there changes nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.coco_stuff import COCOStuff, COCOStuffKnobs

NAMES = {0: "unlabeled", 1: "person", 2: "bicycle", 3: "Sky-other", 4: "sea"}


def put_classes(path, values: np.ndarray, mode="L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    image = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        image.putpalette([number // 3 for number in range(768)])
    image.save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def fill(images, masks, labels, art, *, count=4, mode="L") -> None:
    for n in range(count):
        art.put(images / "train2017" / f"{n:012d}.jpg", art.pixels(n, 24, 16))
        values = np.full((16, 24), 255)
        if n != 3:
            values[:, :12], values[8:, 12:] = 0, 2  # person on the left, sky below right, the rest without a class
        put_classes(masks / "train2017" / f"{n:012d}.png", values, mode)
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text("".join(f"{key}: {name}\n" for key, name in NAMES.items()))


def reader(**knobs) -> COCOStuff:
    return COCOStuff(COCOStuffKnobs(**knobs))


def test_both_layouts_give_the_same(tmp_path, art, lawful, same):
    one, two = tmp_path / "coco-stuff", tmp_path / "smartedit"
    fill(one / "images", one / "annotations", one / "labels.txt", art)
    fill(two / "coco", two / "stuff", two / "stuff" / "ft_local" / "coco_stuff_labels.txt", art, mode="P")
    first = lawful(reader(path=one))
    second = lawful(reader(images=two / "coco", masks=two / "stuff"))
    assert len(first) == 4 and all(same(a, b) for a, b in zip(first, second, strict=True))
    assert first[3].task == "keep" and np.array_equal(first[3].source, first[3].target)


def test_source_and_target_are_the_same_square_and_classes_are_right(tmp_path, art):
    fill(tmp_path / "images", tmp_path / "annotations", tmp_path / "labels.txt", art)
    one = reader(path=tmp_path)
    image, absent, told, lefts = art.pixels(0, 24, 16), 0, set(), set()
    for seed in range(300):
        example = one.example(0, seed)
        assert example.source.shape == (16, 16, 3)
        left = next(x for x in range(9) if np.array_equal(image[:, x : x + 16], example.source))
        lefts.add(left)
        truth = np.full((16, 24), 255)
        truth[:, :12], truth[8:, 12:] = 0, 2
        truth = truth[:, left : left + 16]
        named = [value for value, name in ((0, "person"), (1, "bicycle"), (2, "sky-other"), (3, "sea"))
                 if f"{name}" in example.instruction]  # fmt: skip
        assert len(named) == 1
        told.add(named[0])
        assert np.array_equal(example.mask, truth == named[0])
        if not example.mask.any():
            absent += 1
            assert named[0] in (1, 3) and np.array_equal(example.source, example.target)
    assert told == {0, 1, 2, 3} and lefts == set(range(9))
    assert 35 < absent < 90  # 60 are expected: a class that is there is never called absent


def test_absence_can_be_switched_off(tmp_path, art):
    fill(tmp_path / "images", tmp_path / "annotations", tmp_path / "labels.txt", art)
    one = reader(path=tmp_path, absent=0)
    assert all(one.example(0, seed).mask.any() for seed in range(40))


def test_bad_masks_are_unfit_and_wrong_places_are_named(tmp_path, art):
    fill(tmp_path / "images", tmp_path / "annotations", tmp_path / "labels.txt", art)
    masks = tmp_path / "annotations" / "train2017"
    put_classes(masks / "000000000000.png", np.zeros((5, 5)))
    (masks / "000000000001.png").write_bytes(b"no png")
    art.put(masks / "000000000002.png", art.pixels(0))
    (tmp_path / "images" / "train2017" / "000000000003.jpg").unlink()
    one = reader(path=tmp_path)
    reasons = ("other_frame", "malformed_mask", "malformed_mask", "missing_file")
    for number, reason in enumerate(reasons):
        with pytest.raises(Unfit, match=reason):
            one.example(number, 0)
    (tmp_path / "labels.txt").write_text("person\n")
    with pytest.raises(InputError, match=r"labels\.txt.*not `id: name`.*Expected layout"):
        reader(path=tmp_path)
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(InputError, match=r"there is no labels\.txt"):
        reader(path=tmp_path)
    with pytest.raises(InputError, match="neither `path` nor both"):
        reader()
