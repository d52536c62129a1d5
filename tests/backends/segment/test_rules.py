"""Properties of the rules, on drawn masks."""

import numpy as np
import pytest

from insightedit.backends.segment import rules
from insightedit.backends.segment.found import Found
from insightedit.backends.segment.rules import RuleKnobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask

SIZE = (100, 160)
KNOBS = RuleKnobs()


def block(x0: int, y0: int, x1: int, y1: int) -> Mask:
    full = np.zeros(SIZE, bool)
    full[y0:y1, x0:x1] = True
    return Mask.of(full)


def thing(mask: Mask, phrase: int = 0, score: float = 0.6, mask_score: float | None = 0.9) -> Found:
    return Found(phrase, mask.box, mask, score, mask_score)


def refusal(found: Found, *persons: Mask, **limits: float) -> Unfit | None:
    try:
        rules.fit(found, "cup", RuleKnobs(**limits), persons)
    except Unfit as error:
        return error
    return None


def test_a_plain_object_passes():
    assert refusal(thing(block(40, 30, 80, 60))) is None


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (Mask.of(np.zeros(SIZE, bool)), "empty_mask"),
        (block(40, 30, 42, 33), "too_small"),
        (block(0, 0, 160, 70), "too_large"),
        (block(0, 40, 160, 60), None),  # from side to side: only its ends are cut
        (block(0, 0, 50, 30), None),  # in a corner, half of its outline is cut: not over the limit
        (block(0, 0, 10, 100), "cut_by_frame"),
    ],
)
def test_size_and_frame_are_refused_with_numbers(mask, reason):
    error = refusal(thing(mask))
    assert (error.reason if error else None) == reason
    if error:
        assert error.seen.startswith("cup") and error.wanted


def test_limits_are_inclusive():
    mask = block(40, 30, 60, 50)
    assert refusal(thing(mask), min_share=mask.share, max_share=mask.share) is None
    assert refusal(thing(mask), min_share=mask.share * 1.01).reason == "too_small"
    assert refusal(thing(mask), max_share=mask.share * 0.99).reason == "too_large"


def test_a_doubtful_mask_is_refused_and_an_unscored_one_is_not_guessed():
    assert refusal(thing(block(40, 30, 80, 60), mask_score=0.3)).reason == "weak_mask"
    assert refusal(thing(block(40, 30, 80, 60), mask_score=None)) is None


def test_what_a_person_wears_is_refused_and_the_person_is_not():
    person, shirt, bag = block(60, 10, 100, 90), block(62, 30, 98, 50), block(90, 40, 130, 60)
    assert refusal(thing(shirt), person).reason == "on_a_person"
    assert refusal(thing(person), person) is None
    assert refusal(thing(bag), person) is None  # a quarter of it
    assert refusal(thing(shirt), max_on_person=1.0) is None and refusal(thing(shirt)) is None


def test_a_child_on_an_arm_is_a_person_of_its_own():
    parent, child = block(60, 10, 100, 90), block(65, 20, 85, 40)
    assert refusal(thing(child), parent).reason == "on_a_person"
    assert refusal(thing(child), parent, child) is None


def test_overlap_is_that_of_the_full_masks():
    dice = np.random.default_rng(0)
    for seed in range(30):
        x, y, u, v = dice.integers(0, (100, 60, 100, 60))
        one, other = block(x, y, x + 50, y + 30), block(u, v, u + 20, v + 40)
        both, either = one.full() & other.full(), one.full() | other.full()
        assert rules.shared(one, other) == both.sum(), seed
        assert rules.mask_iou(one, other) == pytest.approx(both.sum() / either.sum()), seed
    empty = Mask.of(np.zeros(SIZE, bool))
    assert rules.mask_iou(empty, empty) == rules.shared(empty, block(0, 0, 9, 9)) == 0


def test_one_thing_under_two_names_keeps_the_better_name_and_says_so():
    names = ["mug", "cup", "dog"]
    mug, cup = thing(block(40, 30, 80, 60), 0, 0.5), thing(block(41, 30, 80, 60), 1, 0.7)
    dog = thing(block(100, 50, 140, 90), 2, 0.6)
    for order in ([mug, cup, dog], [dog, cup, mug]):
        settled = rules.settle(order, names, KNOBS, [])
        assert [one.phrase for one in settled.found] == [1, 2]
        (lost,) = settled.left
        assert (lost.phrase, lost.reason, lost.box, lost.score) == (0, "duplicate_mask", mug.box, 0.5)
        assert "mug" in lost.seen and "cup" in lost.seen and lost.wanted


def test_two_things_side_by_side_are_both_kept():
    near, far = thing(block(40, 30, 80, 60), score=0.9), thing(block(60, 30, 100, 60), score=0.8)
    assert rules.settle([far, near], ["cup"], KNOBS, []).found == [near, far]


def test_nothing_is_lost_between_found_and_left():
    dice = np.random.default_rng(1)
    things = []
    for index in range(40):
        x, y = dice.integers(0, 130), dice.integers(0, 80)
        mask = block(x, y, x + dice.integers(1, 150), y + dice.integers(1, 90))
        things.append(thing(mask, index % 3, float(dice.random()), float(dice.random())))
    settled = rules.settle(things, ["cup", "dog", "car"], KNOBS, [block(0, 0, 60, 100)])
    assert len(settled.found) + len(settled.left) == 40 and settled.found and settled.left
