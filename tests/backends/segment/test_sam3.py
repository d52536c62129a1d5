"""Properties of SAM 3 by text."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from insightedit.backends.segment.rules import RuleKnobs
from insightedit.backends.segment.sam3 import Sam3, Sam3Knobs
from insightedit.core.errors import BackendError, InputError, Unfit

ALL = RuleKnobs(max_share=1, max_border_share=1, same_mask_iou=1, max_on_person=1)


def made(folder, **knobs) -> Sam3:
    one = Sam3(Sam3Knobs(**{"model": str(folder), "device": "cpu", "threshold": 0.0, "rules": ALL, **knobs}))
    one.setup()
    return one


@pytest.fixture(scope="module")
def sam3(weights) -> Sam3:
    return made(weights["sam3"])


def changed(sam3: Sam3, **settings) -> Sam3:
    """The same network under other settings."""
    other = copy.copy(sam3)
    other.settings = sam3.settings.model_copy(update=settings)
    return other


def test_instances_are_those_of_the_published_reading(sam3, photo):
    """Score = instance x presence, masks = sigmoid, stretched, over a half; picture -1..1, text of 32 tokens."""
    net, tokenizer = sam3._net.model, sam3._tokenizer
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    sheet = interpolate(pixels, (56, 56), mode="bilinear", align_corners=False, antialias=True) / 127.5 - 1
    text = tokenizer("dog", padding="max_length", max_length=32, return_tensors="pt")
    with torch.inference_mode():
        out = net(pixel_values=sheet, input_ids=text["input_ids"], attention_mask=text["attention_mask"])
    scores = (out.pred_logits.sigmoid() * out.presence_logits.sigmoid())[0]
    masks = interpolate(out.pred_masks.sigmoid(), photo.shape[:2], mode="bilinear", align_corners=False)[0] > 0.5
    found = sam3.find(photo, ["dog"])
    order = scores.argsort(descending=True)
    assert len(found) == 6
    for one, index in zip(found, order.tolist(), strict=True):
        assert one.score == pytest.approx(float(scores[index]), abs=2e-3) and one.mask_score is None
        assert (one.mask.full() != masks[index].numpy()).mean() < 0.02  # Pillow rounds the small picture to bytes


def test_each_phrase_is_asked_for_by_itself(sam3, photo):
    both, swapped = sam3.find(photo, ["dog", "cup"]), sam3.find(photo, ["cup", "dog"])
    alone = sam3.find(photo, ["cup"])
    assert [one.score for one in both if one.phrase == 1] == [one.score for one in alone]
    assert sorted(one.score for one in both) == sorted(one.score for one in swapped)
    assert {one.score for one in both if one.phrase == 0}.isdisjoint(one.score for one in alone)


def test_the_threshold_and_the_rules_leave_out(sam3, photo):
    middle = sorted(one.score for one in sam3.find(photo, ["dog"]))[3]
    assert len(changed(sam3, threshold=middle).find(photo, ["dog"])) == 2
    strict = changed(sam3, rules=RuleKnobs(max_share=0.01), person="").find_many([photo], [["dog"]])[0]
    assert not strict.found and {one.reason for one in strict.left} == {"too_large"} and len(strict.left) == 6


def test_phrases_that_cannot_be_asked_are_said(sam3, photo):
    told = sam3.find_many([photo], [["dog", " . ", "Dog", "a very long name of forty letters or more"]])[0]
    assert {one.phrase for one in told.found} == {0}
    assert [one.reason for one in told.left] == ["empty_phrase", "repeated_phrase", "phrase_too_long"]
    assert sam3.find(photo, []) == [] and sam3.find(photo, [""]) == []


def test_presence_is_the_best_score_in_the_region(sam3, photo):
    answer = sam3._ask(sam3._see(photo), sam3._read("dog"), photo)
    best = int(answer.scores.argmax())
    region = np.zeros(photo.shape[:2], bool)
    x0, y0, x1, y1 = answer.boxes[best].clip(0).astype(int)
    region[y0 : y1 + 1, x0 : x1 + 1] = True
    assert sam3.present(photo, "dog", region) == pytest.approx(float(answer.scores[best]))
    assert sam3.present(photo, "dog", np.zeros(photo.shape[:2], bool)) == 0
    with pytest.raises(Unfit):
        sam3.present(photo, "", region)
    with pytest.raises(InputError):
        sam3.present(photo, "dog", region[:10])


def test_it_pickles_before_it_is_set_up(weights, photo):
    again = pickle.loads(pickle.dumps(Sam3(Sam3Knobs(model=str(weights["sam3"])))))  # noqa: S301 - made here
    assert again.settings.model == str(weights["sam3"])


def test_overflow_is_an_error_and_release_lets_go(weights, photo):
    one = made(weights["sam3"])
    with torch.no_grad():
        one._net.model.text_projection.weight.fill_(torch.nan)
    with pytest.raises(BackendError, match="no numbers"):
        one.find(photo, ["dog"])
    one.release()
    one.setup()
    assert one.find(photo, ["dog"])
