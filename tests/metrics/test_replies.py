"""What a judge's reply is worth: the golden vectors, as published and as ours."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from insightedit.core.errors import InputError, UnknownName
from insightedit.metrics import replies
from insightedit.metrics.outcome import Status
from insightedit.metrics.profile import get
from insightedit.metrics.sample import Sample
from insightedit.metrics.score import reading, score
from insightedit.metrics.viescore import Score

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "viescore_replies.json").read_text())["replies"]
EACH = pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
TEN = get("viescore_0_10").judge
FIVE = get("viescore_insightedit_0_5").judge
IMGEDIT = get("imgedit").judge


@EACH
@pytest.mark.parametrize("last_try", [False, True], ids=["first_try", "give_up"])
def test_the_published_parse_is_reproduced_faults_and_all(case, last_try):
    told = case["give_up" if last_try else "first_try"]
    found, guessed = replies.viescore_parse(case["reply"], last_try, random.Random(0))
    assert guessed == told["guessed"]
    if guessed:
        assert found["reasoning"] == told["parsed"]["reasoning"] and len(found["score"]) == 1
        assert 0 <= found["score"][0] <= 10
    else:
        assert found == told["parsed"]


@EACH
def test_ours_never_guesses_and_never_disagrees_with_a_proper_reply(case):
    for name in ("strict", "imgedit_strict", "viescore_published"):
        assert not replies.get(name)(case["reply"], TEN).guessed
    ours = replies.strict(case["reply"], TEN)
    if ours.scores:
        assert list(ours.scores) == case["first_try"]["parsed"]["score"]
    else:
        assert ours.status == Status.MALFORMED and ours.why
    assert bool(ours.scores) == (case["name"] in ("plain", "prose", "delimited_three"))


@EACH
def test_insightedit_s_own_reading(case):
    found = replies.insightedit_published(case["reply"], FIVE)
    told = case["insightedit_official"]
    assert (list(found.scores) or None) == (told and [float(score) for score in told])


def test_a_guess_is_marked_and_the_same_every_time():
    first, again = (replies.viescore_published_guessing("[6,  0]", TEN) for _ in range(2))
    assert first == again and first.guessed and len(first.scores) == 1
    assert replies.viescore_published("[6,  0]", TEN).status == Status.MALFORMED
    assert replies.viescore_published("[6, 0]", TEN).scores == (6, 0)  # well formed, and still lost on the second try
    assert replies.viescore_parse("[6, 0]", True, random.Random(0))[1]


def test_scores_off_the_profile_s_scale_are_malformed_in_either_layout():
    ours = '{"reasoning": "", "instruction_followed": %s, "nothing_else_changed": 2}'
    quality = '{"reasoning": "", "naturalness": 5, "freedom_from_artifacts": 4}'
    assert replies.strict(ours % 4, FIVE).scores == (4, 2) and replies.strict(quality, FIVE).scores == (5, 4)
    assert replies.strict(ours % 7, FIVE).status == Status.MALFORMED and replies.strict(ours % 7, TEN).scores == (7, 2)
    assert replies.strict('{"score": [7, 2], "reasoning": ""}', FIVE).status == Status.MALFORMED
    assert replies.strict("```json\n" + quality + "\n```", TEN).scores == (5, 4)


@pytest.mark.parametrize(
    ("reply", "published", "ours"),
    [
        ("Instruction: 4\nQuality: 3\nPhysics: 3", (4, 3, 3), (4, 3, 3)),
        ("Brief reasoning: it is fine\nA b: 5\nC d: 4\nE f: 4", (5, 4, 4), (5, 4, 4)),
        ("**Instruction:** 4\n**Quality**: 3/5\nPhysics: 3.", (), (4, 3, 3)),
        ("Instruction: 5/5\nQuality: 3\nPhysics: 3", (3, 3), (5, 3, 3)),  # the best score is lost in theirs
        ("Instruction: 4\nQuality: 3", (4, 3), ()),
        ("Instruction: 9\nQuality: 3\nPhysics: 3", (9, 3, 3), ()),
        ("Instruction: 0\nQuality: 3\nPhysics: 3", (0, 3, 3), ()),
        ("Quality: 3\nQuality: 3\nPhysics: 3", (3, 3, 3), ()),
        ("I cannot help with that.", (), ()),
    ],
)
def test_imgedit_lines_as_published_and_as_ours(reply, published, ours):
    assert replies.imgedit_published(reply, IMGEDIT).scores == published
    found = replies.imgedit_strict(reply, IMGEDIT)
    assert found.scores == ours and (found.status == Status.OK) == bool(ours)


# --- through a profile -----------------------------------------------------------------------------------------------


def judged(profile, sc, pq):
    return score(profile, Sample(None, PICTURE, replies={"sc": sc, "pq": pq}))


PICTURE = np.zeros((8, 8, 3), np.uint8)
GOOD = '{"score": [9, 4], "reasoning": "r"}'
BETTER = '{"score": [9, 9], "reasoning": "r"}'


def test_a_profile_gives_minima_their_parts_and_the_root_of_their_product():
    found = {name: outcome.value for name, outcome in judged(get("viescore_0_10"), GOOD, BETTER).items()}
    assert (found["sc"], found["pq"], found["overall"]) == (4, 9, 6)
    assert (found["sc_followed"], found["sc_preserved"], found["pq_natural"], found["pq_clean"]) == (9, 4, 9, 9)


def test_half_a_judgement_gives_half_the_numbers_and_no_overall():
    found = judged(get("gedit"), GOOD, "I'm sorry")
    assert found["sc"].value == 4 and found["pq"].status == found["overall"].status == Status.MALFORMED
    refused = judged(get("gedit"), GOOD, Score(reason="refused", said="no"))
    assert refused["overall"].status == Status.REFUSED and refused["overall"].why == "no"
    absent = score(get("gedit"), Sample(None, PICTURE, replies={"sc": GOOD}))
    assert absent["overall"].status == Status.MISSING_REPLY
    gone = score(get("gedit"), Sample(None, None, replies={"sc": GOOD, "pq": GOOD}))
    assert {outcome.status for outcome in gone.values()} == {Status.MISSING_OUTPUT}


def test_scores_of_another_scale_are_not_taken():
    five, ten = Score(parts=[4, 5], top=5), Score(parts=[4, 5], top=10)
    assert judged(get("viescore_insightedit_0_5"), five, five)["overall"].value == 4
    assert judged(get("viescore_0_10"), five, ten)["sc"].status == Status.MALFORMED
    assert judged(get("viescore_0_10"), five, ten)["pq"].value == 4


def test_another_filter_is_another_profile_and_keeps_the_replies():
    lone = '{"score": [7], "reasoning": "t"}'
    assert judged(get("viescore_0_10"), lone, GOOD)["sc"].status == Status.MALFORMED
    other = reading(get("viescore_0_10"), "viescore_published")
    found = judged(other, lone, GOOD)
    assert other.name == "viescore_0_10+viescore_published" and found["sc"].value == 7
    assert found["sc_followed"].value == 7 and found["sc_preserved"].status == Status.MALFORMED
    with pytest.raises(UnknownName, match="strict"):
        reading(get("gedit"), "stric")
    with pytest.raises(InputError, match="asks no judge"):
        reading(get("magicbrush"), "strict")
