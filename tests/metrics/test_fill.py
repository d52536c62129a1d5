"""The fill score ranks honest fills above bad ones, on small drawn grounds."""

import numpy as np
import pytest

from insightedit.metrics.fill import CALIBRATION, fill_features, fill_score


def ground(seed: int) -> np.ndarray:
    """Brown soil with blotches, uint8 (160, 200, 3)."""
    random = np.random.default_rng(seed)
    blotches = random.normal(0, 14, (40, 50, 1)).repeat(4, axis=0).repeat(4, axis=1)
    return np.clip(np.array([120, 100, 80]) + blotches + random.normal(0, 6, (160, 200, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photograph with a blue square, its hole, and the photograph as it was without the square."""
    clean = ground(0)
    hole = np.zeros(clean.shape[:2], bool)
    hole[50:100, 70:130] = True
    photo = clean.copy()
    photo[54:96, 74:126] = (30, 40, 200)
    return photo, hole, clean


def scored(photo: np.ndarray, edited: np.ndarray, hole: np.ndarray) -> float:
    return fill_score(fill_features(photo, edited, hole))


def bad_fills(photo: np.ndarray, hole: np.ndarray, clean: np.ndarray) -> dict[str, np.ndarray]:
    flat, tinted = clean.copy(), clean.copy()
    flat[hole] = clean[~hole].mean(axis=0)
    tinted[hole] = np.clip(clean[hole] + np.array([60, -20, -40]), 0, 255)
    return {"smeared": flat, "tinted": tinted, "nothing removed": photo}


@pytest.mark.parametrize("kind", ["smeared", "tinted", "nothing removed"])
def test_the_truth_scores_above_a_bad_fill(scene, kind):
    photo, hole, clean = scene
    assert scored(photo, clean, hole) > scored(photo, bad_fills(*scene)[kind], hole) + 0.1


def test_the_truth_is_probably_usable(scene):
    photo, hole, clean = scene
    assert scored(photo, clean, hole) > 0.6


def test_a_mask_that_misses_a_part_leaves_a_trace(scene):
    photo, hole, clean = scene
    narrow = hole.copy()
    narrow[:, 120:] = False
    edited = np.where(narrow[..., None], clean, photo)
    assert fill_features(photo, edited, narrow)["leftover"] < fill_features(photo, clean, hole)["leftover"]


def test_features_are_finite_numbers_and_deterministic(scene):
    photo, hole, clean = scene
    one, two = fill_features(photo, clean, hole), fill_features(photo, clean, hole)
    assert one == two and set(CALIBRATION) <= set(one)
    assert all(isinstance(value, float) and np.isfinite(value) for value in one.values())


@pytest.mark.parametrize("place", [(0, 0, 1, 1), (0, 0, 160, 200), (0, 0, 159, 200), (80, 0, 81, 200), (0, 0, 0, 0)])
def test_odd_holes_still_give_a_score(place):
    photo = ground(1)
    hole = np.zeros(photo.shape[:2], bool)
    hole[place[0] : place[2], place[1] : place[3]] = True
    assert 0 <= scored(photo, ground(2), hole) <= 1


def test_large_photographs_are_measured_on_a_small_crop(scene):
    photo, hole, clean = (plane.repeat(5, axis=0).repeat(5, axis=1) for plane in scene)
    assert scored(photo, clean, hole) > scored(photo, photo, hole)
