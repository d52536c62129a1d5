"""Step 2 with networks: boxes and names become objects with masks; one that knows the truth plays the networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from insightedit.backends.segment.found import Findings, Found, Left
from insightedit.construct.segment import Segment, SegmentKnobs
from insightedit.construct.source.scan import SourceKnobs
from insightedit.construct.work import Description, Segmentation, Work
from insightedit.core.mask import Box, Mask
from insightedit.core.record import Object, Photo, Reject, Rle

CUPS: list[Box] = [(20, 20, 60, 70), (90, 30, 140, 80)]
PLATE: Box = (60, 90, 130, 130)


def block(box: Box) -> Mask:
    full = np.zeros((160, 200), bool)
    full[box[1] : box[3], box[0] : box[2]] = True
    return Mask.of(full)


class Truth:
    """Answers as `GroundedSam` does."""

    things = {"cup": CUPS, "plate": [PLATE]}

    def masks(self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[Box]]) -> list[list[tuple[Mask, float]]]:
        return [[(block(box), 0.9) for box in some] for some in boxes]

    def find_many(self, images: Sequence[np.ndarray], phrases: Sequence[Sequence[str]]) -> list[Findings]:
        (names,) = phrases
        found = [
            Found(index, box, block(box), 0.8 - 0.1 * rank, 0.95)
            for index, name in enumerate(names)
            for rank, box in enumerate(self.things.get(name, []))
        ]
        left = [Left(i, "too_small", f"{name}: tiny", "more") for i, name in enumerate(names) if name == "crumb"]
        return [Findings(found, left)]


@pytest.fixture
def step(monkeypatch) -> Segment:
    image = np.full((160, 200, 3), 90, np.uint8)
    for box, colour in zip([*CUPS, PLATE], ((200, 30, 30), (30, 30, 200), (240, 240, 240)), strict=True):
        image[block(box).full()] = colour
    made = Segment(SegmentKnobs(backend="grounded_sam"), 0, Path(), SourceKnobs())
    monkeypatch.setattr(made, "open", lambda work: image)
    made.finder = Truth()
    return made


def thing(number: int, name: str, **values) -> Object:
    return Object(object_id=f"p-{number}", category=name, name=name, **{"box": [], "detail": f"a {name}", **values})


def segmented(step: Segment, *things: Object) -> Segmentation | Reject:
    photo = Photo(
        photo_id="p", uri="a.jpg", sha256="0", phash=0, cluster="p", width=200, height=160, orig_width=200,
        orig_height=160,
    )  # fmt: skip
    described = Description(photo_id="p", caption="", objects=list(things))
    return step.process([Work(photo, {"describe": described})])[0]


def test_a_name_becomes_an_object_with_the_networks_box_and_mask(step):
    found = segmented(step, thing(0, "Plate"))
    (plate,) = found.objects
    assert plate.box == list(PLATE) and plate.mask == Rle(**block(PLATE).rle()) and plate.detail == "a Plate"
    assert (plate.object_id, plate.mask_from, plate.mask_score) == ("p-0", "network", 0.95)
    assert plate.rim > 0.5 and plate.colour == "white" and found.rejects == []


def test_every_thing_of_a_name_is_an_object_and_no_caption_is_guessed(step):
    found = segmented(step, thing(0, "cup"), thing(1, "plate"))
    assert [(one.object_id, one.box, one.detail) for one in found.objects] == [
        ("p-0", list(CUPS[0]), ""),
        ("p-0.1", list(CUPS[1]), ""),
        ("p-1", list(PLATE), "a plate"),
    ]
    found = segmented(step, thing(0, "cup"), thing(1, "cup"))
    assert [(one.object_id, one.box) for one in found.objects] == [("p-0", list(CUPS[0])), ("p-1", list(CUPS[1]))]


def test_names_without_a_thing_and_things_left_out_are_rejects(step):
    found = segmented(step, thing(0, "plate"), thing(1, "dog"), thing(2, "crumb"), thing(3, "plate"))
    assert [one.object_id for one in found.objects] == ["p-0"]
    assert {(one.object_id, one.reason, one.step) for one in found.rejects} == {
        ("p-1", "not_found", "segment"),
        ("p-2", "too_small", "segment"),
        ("p-2", "not_found", "segment"),
        ("p-3", "not_found", "segment"),
    }


def test_boxes_get_masks_and_outlines_stay(step):
    outline = thing(1, "plate", box=list(PLATE), mask=Rle(**block(PLATE).rle()), mask_from="polygon")
    found = segmented(step, thing(0, "cup", box=list(CUPS[1])), outline)
    by_id = {one.object_id: one for one in found.objects}
    assert by_id["p-0"].mask == Rle(**block(CUPS[1]).rle()) and by_id["p-0"].mask_from == "network"
    assert by_id["p-1"].mask == outline.mask and by_id["p-1"].mask_from == "polygon"


def test_a_photograph_in_which_nothing_is_found_says_so(step):
    reject = segmented(step, thing(0, "dog"))
    assert isinstance(reject, Reject) and reject.reason == "no_usable_mask" and "not_found" in reject.seen


def test_only_the_networks_ask_for_a_gpu(step):
    assert step.share() == 0.25 and Segment(SegmentKnobs(), 0, Path(), SourceKnobs()).share() == 0.0
    plain = Segment(SegmentKnobs(), 0, Path(), SourceKnobs())
    plain.setup()
    assert plain.finder is None
