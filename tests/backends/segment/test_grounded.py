"""Properties of phrases -> boxes -> masks -> rules, loaded by the user's path."""

import copy
import pickle

import numpy as np
import pytest

from insightedit.backends.segment.detect import OUTSCORED, DetectorKnobs
from insightedit.backends.segment.grounded import GroundedSam, GroundedSamKnobs
from insightedit.backends.segment.rules import RuleKnobs
from insightedit.backends.segment.sam import SamKnobs
from insightedit.backends.segment.table import SEGMENTERS
from insightedit.core.config import validate
from insightedit.core.errors import ConfigError, InputError, Unfit
from insightedit.core.lookup import pick
from insightedit.core.mask import Mask

LOOSE = RuleKnobs(min_mask_score=0, max_share=1, max_border_share=1, max_on_person=1)
PHRASES = ["man", "woman in red", "car", "carpet", "st. man", "cup"]


def settings(weights, detector: str = "grounding-dino", sam: str = "sam2") -> GroundedSamKnobs:
    boxes, masks = DetectorKnobs(model=str(weights[detector])), SamKnobs(model=str(weights[sam]))
    return GroundedSamKnobs(detector=boxes, masks=masks, rules=LOOSE, device="cpu")


@pytest.fixture(scope="module")
def grounded(weights, loaded) -> GroundedSam:
    made = GroundedSam(settings(weights))
    made._detector, made._sam = loaded("grounding-dino"), loaded("sam2")  # what `setup` loads, shared between tests
    return made


def changed(grounded: GroundedSam, **settings) -> GroundedSam:
    """The same networks under other settings."""
    other = copy.copy(grounded)
    other.settings = grounded.settings.model_copy(update=settings)
    return other


@pytest.mark.parametrize(("detector", "sam"), [("grounding-dino", "sam"), ("mm-grounding-dino", "sam2")])
def test_networks_of_all_kinds_find_things_with_masks(weights, photo, detector, sam):
    made = GroundedSam(settings(weights, detector=detector, sam=sam))
    made.setup()
    found = made.find(photo, PHRASES)
    assert found and {one.phrase for one in found} <= set(range(len(PHRASES)))
    for one in found:
        x0, y0, x1, y1 = one.box
        assert 0 <= x0 < x1 <= 96 and 0 <= y0 < y1 <= 64 and all(type(value) is int for value in one.box)
        assert one.mask.full().shape == (64, 96) and one.mask.area and 0.4 < one.score <= 1 and 0 <= one.mask_score <= 1


def test_the_order_of_phrases_changes_nothing_but_their_indices(grounded, photo):
    def named(phrases):
        told = grounded.find_many([photo], [phrases])[0]
        things = {(phrases[one.phrase], one.box, one.score, one.mask_score, one.mask.area) for one in told.found}
        return things, {(phrases[one.phrase], one.reason, one.box) for one in told.left}

    assert named(PHRASES) == named(PHRASES[::-1]) == named(PHRASES[3:] + PHRASES[:3])


def test_what_is_left_out_is_said_with_its_phrase(grounded, photo):
    phrases = ["", "?", "man", "Man.", "car"]
    told = grounded.find_many([photo], [phrases])[0]
    reasons = {(one.phrase, one.reason) for one in told.left}
    assert {(0, "empty_phrase"), (1, "empty_phrase"), (3, "repeated_phrase")} <= reasons
    lost = {one.phrase for one in told.left if one.reason == OUTSCORED}
    assert lost and lost <= {2, 4} and {one.phrase for one in told.found} <= {2, 4}
    assert all(one.seen and one.wanted for one in told.left)


def test_every_claim_to_a_box_is_found_or_left(grounded, photo):
    """Nothing vanishes between the detector and the end."""
    claims, lost = grounded._detector.detect(photo, PHRASES[:4])
    alone = changed(grounded, person="")  # one word more in the text would move the scores a little
    told = alone.find_many([photo], [PHRASES[:4]])[0]
    ends = sorted([(one.phrase, one.box) for one in told.found] + [(one.phrase, one.box) for one in told.left])
    assert ends == sorted([(one.wording, one.box) for one in claims] + [(one.phrase, one.box) for one in lost])


