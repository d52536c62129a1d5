"""Sampled pairs, made equal outside of one mask."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.backends.pair.changed import ChangedKnobs, settled
from insightedit.core.errors import Unfit
from insightedit.core.image import decode_own, encode_jpeg
from insightedit.metrics.pixel import outside_difference


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two pictures, uint8 (128, 160, 3), alike up to noise but for an ellipse somewhere; and that ellipse."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:128, 0:160]
    before = np.stack([rows, columns, rows + columns], axis=-1) * 0.6 + 40
    x, y, w, h = rng.uniform(20, 140), rng.uniform(20, 108), rng.uniform(8, 30), rng.uniform(8, 30)
    thing = ((columns - x) / w) ** 2 + ((rows - y) / h) ** 2 < 1
    after = before + rng.normal(0, 3, before.shape)
    after[thing] += rng.choice([-1, 1]) * 45
    return (*(np.clip(picture, 0, 255).astype(np.uint8) for picture in (before, after)), thing)


def test_outside_the_mask_the_pictures_are_equal_also_as_stored():
    for seed in range(8):
        before, after, _ = scene(seed)
        edited, mask = settled(before, after, ChangedKnobs())
        assert edited.dtype == np.uint8 and mask.dtype == bool and mask.shape == before.shape[:2]
        assert np.array_equal(edited[~mask], before[~mask]), f"scene seed {seed}"
        stored = [decode_own(encode_jpeg(picture)) for picture in (before, edited)]
        assert outside_difference(*stored, mask) == (True, None), f"scene seed {seed}"


def test_what_changed_is_kept_and_covered_and_little_else():
    for seed in range(8):
        before, after, thing = scene(seed)
        edited, mask = settled(before, after, ChangedKnobs())
        assert mask[thing].all(), f"scene seed {seed}"
        assert np.array_equal(edited[thing], after[thing]), f"scene seed {seed}"
        assert mask.sum() < 2.2 * thing.sum() + 200, f"scene seed {seed}"


def test_the_seam_is_no_step():
    """Across the mask's border the edited picture departs from the first by little more than from place to place."""
    before = np.full((100, 100, 3), 100, np.uint8)
    after = before.copy()
    after[30:70, 30:70] = 200
    after[~np.pad(np.ones((60, 60), bool), 20)] = 108  # below the threshold, all around
    edited, mask = settled(before, after, ChangedKnobs(margin=0.08))
    assert edited[50, 50, 0] == 200 and edited[5, 5, 0] == 100 and 0 < mask.mean() < 0.5
    ring = edited[50, 80:95, 0].astype(int)
    assert np.abs(np.diff(ring)).max() <= 4


def test_a_change_all_over_is_one_mask_of_the_whole_frame_or_refused():
    before, _, _ = scene(0)
    after = 255 - before
    edited, mask = settled(before, after, ChangedKnobs(threshold=0, smooth=0, speck=0))
    assert mask.mean() > 0.9 and np.array_equal(edited[~mask], before[~mask])
    with pytest.raises(Unfit, match="changed_everywhere"):
        settled(before, after, ChangedKnobs(max_share=0.5))


@pytest.mark.parametrize("kind", ["equal", "noise", "specks"])
def test_nothing_worth_a_mask_is_unfit(kind):
    before, _, _ = scene(0)
    rng = np.random.default_rng(1)
    after = before.copy()
    if kind == "noise":
        after = np.clip(before + rng.normal(0, 3, before.shape), 0, 255).astype(np.uint8)
    if kind == "specks":
        after[10, 10] = after[100, 90] = 255
    with pytest.raises(Unfit, match="nothing_changed"):
        settled(before, after, ChangedKnobs())
