"""The default mixture is SmartEdit's chain of chances, which a simulation of the chain agrees with."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from insightedit.core.errors import ConfigError
from insightedit.datasets.weights import chain, weights

SIZES = {
    "instruct_pix2pix": 313_010, "magicbrush": 8_807, "reason_edit": 476, "llava": 157_712, "refcoco": 42_404,
    "grefcoco": 209_344, "coco_stuff": 118_287, "reason_seg": 239,
}  # fmt: skip
KNOWN = {  # model.md 6
    "reason_edit": 0.150, "reason_seg": 0.085, "llava": 0.142, "magicbrush": 0.145, "instruct_pix2pix": 0.145,
    "coco_stuff": 0.106, "refcoco": 0.038, "grefcoco": 0.189,
}  # fmt: skip
ROLES = {name: name for name in SIZES}


def draw(sizes: dict[str, int], rng: random.Random) -> str:
    """The questions in SmartEdit's order, asked one after the other."""
    edit = sizes["instruct_pix2pix"] + sizes["magicbrush"] + sizes["reason_edit"]
    segment = sizes["refcoco"] + sizes["grefcoco"] + sizes["coco_stuff"] + sizes["reason_seg"]
    total = edit + segment + sizes["llava"]
    if rng.random() < 0.15:
        return "reason_edit"
    if rng.random() < 0.10:
        return "reason_seg"
    if rng.random() < sizes["llava"] / (total - sizes["reason_edit"] - sizes["reason_seg"]):
        return "llava"
    if rng.random() < edit / (edit + segment):
        return "magicbrush" if rng.random() < 0.5 else "instruct_pix2pix"
    if rng.random() < sizes["coco_stuff"] / segment:
        return "coco_stuff"
    return "refcoco" if rng.random() < sizes["refcoco"] / (sizes["refcoco"] + sizes["grefcoco"]) else "grefcoco"


@pytest.mark.parametrize("sizes", [SIZES, {name: 100 * (n + 1) for n, name in enumerate(SIZES)}])
def test_the_chain_is_what_its_questions_give(sizes):
    rng = random.Random(0)
    counted = Counter(draw(sizes, rng) for _ in range(60_000))
    found = chain(sizes)
    assert sum(found.values()) == pytest.approx(1)
    for name, weight in found.items():
        assert counted[name] / 60_000 == pytest.approx(weight, abs=0.006), name


def test_the_papers_sizes_give_the_known_weights():
    assert chain(SIZES) == pytest.approx(KNOWN, abs=6e-4)


@pytest.mark.parametrize("gone", SIZES)
def test_any_dataset_may_be_missing(gone):
    found = chain({name: size for name, size in SIZES.items() if name != gone})
    assert gone not in found and min(found.values()) > 0 and sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("only", SIZES)
def test_one_alone_gets_all(only):
    assert chain({only: 5}) == {only: pytest.approx(1)}


def test_advanced_edit_is_drawn_first():
    sizes, roles = (
        SIZES | {"authors": 3000, "ours": 1000},
        ROLES | {"authors": "advanced_edit", "ours": "advanced_edit"},
    )
    found = weights(sizes, roles, {}, {})
    assert found["authors"] == pytest.approx(0.225) and found["ours"] == pytest.approx(0.075)
    assert {name: found[name] for name in SIZES} == pytest.approx({name: 0.7 * w for name, w in chain(SIZES).items()})
    alone = weights({"authors": 3000}, {"authors": "advanced_edit"}, {}, {})
    assert alone == {"authors": pytest.approx(1)}


def test_shares_come_off_the_top():
    sizes, roles = SIZES | {"scenes": 9, "ours": 7}, ROLES | {"scenes": "", "ours": "advanced_edit"}
    found = weights(sizes, roles, {"scenes": 0.2, "ours": 0.1}, {})
    assert found["scenes"] == 0.2 and found["ours"] == 0.1 and sum(found.values()) == pytest.approx(1)
    assert found["llava"] == pytest.approx(0.7 * chain(SIZES)["llava"])


def test_advanced_edit_takes_its_part_of_what_shares_leave():
    sizes, roles = SIZES | {"scenes": 9, "ours": 7}, ROLES | {"scenes": "", "ours": "advanced_edit"}
    found = weights(sizes, roles, {"scenes": 0.5}, {})
    assert found["ours"] == pytest.approx(0.15) and found["llava"] == pytest.approx(0.35 * chain(SIZES)["llava"])


def test_captions_alone_are_divided_by_size():
    assert weights({"a": 30, "b": 10}, {"a": "captions", "b": "captions"}, {}, {}) == {"a": 0.75, "b": 0.25}


def test_given_weights_replace_the_rest():
    assert weights({"a": 3, "b": 4}, {"a": "", "b": ""}, {}, {"a": 1, "b": 3}) == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    ("shares", "given"),
    [({"scenes": 1.2}, {}), ({"scenes": 1.0}, {}), ({}, {}), ({"nothing": 0.1}, {}), ({}, {"scenes": 1}),
     ({}, {"scenes": 1, "llava": -1}), ({}, {"scenes": 0, "llava": 0}), ({"scenes": 0.5, "llava": 0.4}, {})],
)  # fmt: skip
def test_what_does_not_work_out_is_refused(shares, given):
    with pytest.raises(ConfigError):
        weights({"scenes": 5, "llava": 9}, {"scenes": "", "llava": "llava"}, shares, given)
