"""LLaVA's conversations: all rounds, the picture's marker taken out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.llava_instruct import LLaVAInstruct, LLaVAInstructKnobs


def turns(*values: str) -> list[dict]:
    return [{"from": ("human", "gpt")[n % 2], "value": value} for n, value in enumerate(values)]


def tree(root, art, *conversations, **more):
    art.put(root / "train2017" / "000000000001.jpg", art.pixels(1))
    records = [
        {"id": str(n), "image": "000000000001.jpg", "conversations": said} for n, said in enumerate(conversations)
    ]
    for record in records:
        record.update(more)
    (root / "llava_instruct_150k.json").write_text(json.dumps(records))
    return LLaVAInstructKnobs(path=root / "llava_instruct_150k.json", images=root / "train2017")


def test_all_rounds_and_where_the_picture_stands(tmp_path, art, lawful):
    knobs = tree(
        tmp_path,
        art,
        turns("<image>\nWhat is it?", "A bus.", "Which colour?", "Red."),
        turns("What?\n<image>", "This."),
    )
    first, second = lawful(LLaVAInstruct(knobs))
    assert first.rounds == (("What is it?", "A bus."), ("Which colour?", "Red.")) and first.image_first
    assert second.rounds == (("What?", "This."),) and not second.image_first
    assert np.array_equal(first.image, art.pixels(1))


def test_text_alone_is_taken(tmp_path, art):
    knobs = tree(tmp_path, art, turns("<image>\nWhat?", "A."), turns("Hello?", "Hello."))
    records = json.loads(knobs.path.read_text())
    del records[1]["image"]
    knobs.path.write_text(json.dumps(records))
    assert LLaVAInstruct(knobs).example(1, 0).image is None


@pytest.mark.parametrize(
    "said",
    [turns(), turns("<image> a?"), turns("no marker", "x"), turns("<image> a?", "x", "<image> b?", "y"),
     turns("<image>", "x"), turns("<image> a?", ""), list(reversed(turns("<image> a?", "b"))), [{"from": "human"}]],
)  # fmt: skip
def test_odd_conversations_are_unfit(tmp_path, art, said):
    with pytest.raises(Unfit, match="malformed_record"):
        LLaVAInstruct(tree(tmp_path, art, said)).example(0, 0)


def test_wrong_places_are_named(tmp_path, art):
    knobs = tree(tmp_path, art, turns("<image> a?", "b"), image="none.jpg")
    with pytest.raises(InputError, match=r"none of the first images.*Expected layout: llava_instruct_150k\.json"):
        LLaVAInstruct(knobs)
    knobs.path.write_text('{"a": 1}')
    with pytest.raises(InputError, match="an object, not a list"):
        LLaVAInstruct(knobs)
    knobs.path.write_text("[")
    with pytest.raises(InputError, match="not valid JSON"):
        LLaVAInstruct(knobs)
