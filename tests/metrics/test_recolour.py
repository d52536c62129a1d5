"""Properties of the recolour features and their score: each way of failing lowers it."""

import numpy as np
import pytest

from insightedit.backends.paint.recolour import recolour
from insightedit.metrics.recolour import recolour_features, recolour_score, rim_distance


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A photograph uint8 (200, 260, 3) of a shaded red disc on green, and its mask."""
    y, x = np.mgrid[:200, :260].astype(np.float32)
    mask = np.hypot(y - 100, x - 130) <= 55
    light = 1.1 - 0.005 * np.hypot(y - 70, x - 100)
    image = np.where(mask[..., None], np.array((200, 35, 40)) * light[..., None], (70, 130, 75))
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), mask


def test_a_good_recolour_scores_high(scene):
    image, mask = scene
    features = recolour_features(image, recolour(image, mask, "blue").image, mask, "blue")
    assert features["rim"] > 0.8 and features["changed"] > 0.95 and features["named"] > 0.9
    assert features["residual"] < 0.02 and features["spilled"] < 0.05 and features["detail"] > 0.5
    assert recolour_score(features) > 0.7


def test_a_mask_that_misses_half_of_the_object_scores_lower(scene):
    image, mask = scene
    half = mask.copy()
    half[:, 130:] = False
    whole = recolour_features(image, recolour(image, mask, "blue").image, mask, "blue")
    part = recolour_features(image, recolour(image, half, "blue").image, half, "blue")
    assert part["residual"] > whole["residual"] + 0.1 and part["rim"] < whole["rim"]
    assert recolour_score(part) < recolour_score(whole)


def test_no_change_scores_low(scene):
    image, mask = scene
    nothing = recolour_features(image, image, mask, "blue")
    assert nothing["changed"] == 0 and nothing["named"] < 0.1
    assert recolour_score(nothing) < 0.3


def test_the_score_is_a_probability_and_deterministic(scene):
    image, mask = scene
    painted = recolour(image, mask, "yellow").image
    scores = {recolour_score(recolour_features(image, painted, mask)) for _ in range(2)}
    assert len(scores) == 1 and 0 <= scores.pop() <= 1


def test_features_mean_the_same_at_twice_the_size(scene):
    image, mask = (x.repeat(2, 0).repeat(2, 1) for x in scene)
    double_image, double_mask = (x.repeat(2, 0).repeat(2, 1) for x in (image, mask))
    one = recolour_features(image, recolour(image, mask, "blue").image, mask)
    two = recolour_features(double_image, recolour(double_image, double_mask, "blue").image, double_mask)
    for name in ("rim", "uniform", "changed", "named", "residual", "spilled"):
        assert one[name] == pytest.approx(two[name], abs=0.08), name


def test_tiny_masks_work_and_empty_ones_are_refused(scene):
    image, mask = scene
    small = np.zeros_like(mask)
    small[100, 130] = True
    features = recolour_features(image, recolour(image, small, "blue").image, small)
    assert all(np.isfinite(value) for value in features.values())
    assert 0 <= rim_distance(image, small) <= 1
    with pytest.raises(ValueError, match="empty"):
        recolour_features(image, image, np.zeros_like(mask))
