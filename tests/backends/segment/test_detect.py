"""Properties of detection: spans, thresholds, order, duplicates; and equality with transformers' own reading."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from insightedit.backends.segment.detect import OUTSCORED, Detector, DetectorKnobs, Scored, chosen
from insightedit.core.errors import BackendError, InputError, Unfit

PHRASES = ["man", "woman in red", "car", "carpet", "red car"]


@pytest.fixture(scope="module", params=["grounding-dino", "mm-grounding-dino"])
def detector(request, loaded) -> Detector:
    return loaded(request.param)


def scored(detector: Detector, image: np.ndarray, *phrases: str) -> Scored:
    return detector.scored([image], [[detector.read(phrase) for phrase in phrases]])[0]


def test_boxes_and_span_scores_are_those_of_transformers(detector, photo):
    """Its post-processing reads one text as one label, so every token outside the span is silenced for it."""
    processor = AutoProcessor.from_pretrained(detector.knobs.model)
    phrases = sorted(PHRASES, key=detector.read)
    given = processor(images=photo, text=[phrases], input_data_format="channels_last", return_tensors="pt")
    with torch.inference_mode():
        out = detector._net.model(**given)
    ours = scored(detector, photo, *phrases)
    start = 1
    for column, phrase in enumerate(phrases):
        width = len(detector.read(phrase))
        silent = torch.full_like(out.logits, -torch.inf)
        silent[..., start : start + width] = out.logits[..., start : start + width]
        start += width + 1
        post = processor.post_process_grounded_object_detection
        theirs = SimpleNamespace(logits=silent, pred_boxes=out.pred_boxes)
        sizes = [photo.shape[:2]]
        (all_of_it,) = post(theirs, given["input_ids"], threshold=0.0, text_threshold=0.0, target_sizes=sizes)
        assert np.allclose(ours.best[:, column], all_of_it["scores"].numpy(), atol=1e-5), phrase
        assert np.allclose(ours.boxes, all_of_it["boxes"].numpy(), atol=1e-3)
        over = post(theirs, given["input_ids"], threshold=0.4, text_threshold=0.3, target_sizes=sizes)
        assert (ours.best[:, column] > 0.4).sum() == len(over[0]["boxes"])


def test_the_picture_and_the_words_both_matter(detector, photo):
    here, there = scored(detector, photo, "man", "red car"), scored(detector, 255 - photo, "man", "red car")
    assert np.abs(here.best - there.best).max() > 0.01 and np.abs(here.boxes - there.boxes).max() > 1
    assert np.abs(here.best[:, 0] - here.best[:, 1]).max() > 0.01


def test_scores_are_shares_and_the_mean_is_below_the_best(detector, photo):
    told = scored(detector, photo, *PHRASES)
    assert told.boxes.shape == (20, 4) and told.best.shape == told.mean.shape == (20, 5)
    assert ((told.best >= told.mean) & (told.mean > 0) & (told.best < 1)).all()
    assert np.array_equal(told.best[:, 0], told.mean[:, 0])  # one token
    assert (told.best[:, 1] > told.mean[:, 1]).any()


def test_the_order_of_phrases_changes_nothing_but_their_columns(detector, photo):
    forth, back = scored(detector, photo, *PHRASES), scored(detector, photo, *PHRASES[::-1])
    assert np.array_equal(forth.best, back.best[:, ::-1]) and np.array_equal(forth.boxes, back.boxes)
    found, left = detector.detect(photo, PHRASES)
    mirrored, gone = detector.detect(photo, PHRASES[::-1])
    assert {(PHRASES[one.wording], one.box, one.score) for one in found} == {
        (PHRASES[4 - one.wording], one.box, one.score) for one in mirrored
    }
    assert {(PHRASES[one.phrase], one.seen, one.box) for one in left} == {
        (PHRASES[4 - one.phrase], one.seen, one.box) for one in gone
    }


def test_a_list_longer_than_the_text_is_asked_in_parts(detector, photo):
    many = [f"red {one}" for one in "abcdefghijklmnopqrstuvwxyz"]
    told = scored(detector, photo, *many)
    assert len(told.boxes) == 40 and told.best.shape == (40, 26)  # two texts, 20 boxes each
    assert (told.best.reshape(2, 20, 26).max(axis=1) > 0).sum(axis=0).tolist() == [1] * 26  # each in one of them


def test_a_picture_scores_the_same_beside_others(detector, photo):
    tall = np.ascontiguousarray(photo.transpose(1, 0, 2))
    asked = [["man", "red car"], ["dog"], ["woman in red", "cup", "carpet"], ["man"]]
    wordings = [[detector.read(phrase) for phrase in phrases] for phrases in asked]
    images = [photo, tall, 255 - photo, photo[:40, :60]]
    together = detector.scored(images, wordings)
    for image, asked_of_it, told in zip(images, wordings, together, strict=True):
        alone = detector.scored([image], [asked_of_it])[0]
        assert np.allclose(alone.best, told.best, atol=1e-4) and np.allclose(alone.boxes, told.boxes, atol=1e-2)


def test_pictures_of_one_size_share_a_pass_and_no_other_does(detector, photo, monkeypatch):
    passes = []
    forward = detector._forward
    monkeypatch.setattr(
        detector, "_forward", lambda jobs: passes.append([job.picture for job in jobs]) or forward(jobs)
    )
    tall = np.ascontiguousarray(photo.transpose(1, 0, 2))
    detector.scored([photo, tall, photo, tall], [[detector.read("dog")]] * 4)
    assert passes == [[0, 2], [1, 3]]


def test_nothing_asked_is_nothing_found(detector, photo):
    told = detector.scored([photo], [[]])[0]
    assert told.boxes.shape == (0, 4) and told.best.shape == (0, 0)
    assert detector.detect(photo, []) == ([], [])


def test_grey_pictures_have_three_channels_and_others_are_refused(detector, photo):
    grey = np.repeat(photo[..., :1], 3, axis=2)
    assert np.isfinite(scored(detector, grey, "dog").best).all()
    for wrong in (photo[..., 0], photo[..., :1], np.dstack([photo, photo[..., 0]]), photo / 255.0, photo[:0]):
        with pytest.raises(InputError, match="uint8"):
            scored(detector, wrong, "dog")


def test_a_strip_of_three_rows_is_not_taken_for_channels(detector):
    strip = np.random.default_rng(0).integers(0, 255, (3, 96, 3), np.uint8)
    wide = scored(detector, strip, "dog").boxes
    assert wide[:, 2].max() > 10  # boxes are in px of 96 x 3


def test_an_empty_phrase_is_refused(detector, photo):
    with pytest.raises(Unfit, match="empty_phrase"):
        detector.detect(photo, ["dog", " . "])


def test_half_precision_runs_and_overflow_is_an_error(weights, photo):
    made = Detector(DetectorKnobs(model=str(weights["grounding-dino"]), dtype="bfloat16"), "cpu")
    made.setup()
    assert np.isfinite(scored(made, photo, "dog").best).all()
    with torch.no_grad():
        made._net.model.model.text_projection.weight.fill_(torch.inf)
    with pytest.raises(BackendError, match="no numbers"):
        scored(made, photo, "dog")


# --- choosing, on drawn scores ---------------------------------------------------------------------------------------


def drawn(*rows: tuple[tuple[float, ...], tuple[float, ...]]) -> Scored:
    """Boxes with the score of each wording; the mean is the same."""
    boxes, best = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows], float)
    return Scored(boxes, best, best.copy())


def test_both_thresholds_are_exceeded_or_the_box_is_no_answer():
    told = drawn(((10, 10, 30, 30), (0.4,)), ((40, 10, 60, 30), (0.41,)), ((70, 10, 90, 30), (0.9,)))
    told.mean[2] = 0.3  # one word of several fits
    found, left = chosen(told, DetectorKnobs(), ["cup"], 100, 80)
    assert [one.box for one in found] == [(40, 10, 60, 30)] and left == []


def test_duplicates_of_a_phrase_are_one_thing():
    told = drawn(((10, 10, 30, 30), (0.6,)), ((11, 10, 31, 30), (0.8,)), ((25, 10, 45, 30), (0.5,)))
    found, left = chosen(told, DetectorKnobs(), ["cup"], 100, 80)
    assert [one.box for one in found] == [(11, 10, 31, 30), (25, 10, 45, 30)] and left == []


@pytest.mark.parametrize("phrases", [["man", "woman in red"], ["woman in red", "man"]])
def test_a_box_of_two_phrases_goes_to_the_better_and_the_other_says_why(phrases):
    scores = (0.5, 0.7) if phrases[0] == "man" else (0.7, 0.5)
    found, (lost,) = chosen(drawn(((10, 10, 30, 30), scores)), DetectorKnobs(), phrases, 100, 80)
    assert [phrases[one.wording] for one in found] == ["woman in red"]
    assert phrases[lost.phrase] == "man" and lost.reason == OUTSCORED and lost.score == 0.5
    assert lost.seen == "'man' 0.50 where 'woman in red' has 0.70" and lost.box == (10, 10, 30, 30) and lost.wanted


def test_equal_scores_are_settled_by_the_phrase_and_not_by_its_place():
    told = drawn(((10, 10, 30, 30), (0.5, 0.5)))
    winners = {names[chosen(told, DetectorKnobs(), names, 100, 80)[0][0].wording] for names in (["a", "b"], ["b", "a"])}
    assert winners == {"a"}


def test_boxes_are_cut_to_the_frame_and_those_beyond_it_are_none():
    told = drawn(((-20, 30, 15.2, 90), (0.9,)), ((120, 10, 150, 30), (0.9,)), ((99.5, 79.5, 130, 130), (0.9,)))
    found, _ = chosen(told, DetectorKnobs(), ["cup"], 100, 80)
    assert sorted(one.box for one in found) == [(0, 30, 16, 80), (99, 79, 100, 80)]
