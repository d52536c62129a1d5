"""VIEScore: its arithmetic, what the judge is shown, and that no reply ever becomes a guessed number."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer, Turn, pictures, schema_of

from insightedit.backends.chat.client import Chat
from insightedit.backends.chat.settings import ChatKnobs
from insightedit.core.errors import InputError, Stop
from insightedit.core.mask import Mask
from insightedit.metrics.viescore import (
    Score,
    Vie,
    VieKnobs,
    ViewKnobs,
    crop_box,
    mean,
    overall,
    published_reply,
    show,
    worst,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "viescore_replies.json").read_text())["replies"]
RNG = np.random.default_rng(0)
SOURCE = RNG.integers(0, 256, (300, 400, 3), np.uint8)
EDITED = SOURCE[:, ::-1].copy()
SC = {"reasoning": "moved", "instruction_followed": 7, "nothing_else_changed": 4}
PQ = {"reasoning": "a seam", "naturalness": 3, "freedom_from_artifacts": 5}


def square(x0: int, y0: int, x1: int, y1: int, width: int = 400, height: int = 300) -> Mask:
    full = np.zeros((height, width), bool)
    full[y0:y1, x0:x1] = True
    return Mask.of(full)


MASK = square(180, 130, 220, 170)


def asked(server: ChatServer, knobs: VieKnobs = VieKnobs(), journal=None) -> tuple[list[Score], list[Score]]:
    """SC and PQ of every view."""

    async def all_of_it():
        where = ChatKnobs(base_url=server.url, model="gpt-4o", attempts=1, timeout_s=5)
        async with Chat(where) as chat:
            vie, shown = Vie(chat, knobs, journal), show(SOURCE, EDITED, MASK, knobs)
            sc = [await vie.consistency(one, "mirror it") for one in shown]
            return sc, [await vie.quality(one.edited, one.view) for one in shown]

    return asyncio.run(all_of_it())


def answer(body):
    return SC if schema_of(body)["title"].startswith("Consistency") else PQ


# --- arithmetic ------------------------------------------------------------------------------------------------------


def test_sc_and_pq_are_minima_and_o_is_their_geometric_mean_per_sample():
    sc, pq = Score(parts=[9, 4]), Score(parts=[9, 9])
    assert (sc.value, pq.value, overall(sc.value, pq.value)) == (4, 9, 6)
    samples = [overall(4, 9), overall(0, 10), overall(10, 10)]
    assert mean(samples).value == pytest.approx(16 / 3)  # not sqrt(mean SC * mean PQ) = 6.71
    assert overall(0, 10) == 0


def test_a_tenth_of_o_is_the_o_of_the_published_notebook():
    for sc, pq in RNG.integers(0, 11, (20, 2)):
        assert overall(sc, pq) / 10 == pytest.approx(np.sqrt(np.clip(sc / 10, 0, 1) * np.clip(pq / 10, 0, 1)))


def test_what_has_no_score_is_counted_and_never_filled_in():
    lost = Score(reason="refused")
    assert lost.value is None and overall(lost.value, 9) is None and overall(9, None) is None
    assert worst([Score(parts=[9, 9]), lost]) is None and worst([]) is None
    assert worst([Score(parts=[9, 8]), Score(parts=[3, 9])]) == 3
    found = mean([6.0, None, 8.0])
    assert (found.value, found.scored, found.samples) == (7, 2, 3)
    assert mean([None]).value is None


# --- replies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_of_published_replies_only_two_numbers_in_range_are_scores(case):
    score = published_reply(case["reply"])
    official = case["first_try"]["parsed"]
    fit = isinstance(official, dict) and len(official["score"]) == 2
    fit = fit and all(isinstance(part, int) and 0 <= part <= 10 for part in official["score"])
    if score.parts:
        assert fit and score.parts == official["score"] and score.value == case["first_try"]["min"]
    else:
        assert score.reason == "malformed" and score.said == case["reply"] and score.value is None
    if case["name"] in ("plain", "prose", "delimited_three"):
        assert score.parts  # the cases above must not all be malformed
    if case["give_up"]["guessed"]:
        assert score.value is None


def test_the_range_of_a_published_reply_is_that_of_its_scale():
    seven = '{"score": [4, 7], "reasoning": ""}'
    assert published_reply(seven).value == 4 and published_reply(seven, top=5).reason == "malformed"
    assert published_reply('{"score": [4.5, 5], "reasoning": ""}', top=5).value == 4.5


@pytest.mark.parametrize(
    ("turn", "reason", "said"),
    [
        (Turn(text=None, refusal="I can't assist with that."), "refused", "I can't assist with that."),
        (Turn(text="", finish="content_filter"), "content_filter", ""),
        (Turn(text='{"reasoning": "so', finish="length"), "truncated", '{"reasoning": "so'),
        (Turn(text="8"), "malformed", "8"),
        (Turn(text=json.dumps({**SC, "instruction_followed": 11})), "malformed", None),
        (Turn(text=json.dumps({**SC, "instruction_followed": "7"})), "malformed", None),
        (Turn(status=503, text="busy"), "server_error", None),
    ],
)
def test_a_reply_of_no_use_is_a_reason_and_no_number(turn, reason, said):
    with ChatServer(lambda body: turn) as server:
        sc, pq = asked(server, VieKnobs(crop=None))
    assert [score.reason for score in sc + pq] == [reason] * 2
    assert all(score.value is None and score.parts == [] for score in sc + pq)
    assert said is None or said in sc[0].said


def test_a_refused_key_ends_the_run_instead_of_emptying_every_score():
    with ChatServer(answer, key="right") as server, pytest.raises(Stop):
        asked(server)


# --- asking ----------------------------------------------------------------------------------------------------------


def test_consistency_sees_both_pictures_and_the_words_and_quality_only_the_edited_one():
    with ChatServer(answer) as server:
        sc, pq = asked(server)
    assert [score.parts for score in sc] == [[7, 4]] * 2 and [score.parts for score in pq] == [[3, 5]] * 2
    assert [score.view for score in sc] == ["whole", "crop"] and sc[0].said == "moved" and sc[0].judge == "gpt-4o"
    assert sc[0].prompt == "sc" and len(sc[0].version) == 12 and sc[0].tokens_in > 0 and sc[0].usd > 0
    for seen in server.seen[:2]:
        before, after = pictures(seen.body)
        flat = [np.asarray(one, np.float32) for one in (before, after)]
        assert any("mirror it" in text for text in seen.texts)
        assert np.abs(flat[0] - flat[1]).mean() > 30  # in this order: checked below on the first
    whole = [np.asarray(one, np.float32) for one in pictures(server.bodies[0])]
    assert all(np.abs(one - true).mean() < 25 for one, true in zip(whole, (SOURCE, EDITED), strict=True))
    for seen in server.seen[2:]:
        (only,) = pictures(seen.body)
        assert not any("mirror it" in text for text in seen.texts)
    assert only.size == (256, 256)


def test_the_papers_scale_is_asked_for_and_enforced():
    with ChatServer(lambda body: {**answer(body), "instruction_followed": 5} if "Cons" in str(body) else PQ) as server:
        sc, pq = asked(server, VieKnobs(top=5, crop=None))
    assert sc[0].parts == [5, 4] and sc[0].top == 5 and pq[0].parts == [3, 5]
    assert all(any("from 0 to 5" in text for text in seen.texts) for seen in server.seen)
    with ChatServer(answer) as server:
        sc, _ = asked(server, VieKnobs(top=5, crop=None))
    assert sc[0].reason == "malformed"  # 7 of 5


def test_views_are_sent_in_the_sizes_that_were_asked_for():
    knobs = VieKnobs(whole=ViewKnobs(max_side=200, detail="low"), crop=ViewKnobs(max_side=64, lossless=True))
    whole, crop = show(SOURCE, EDITED, MASK, knobs)
    assert (whole.view, whole.source.width, whole.source.height, whole.edited.detail) == ("whole", 200, 150, "low")
    assert (crop.view, crop.edited.width, crop.edited.height) == ("crop", 64, 64)
    assert crop.edited.data_url.startswith("data:image/png") and whole.source.data_url.startswith("data:image/jpeg")
    assert whole.reversed().source is whole.edited and whole.reversed().edited is whole.source


def test_a_crop_that_would_be_the_whole_is_not_sent_twice():
    wide = square(10, 10, 390, 290)
    assert [one.view for one in show(SOURCE, EDITED, wide)] == ["whole"]
    assert [one.view for one in show(SOURCE, EDITED, wide, VieKnobs(whole=None))] == ["whole"]
    assert [one.view for one in show(SOURCE, EDITED, None)] == ["whole"]
    assert [one.view for one in show(SOURCE, EDITED, MASK, VieKnobs(whole=None))] == ["crop"]


def test_pictures_of_two_sizes_and_no_view_are_refused():
    with pytest.raises(InputError, match="400, 300"):
        show(SOURCE, EDITED[:200], MASK)
    with pytest.raises(InputError, match="nothing to show"):
        show(SOURCE, EDITED, MASK, VieKnobs(whole=None, crop=None))


def test_a_crop_holds_the_edit_with_context_inside_the_frame():
    for _ in range(200):
        x0, y0 = RNG.integers(0, 390), RNG.integers(0, 290)
        mask = square(x0, y0, RNG.integers(x0 + 1, 401), RNG.integers(y0 + 1, 301))
        left, top, right, bottom = crop_box(mask, 0.5, 64)
        mx0, my0, mx1, my1 = mask.box
        margin = round(0.5 * max(mx1 - mx0, my1 - my0))
        assert 0 <= left <= max(0, mx0 - margin) and 0 <= top <= max(0, my0 - margin)
        assert min(400, mx1 + margin) <= right <= 400 and min(300, my1 + margin) <= bottom <= 300
        assert right - left >= 64 and bottom - top >= 64
    assert crop_box(square(0, 0, 10, 10), 0, 64) == (0, 0, 64, 64)  # moved inwards, not cut
    assert crop_box(square(5, 5, 8, 8, 40, 30), 0, 64) == (0, 0, 40, 30)


def test_the_arithmetic_needs_none_of_what_asking_needs():
    heavy = ("aiohttp", "orjson", "torch")
    code = f"import sys, insightedit.metrics.viescore; sys.exit(sum(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