def test_pictures_are_told_as_they_are_alone(grounded, photo):
    images = [photo, photo[:40, :50], 255 - photo, photo]
    phrases = [PHRASES, ["cup"], [], ["dog", "man"]]
    for image, words, told in zip(images, phrases, grounded.find_many(images, phrases), strict=True):
        alone = grounded.find_many([image], [words])[0]
        assert [(one.phrase, one.box) for one in told.found] == [(one.phrase, one.box) for one in alone.found]
        assert [(one.phrase, one.reason) for one in told.left] == [(one.phrase, one.reason) for one in alone.left]
        assert np.allclose([one.score for one in told.found], [one.score for one in alone.found], atol=1e-4)


def test_nothing_over_the_threshold_is_an_empty_answer(grounded, photo):
    made = changed(grounded, detector=grounded.settings.detector.model_copy(update={"box_threshold": 0.9999}))
    told = made.find_many([photo], [["man"]])[0]
    assert told.found == [] and told.left == [] and made.find(photo, []) == []


def test_rules_are_applied(grounded, photo):
    made = changed(grounded, rules=RuleKnobs(max_share=0.001, min_share=0, min_mask_score=0))
    told = made.find_many([photo], [["man", "car"]])[0]
    assert not told.found and "too_large" in {one.reason for one in told.left}


def test_people_are_looked_for_besides_and_never_reported(grounded, photo):
    rules = LOOSE.model_copy(update={"max_on_person": 0.01, "same_mask_iou": 0.999})
    seen = {}
    for person in ("person", "man", ""):
        seen[person] = changed(grounded, rules=rules, person=person).find_many([photo], [["man", "car"]])[0]
        assert {one.phrase for one in seen[person].found + seen[person].left} <= {0, 1}
    worn = {person: {one.phrase for one in told.left if one.reason == "on_a_person"} for person, told in seen.items()}
    assert worn["man"] == {1} and not worn[""]  # whoever was asked for as a person is one


def test_presence_is_the_detectors_score_in_the_region(grounded, photo):
    told = grounded._detector.scored([photo], [[grounded._detector.read("red car")]])[0]
    best = int(told.best[:, 0].argmax())
    x0, y0 = np.floor(told.boxes[best, :2].clip(0)).astype(int)
    x1, y1 = np.ceil(told.boxes[best, 2:].clip(0, (96, 64))).astype(int)
    region = np.zeros((64, 96), bool)
    region[y0:y1, x0:x1] = True
    assert grounded.present(photo, "red car", region) == told.best[best, 0]
    assert grounded.present(photo, "red car", Mask.of(region)) == told.best[best, 0]
    assert grounded.present(photo, "red car", np.zeros((64, 96), bool)) == 0
    with pytest.raises(Unfit, match="empty_phrase"):
        grounded.present(photo, "?", region)
    with pytest.raises(InputError, match="region"):
        grounded.present(photo, "red car", region.T)


def test_known_boxes_get_masks_without_words(grounded, photo):
    ((mask, score),), none = grounded.masks([photo, photo], [[(10, 10, 50, 50)], []])
    assert mask.full().shape == (64, 96) and 0 <= score <= 1 and none == []


def test_it_pickles_and_names_its_weights(weights, grounded):
    again = pickle.loads(pickle.dumps(GroundedSam(settings(weights))))  # noqa: S301 - made here
    assert again.settings == grounded.settings
    assert grounded.engine().count("@") == 2 and "+ sam2@" in grounded.engine()


def test_settings_are_checked_and_named(weights):
    assert pick(SEGMENTERS, "grounded_sam", "segmenter") is GroundedSam
    with pytest.raises(ConfigError, match="box_threshold"):
        validate(GroundedSamKnobs, {"detector": {"box_treshold": 0.3}}, "a test")
    with pytest.raises(ConfigError):
        validate(GroundedSamKnobs, {"detector": {"box_threshold": 1.5}}, "a test")


def test_release_lets_go_and_setup_brings_back(weights, photo):
    made = GroundedSam(settings(weights))
    made.setup()
    before = [one.box for one in made.find(photo, ["man"])]
    made.release()
    assert not hasattr(made._detector, "_net") and not hasattr(made._sam, "_net")
    made.setup()
    assert [one.box for one in made.find(photo, ["man"])] == before
