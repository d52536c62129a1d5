"""Judging by the renderer's truth: right answers pass, wrong and half-done ones do not."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.scenes.exam import questions
from insightedit.scenes.render import Rendered, Stage, render, render_pair
from insightedit.scenes.sampling import samples
from insightedit.scenes.scene import TASKS, Pair
from insightedit.scenes.truth import Verdict, judge, wrong_answers

PAIRS = [way for pair in islice(samples(9), 6) for way in (pair, pair.reversed())]
DRAWN = [render_pair(pair) for pair in PAIRS]
MANY = [render_pair(question.pair) for question in questions(40, seed=9)]  # ten of each task


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def test_all_four_tasks_are_tried():
    assert {pair.task for pair in PAIRS} == {"remove", "add", "replace", "recolour"}


def test_the_exact_answer_succeeds_with_nothing_to_fault():
    for one in DRAWN:
        verdict = judge(one.pair, one.after.image)
        assert verdict.success and verdict.done and verdict.kept
        assert verdict.background_psnr == math.inf and verdict.inside_error == 0 and verdict.closeness == 0


def test_the_source_fails_as_unchanged():
    for one in DRAWN:
        verdict = judge(one.pair, one.before.image)
        assert not verdict.success and verdict.kept and not verdict.done
        assert verdict.closeness == math.inf and verdict.inside_error > 10


def test_an_edit_that_also_removes_another_thing_fails():
    tried = 0
    for one in DRAWN:
        for index in range(len(one.pair.after.things)):
            if index != one.pair.index_after:
                verdict = judge(one.pair, render(one.pair.after.without(index)).image)
                assert not verdict.kept and not verdict.success
                tried += 1
    assert tried > 20


@pytest.mark.parametrize("sigma", [3, 8])
def test_small_noise_on_the_answer_still_succeeds(sigma):
    for one in DRAWN:
        verdict = judge(one.pair, noisy(one.after.image, sigma))
        assert verdict.success
        assert verdict.background_psnr == pytest.approx(20 * math.log10(255 / sigma), abs=1.5)


def test_a_blurred_fill_fails():
    for one in DRAWN:
        inside = (one.subject_before | one.subject_after)[..., None]
        fill = np.where(inside, cv2.GaussianBlur(one.before.image, (0, 0), 4), one.before.image)
        assert not judge(one.pair, fill).success, one.pair.task
        if one.pair.task != "remove":  # of an answer too: colour without shape
            fill = np.where(inside, cv2.GaussianBlur(one.after.image, (0, 0), 8), one.before.image)
            assert not judge(one.pair, fill).success, one.pair.task


def test_a_picture_of_something_else_fails():
    for one, other in zip(DRAWN, DRAWN[2:], strict=False):
        assert not judge(one.pair, other.after.image).success
        assert not judge(one.pair, np.full((64, 64, 3), 128, np.uint8)).success


def test_verdicts_agree_between_sizes():
    pair = PAIRS[0]
    for size in (32, 128):
        large = render_pair(pair, size)
        assert judge(pair, large.after.image).success and not judge(pair, large.before.image).success


@pytest.mark.parametrize("shape", [(64, 64), (64, 32, 3), (16, 16, 3)])
def test_what_is_no_picture_of_a_scene_is_refused(shape):
    with pytest.raises(InputError):
        judge(PAIRS[0], np.zeros(shape, np.uint8))
    with pytest.raises(InputError):
        judge(PAIRS[0], np.zeros((64, 64, 3), np.float32))


# --- over many pairs -------------------------------------------------------------------------------------------------


def spoilt(one: Rendered) -> dict[str, np.ndarray]:
    """Answers of several qualities to one question: "wrong ..." are wrong, "also ..." is the right edit and more."""
    before, after, stage = one.before.image, one.after.image, Stage(one.pair.before, 64)
    lighter, darker = (np.clip(after.astype(int) + levels, 0, 255).astype(np.uint8) for levels in (30, -30))
    found = {
        "exact": after,
        "noisy": noisy(after, 4),
        "blurred": cv2.GaussianBlur(after, (0, 0), 0.7),
        "source": before,
        "half done": ((before.astype(int) + after) // 2).astype(np.uint8),
        "lighter background": np.where(one.changed[..., None], after, lighter),
        "darker background": np.where(one.changed[..., None], after, darker),
    }
    for number, (name, scene) in enumerate(wrong_answers(one.pair)):
        found[f"wrong {number}, {name}"] = stage.draw(scene).image
    for index, thing in enumerate(one.pair.after.things):
        if index != one.pair.index_after:
            other = replace(thing, colour="blue" if thing.colour in ("red", "yellow", "orange") else "orange")
            found["also recoloured"] = stage.draw(one.pair.after.having(index, other)).image
            found["also gone"] = stage.draw(one.pair.after.without(index)).image
            break
    return found


@pytest.fixture(scope="module")
def verdicts() -> list[tuple[Pair, dict[str, Verdict]]]:
    return [(one.pair, {name: judge(one.pair, image) for name, image in spoilt(one).items()}) for one in MANY]


def test_many_pairs_of_each_task_are_tried(verdicts):
    assert Counter(pair.task for pair, _ in verdicts) == dict.fromkeys(TASKS, 10)
    wrong = Counter(name.split(", ")[1] for _, given in verdicts for name in given if name.startswith("wrong"))
    assert min(wrong.values()) >= 20 and len(wrong) == 4, wrong


@pytest.mark.parametrize("name", ["exact", "noisy", "blurred"])
def test_the_answer_a_little_noisy_or_blurred_passes(verdicts, name):
    assert [(pair.task, given[name]) for pair, given in verdicts if not given[name].success] == []


@pytest.mark.parametrize("name", ["source", "half done"])
def test_what_is_not_done_or_half_done_fails_though_all_else_is_kept(verdicts, name):
    assert not any(given[name].done for _, given in verdicts)
    assert all(given[name].kept for _, given in verdicts)


@pytest.mark.parametrize("name", ["lighter background", "darker background"])
def test_another_background_fails(verdicts, name):
    assert not any(given[name].kept or given[name].success for _, given in verdicts)


def test_no_wrong_answer_passes_and_none_counts_as_done(verdicts):
    for pair, given in verdicts:
        assert not any(verdict.done for name, verdict in given.items() if name.startswith("wrong")), pair.seed


@pytest.mark.parametrize("name", ["also recoloured", "also gone"])
def test_the_right_edit_with_another_thing_changed_too_fails(verdicts, name):
    tried = [given[name] for _, given in verdicts if name in given]
    assert len(tried) > 30 and not any(verdict.kept or verdict.success for verdict in tried)
