"""A triple to pairs: thresholds and numbers are kept, and what is stored promises what every row does."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from imagining import APART, SAMPLES, SIDE, STILL, UNLIKE, RectanglePairs, recipe

from insightedit.backends.pair.triples import Triple
from insightedit.construct.imagine.sample import Idea, SampleKnobs, SamplePairs
from insightedit.core.image import decode_own
from insightedit.core.mask import Mask
from insightedit.metrics.pixel import outside_difference

IDEA = Idea(Triple(caption="a barn in a field", instruction="paint it red", edited="a red barn in a field"))


def sampled(seed: int = 0, **changes):
    """Of the step on one triple; `changes` are of its knobs."""
    knobs = {**recipe().sample.model_dump(), **changes}
    (found,) = RectanglePairs(SampleKnobs(**knobs), seed).process([IDEA])
    return found


def numbers(found) -> list[int]:
    return [int(pair.photo.uri.rpartition("/")[2]) for pair in found.pairs]


def test_the_best_four_that_pass_are_kept_and_every_sample_is_told_of():
    found = sampled()
    # 11 has the best direction and no change, so of the four best it leaves; 4 and below fail
    assert numbers(found) == [10, 9, 8] and [reject.reason for reject in found.rejects] == ["nothing_changed"]
    assert found.rejects[0].step == "sift" and found.rejects[0].seen.startswith(f"sample {STILL}:")
    assert [sample.left_out for sample in found.samples] == [
        "direction_differs", "before_unlike_caption", "direction_differs", "direction_differs", "direction_differs",
        "not_among_best", "not_among_best", "not_among_best", "", "", "", "",
    ]  # fmt: skip
    assert len(found.samples) == SAMPLES and len(found.pictures) == 6


@pytest.mark.parametrize("most", [1, 2, 30])
def test_no_more_are_kept_than_asked_for_and_none_below_a_threshold(most):
    found = sampled(sift={"most": most, "min_direction": 0.0})
    kept = numbers(found)
    assert len(found.pairs) <= most and not {UNLIKE, APART, STILL} & set(kept)
    assert kept == [one for one in range(SAMPLES - 1, -1, -1) if one not in (UNLIKE, APART, STILL)][: most - 1]
    for pair in found.pairs:
        said = pair.judgement
        assert min(said.clip_source, said.clip_edited) >= 0.2 and said.clip_dir >= 0.0 and said.clip_image >= 0.7


def test_what_is_stored_is_equal_outside_the_mask_and_different_inside():
    found = sampled()
    sides = {picture.sha256: decode_own(picture.jpeg) for picture in found.pictures}
    for pair in found.pairs:
        source, edited = sides[pair.edit.source_sha256], sides[pair.edit.edited_sha256]
        mask = Mask.from_rle(pair.edit.mask.model_dump()).full()
        assert mask.shape == (SIDE, SIDE) and 0.05 < mask.mean() < 0.3
        assert outside_difference(source, edited, mask) == (True, None)
        assert np.abs(source.astype(int) - edited)[mask].mean() > 10
        assert pair.judgement.outside_equal and pair.judgement.outside_psnr is None and pair.judgement.changed > 10
        assert pair.judgement.keep_forward and not pair.judgement.keep_reverse


def test_a_pair_that_passes_no_more_once_it_is_stored_is_left_out():
    class Fading(RectanglePairs):
        def _score(self, pictures, caption, edited):
            scores = super()._score(pictures, caption, edited)
            return scores if len(pictures) > 1 else replace(scores, direction=scores.direction - 0.5)

    (found,) = Fading(recipe().sample).process([IDEA])
    assert not found.pairs and not found.pictures
    assert [(one.step, one.reason) for one in found.rejects] == [
        *[("sift", "nothing_changed"), *[("sift", "direction_differs")] * 3], ("sample", "no_pair_kept")
    ]  # fmt: skip


def test_a_triple_of_which_nothing_is_kept_says_why():
    found = sampled(sift={"min_image": 0.95})
    assert not found.pairs and len(found.samples) == SAMPLES
    (reject,) = found.rejects
    assert (reject.step, reject.reason, reject.uri) == ("sample", "no_pair_kept", IDEA.key)
    assert "7 pictures_differ" in reject.seen and "1 before_unlike_caption" in reject.seen


def test_a_change_of_the_whole_picture_is_a_mask_of_the_whole_picture_or_refused():
    class Turning(RectanglePairs):
        def __init__(self, knobs, seed=0):
            super().__init__(knobs, seed)
            real = self.sampler.pairs

            def turned(caption, edited, draws):
                made = real(caption, edited, draws)
                made[:, 1] = made[:, 0] + 50
                return made

            self.sampler.pairs = turned

    (found,) = Turning(recipe().sample).process([IDEA])
    assert [pair.edit.mask_share for pair in found.pairs] == [1.0] * 4
    local = SampleKnobs(**{**recipe().sample.model_dump(), "changed": {"max_share": 0.5}})
    (found,) = Turning(local).process([IDEA])
    assert [one.reason for one in found.rejects] == ["changed_everywhere"] * 4 + ["no_pair_kept"]


def test_pictures_names_and_clusters_come_from_triple_seed_and_number_alone():
    one, same, other = sampled(), sampled(), sampled(seed=1)
    assert one == same and one.pairs[0].edit.edit_id != other.pairs[0].edit.edit_id
    ids = [pair.edit.edit_id for found in (one, other) for pair in found.pairs]
    assert len(set(ids)) == len(ids)
    assert {pair.photo.cluster for found in (one, other) for pair in found.pairs} == {one.pairs[0].photo.cluster}
    assert one.pairs[0].edit.engine == "prompt_to_prompt:rectangles@1"


def test_where_networks_run_decides_nothing_and_thresholds_do():
    def mark(**changes) -> str:
        return SamplePairs(SampleKnobs(**changes)).fingerprint("before")

    same = [mark(), mark(place={"device": "cpu", "batch_size": 3}), mark(sampler={"batch_size": 1, "device": "cpu"}),
            mark(clip={"batch_size": 1})]  # fmt: skip
    assert len(set(same)) == 1
    assert len({mark(), mark(sift={"min_image": 0.8}), mark(sampler={"samples": 7}), mark(clip={"model": "m"})}) == 4


def test_the_step_travels_to_a_worker_and_tells_both_networks_where_to_run():
    step = pickle.loads(pickle.dumps(SamplePairs(SampleKnobs(place={"device": "cpu"}), 3)))  # noqa: S301
    assert (step.seed, step.share()) == (3, 1.0)
    assert step.sampler.knobs.device == step.clip.settings.device == "cpu"
