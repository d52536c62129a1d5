"""Crop, paint, stitch on photographs of all kinds: the background is the source's, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from fake_painters import Noise

from insightedit.backends.paint.edit import Job, attempts, best_of, edit, edit_many
from insightedit.core.errors import BackendError, InputError, Unfit
from insightedit.core.seed import derive

RNG = np.random.default_rng(0)


def photo(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def box(height: int, width: int, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


CASES = {
    "inside": (box(301, 403, 100, 120, 180, 260)),
    "at_the_left": (box(301, 403, 100, 0, 180, 60)),
    "in_a_corner": (box(301, 403, 240, 350, 301, 403)),
    "over_the_whole_width": (box(301, 403, 100, 0, 160, 403)),
    "one_pixel": (box(301, 403, 150, 200, 151, 201)),
    "full_frame": (np.ones((301, 403), bool)),
    "two_parts": (box(301, 403, 10, 10, 30, 30) | box(301, 403, 250, 350, 280, 380)),
    "narrow_photograph": (box(37, 911, 5, 400, 30, 460)),
    "smaller_than_the_canvas": (box(41, 53, 10, 10, 20, 20)),
    "two_thousand_px": (box(1365, 2048, 700, 900, 900, 1200)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("painter", [Noise(side=128), Noise(side=256, multiple=16)], ids=["8", "16"])
def test_outside_the_support_every_pixel_is_the_sources(case, painter):
    mask = CASES[case]
    image = photo(*mask.shape)
    kept = image.copy()
    painted = edit(image, mask, "", "remove", 1, painter)
    assert painted.image.shape == image.shape
    assert painted.image.dtype == np.uint8
    assert painted.support.shape == mask.shape
    assert np.array_equal(painted.image[~painted.support], image[~painted.support])
    assert not (mask & ~painted.support).any()
    assert (painted.image[mask] != image[mask]).mean() > 0.9 * min(1, mask.sum() / 10)  # and it did paint
    assert np.array_equal(image, kept)  # the source itself is not written to


def test_one_seed_one_picture_alone_and_in_a_batch():
    jobs = [Job(photo(*mask.shape), mask, "a cat", "replace", place) for place, mask in enumerate(CASES.values())]
    painter = Noise(side=128, batch_size=4)
    together = edit_many(jobs, painter)
    for job, painted in zip(jobs, together, strict=True):
        alone = edit(job.image, job.mask, job.prompt, job.task, job.seed, painter)
        assert np.array_equal(alone.image, painted.image)
    again = edit(jobs[0].image, jobs[0].mask, "a cat", "replace", 99, painter)
    assert not np.array_equal(again.image, together[0].image)


def test_one_unfit_job_spoils_no_other():
    good = Job(photo(60, 60), box(60, 60, 20, 20, 40, 40), "", "remove", 0)
    empty = Job(photo(60, 60), np.zeros((60, 60), bool), "", "remove", 0)
    first, second, third = attempts([good, empty, good], Noise(side=64))
    assert isinstance(second, Unfit)
    assert np.array_equal(first.image, third.image)
    with pytest.raises(Unfit, match="empty_mask"):
        edit_many([good, empty], Noise(side=64))


def test_arrays_of_other_kinds_are_refused():
    with pytest.raises(InputError, match="cannot edit these arrays"):
        edit(photo(20, 20), np.ones((20, 21), bool), "", "remove", 0, Noise(side=64))
    with pytest.raises(InputError, match="cannot edit these arrays"):
        edit(photo(20, 20), np.ones((20, 20), np.uint8), "", "remove", 0, Noise(side=64))


def test_the_best_of_n_is_kept_with_its_seed():
    job = Job(photo(60, 60), box(60, 60, 20, 20, 40, 40), "", "remove", 0)
    seen = []

    def score(painted):
        seen.append(painted)
        return None if len(seen) == 3 else float(painted.image[30, 30, 0])

    choice = best_of(4, job, (7, "edit"), Noise(side=64), score)
    assert len(seen) == 4
    assert choice.score == max(float(one.image[30, 30, 0]) for place, one in enumerate(seen) if place != 2)
    assert choice.seed == derive(7, "edit", choice.attempt)
    again = edit(job.image, job.mask, "", "remove", choice.seed, Noise(side=64))
    assert np.array_equal(again.image, choice.painted.image)


def test_no_attempt_is_kept_unjudged():
    job = Job(photo(60, 60), box(60, 60, 20, 20, 40, 40), "", "remove", 0)
    with pytest.raises(Unfit, match="no_scored_attempt"):
        best_of(2, job, (7, "edit"), Noise(side=64), lambda painted: None)


def test_when_every_attempt_fails_the_failure_is_told():
    class Broken(Noise):
        def _paint(self, canvases):
            raise RuntimeError("it broke")

    job = Job(photo(60, 60), box(60, 60, 20, 20, 40, 40), "", "remove", 0)
    with pytest.raises(BackendError, match="it broke"):
        best_of(2, job, (7, "edit"), Broken(side=64), lambda painted: 1.0)
