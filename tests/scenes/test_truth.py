"""Judging by the renderer's truth: right answers pass, wrong and half-done ones do not."""

from __future__ import annotations

import math
from itertools import islice

import cv2
import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.scenes.render import render, render_pair
from insightedit.scenes.sampling import samples
from insightedit.scenes.truth import judge, wrong_answers

PAIRS = [way for pair in islice(samples(9), 6) for way in (pair, pair.reversed())]
DRAWN = [render_pair(pair) for pair in PAIRS]


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


def test_every_wrong_answer_fails():
    names = set()
    for one in DRAWN:
        for name, scene in wrong_answers(one.pair):
            names.add(name)
            assert not judge(one.pair, render(scene).image).success, (name, one.pair.task, one.pair.seed)
    assert names == {"other thing", "subject gone", "other colour", "other shape"}


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
