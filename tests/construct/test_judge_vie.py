"""Judging by VIEScore: what is asked about whom, what is paid for, and what decides."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import section
from chat_server import ChatServer, Turn, schema_of
from scenery import HEIGHT, WIDTH, edit, thing

from insightedit.backends.segment.table import SEGMENTERS
from insightedit.construct.ask import Purse
from insightedit.construct.judge_local import LocalKnobs, locally
from insightedit.construct.judge_vie import Bars, JudgeByVie, JudgeVieKnobs, ResidueKnobs, VieVerdict, captions
from insightedit.construct.score_vie import ScoreByVie, ScoreKnobs, Scoring
from insightedit.construct.source.scan import SourceKnobs
from insightedit.construct.work import Painting, Segmentation, Verdict, Worded, Wording, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Stop, Unfit
from insightedit.core.image import encode_jpeg
from insightedit.core.mask import Mask
from insightedit.core.record import Instruction, Photo, Picture
from insightedit.flow.local import Line, Shard, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import Place
from insightedit.metrics.clip import ClipKnobs
from insightedit.metrics.viescore import VieKnobs

GOOD = {"instruction_followed": 9, "nothing_else_changed": 8, "naturalness": 8, "freedom_from_artifacts": 7}
CUP, POT = thing(0, "cup", (20, 20, 70, 80)), thing(1, "pot", (120, 60, 200, 150))
BLOCKS = np.random.default_rng(0).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
SOURCE = np.kron(BLOCKS, np.ones((4, 4, 1), np.uint8))


def picture(pixels: np.ndarray) -> Picture:
    data = encode_jpeg(pixels)
    return Picture(sha256=hashlib.sha256(data).hexdigest(), jpeg=data)


def inside(mask: Mask, colour: int, beyond: int = 0) -> np.ndarray:
    """The source with one even colour inside a mask, and a blot elsewhere if asked."""
    painted = SOURCE.copy()
    painted[mask.full()] = colour
    painted[160:176, 8:24] += np.uint8(beyond)
    return painted


def work(*paintings: tuple[Any, np.ndarray], ways: tuple[str, ...] = ("forward", "reverse")) -> Work:
    """A photograph with edits: (the edit, its picture); each with one simple and two advanced wordings a direction."""
    before, pictures, edits, worded = picture(SOURCE), [picture(SOURCE)], [], []
    for one, pixels in paintings:
        after = picture(pixels)
        edits.append(one.but(source_sha256=before.sha256, edited_sha256=after.sha256))
        pictures.append(after)
        kinds = ("simple", "advanced", "advanced")
        words = [
            Instruction(text=f"{way} {number} {one.edit_id}", direction=way, kind=kind, form="x")
            for way in ways
            for number, kind in enumerate(kinds)
        ]
        worded.append(Worded(edit_id=one.edit_id, instructions=words))
    size = {"width": WIDTH, "height": HEIGHT, "orig_width": WIDTH, "orig_height": HEIGHT}
    photo = Photo(photo_id="p", uri="p.jpg", sha256="0", phash=0, cluster="p", **size)
    values = {
        "segment": Segmentation(photo_id="p", objects=[CUP, POT]),
        "paint": Painting(photo_id="p", edits=edits, pictures=pictures),
        "instruct": Wording(photo_id="p", edits=worded),
    }
    return Work(photo, values)


REMOVAL = edit(CUP, edit_id="removal")
MASK = Mask.from_rle(CUP.mask.model_dump())
ONE = work((REMOVAL, inside(MASK, 128)))


def replies(**changes):
    """A judge that says GOOD, or what is given."""

    def answer(body):
        fields = schema_of(body)["properties"]
        return {name: {"reasoning": "because", **GOOD, **changes}[name] for name in fields}

    return answer


def judge(
    server: ChatServer,
    item: Work,
    folder: Path,
    score: dict[str, Any] | None = None,
    bars: dict[str, Any] | None = None,
) -> tuple[Scoring, VieVerdict]:
    """Both steps, as a build runs them."""
    steps = [
        ScoreByVie(ScoreKnobs(chat=section(server), **(score or {})), 0, folder, SourceKnobs(), Purse()),
        JudgeByVie(JudgeVieKnobs(**(bars or {}))),
    ]
    line = Line(steps, "source", Manifest(folder))
    with Pool(0, 30) as pool:
        asyncio.run(run(line, [Shard(0, [item])], pool, Silent()))
    (((done,), rejects),) = line.results([Shard(0, [item])])
    assert not rejects
    return done.value("score", Scoring), done.value("judge", VieVerdict)


def texts(server: ChatServer, mark: str) -> int:
    return sum(any(mark in text for text in seen.texts) for seen in server.seen)


# --- who is asked, and what ------------------------------------------------------------------------------------------


def test_each_direction_and_kind_is_asked_about_and_only_the_painted_picture_for_quality(tmp_path):
    with ChatServer(replies()) as server:
        scoring, verdict = judge(server, ONE, tmp_path)
    (scored,) = scoring.edits
    asked = [(one.direction, one.kind, one.text) for one in scored.consistency]
    ways, kinds = ("forward", "reverse"), ("simple", "advanced")
    assert asked == [(way, kind, f"{way} {number} removal") for way in ways for number, kind in enumerate(kinds)]
    assert [score.view for score in scored.quality] == ["whole"]  # a crop of at least 256 px would be the whole
    assert len(server.seen) == 5 == len(scoring.asked)
    assert {one.prompt for one in scoring.asked} == {"sc", "pq"} and all(one.tokens_in > 0 for one in scoring.asked)
    (known,) = verdict.edits
    assert known.keep_forward and known.keep_reverse and known.reasons == []
    assert (known.sc_fwd_follow, known.sc_rev_overedit, known.pq_natural, known.pq_artifact) == (9, 8, 8, 7)
    assert known.o_fwd == pytest.approx(56**0.5) and known.top == 10 and known.judge == "gpt-4o"


def test_the_crop_is_asked_about_beside_the_whole(tmp_path):
    with ChatServer(replies()) as server:
        scoring, _ = judge(server, ONE, tmp_path, {"vie": VieKnobs(least_crop_px=32)})
    assert [score.view for score in scoring.edits[0].quality] == ["whole", "crop"]
    assert texts(server, "cut out of photographs") == 4 and texts(server, "cut out of a photograph") == 1


def test_the_reverse_direction_is_shown_the_other_way_round(tmp_path):
    with ChatServer(replies()) as server:
        judge(server, ONE, tmp_path, {"advanced": 0, "vie": VieKnobs(crop=None)})
    urls = {}
    for seen in server.seen:
        parts = seen.body["messages"][-1]["content"]
        images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        way = next((way for way in ("forward", "reverse") if any(way in text for text in seen.texts)), "pq")
        urls[way] = images
    assert urls["forward"] == urls["reverse"][::-1] and urls["pq"] == [urls["forward"][1]]


def test_who_fails_without_a_judge_is_not_asked_about(tmp_path):
    idle, spilt = REMOVAL.but(edit_id="idle"), REMOVAL.but(edit_id="spilt")
    child = edit(CUP, edit_id="child", method="composed", parents=["idle", "removal"])
    grey, blotted = inside(MASK, 128), inside(MASK, 128, beyond=90)
    item = work((REMOVAL, grey), (idle, SOURCE), (spilt, blotted), (child, inside(MASK, 20)))
    with ChatServer(replies()) as server:
        scoring, verdict = judge(server, item, tmp_path)
    assert [one.unasked for one in scoring.edits] == [[], ["nothing_changed"], ["changed_outside"], ["parent_rejected"]]
    assert sum(texts(server, name) for name in ("idle", "spilt", "child")) == 0
    assert [one.reasons for one in verdict.edits] == [one.unasked for one in scoring.edits]
    assert [one.keep_forward for one in verdict.edits] == [True, False, False, False]
    assert verdict.edits[2].outside_psnr is not None and verdict.edits[1].sc_fwd_follow is None


def test_without_the_cheap_judge_everybody_is_asked_about(tmp_path):
    item = work((REMOVAL.but(edit_id="idle"), SOURCE))
    with ChatServer(replies()) as server:
        scoring, verdict = judge(server, item, tmp_path, {"first": None})
    assert scoring.edits[0].unasked == [] and texts(server, "idle") > 0
    assert verdict.edits[0].reasons == ["nothing_changed"]  # the verdict looks for itself


def test_an_edit_without_words_costs_nothing(tmp_path):
    with ChatServer(replies()) as server:
        scoring, verdict = judge(server, work((REMOVAL, inside(MASK, 128)), ways=()), tmp_path)
    assert not server.seen and scoring.edits[0].unasked == ["no_instruction"]
    assert verdict.edits[0].reasons == ["no_instruction"]


def test_the_classical_measure_is_taken_only_of_the_methods_that_are_named():
    item = work((REMOVAL, inside(MASK, 128)), (edit(POT, edit_id="new", method="inpaint"), inside(MASK, 128)))
    off, on = locally(item, LocalKnobs()), locally(item, LocalKnobs(quality={"removal": 1.01}))
    assert off["removal"].quality is None and off["removal"].reasons == []
    assert on["removal"].quality is not None and on["removal"].reasons == ["low_quality"]
    assert on["new"].quality is None and "low_quality" not in on["new"].reasons


# --- paying ----------------------------------------------------------------------------------------------------------


def test_another_bar_judges_anew_and_asks_nobody(tmp_path):
    with ChatServer(replies()) as server:
        _, first = judge(server, ONE, tmp_path)
        paid = len(server.seen)
        _, second = judge(server, ONE, tmp_path, bars={"bars": Bars(sc=0.85)})
        assert len(server.seen) == paid
        judge(server, ONE, tmp_path, {"simple": 1, "advanced": 2})
        assert len(server.seen) > paid  # another question is another matter
    assert first.edits[0].keep_forward and not second.edits[0].keep_forward
    assert second.edits[0].reasons == ["low_sc"]


def test_what_was_paid_for_before_a_run_ended_is_not_paid_for_again(tmp_path):
    denied = [True]

    def answer(body):
        asks_quality = "Quality" in schema_of(body)["title"]
        return Turn(status=401, text="no") if asks_quality and denied[0] else replies()(body)

    with ChatServer(answer) as server:
        with pytest.raises(Stop):
            judge(server, ONE, tmp_path)
        answered = texts(server, "<instruction>")
        denied[0] = False
        _, verdict = judge(server, ONE, tmp_path)
    assert answered == texts(server, "<instruction>") == 4 and verdict.edits[0].keep_forward


def test_no_bar_is_in_the_fingerprint_of_the_scores():
    names = {name for model in (ScoreKnobs, VieKnobs) for name in model.model_fields}
    assert not names & set(JudgeVieKnobs.model_fields) - {"place"}
    there = JudgeByVie(JudgeVieKnobs(place=Place(device="cpu")))
    assert there.fingerprint("x") == JudgeByVie(JudgeVieKnobs()).fingerprint("x")


# --- deciding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ({"nothing_else_changed": 3}, ["low_sc", "low_overall"]),
        ({"naturalness": 4}, ["low_pq", "low_overall"]),
        ({"nothing_else_changed": 6, "freedom_from_artifacts": 5}, ["low_overall"]),
        ({"nothing_else_changed": 6, "freedom_from_artifacts": 6}, []),
    ],
)
def test_the_smaller_part_decides(said, reasons, tmp_path):
    with ChatServer(replies(**said)) as server:
        _, verdict = judge(server, ONE, tmp_path)
    assert verdict.edits[0].reasons == reasons and verdict.edits[0].keep_forward == (not reasons)


def test_bars_are_shares_of_the_scale_and_may_differ_by_method(tmp_path):
    halves = {name: value / 2 for name, value in GOOD.items()}
    vie = {"vie": VieKnobs(top=5)}
    with ChatServer(replies(**halves)) as server:
        _, verdict = judge(server, ONE, tmp_path, vie)
        _, strict = judge(server, ONE, tmp_path, vie, {"by_method": {"removal": Bars(pq=0.75)}})
        _, other = judge(server, ONE, tmp_path, vie, {"by_method": {"inpaint": Bars(pq=0.75)}})
    assert [one.edits[0].keep_forward for one in (verdict, strict, other)] == [True, False, True]
    assert strict.edits[0].reasons == ["low_pq"] and verdict.edits[0].sc_fwd_overedit == 4


def test_an_unusable_reply_is_null_with_its_reason_and_keeps_nothing(tmp_path):
    def answer(body):
        return Turn(text=None, refusal="I can't.") if "Quality" in schema_of(body)["title"] else replies()(body)

    with ChatServer(answer) as server:
        scoring, verdict = judge(server, ONE, tmp_path)
    (known,) = verdict.edits
    assert scoring.edits[0].quality[0].reason == "refused" and scoring.edits[0].quality[0].said == "I can't."
    assert (known.pq_natural, known.o_fwd, known.sc_fwd_follow) == (None, None, 9)
    assert known.reasons == ["pq_refused"] and not known.keep_forward and not known.keep_reverse


def test_one_direction_may_stay_where_the_other_fails(tmp_path):
    def answer(body):
        return replies(**({"instruction_followed": 1} if "reverse" in str(body["messages"]) else {}))(body)

    with ChatServer(answer) as server:
        _, verdict = judge(server, ONE, tmp_path)
    (known,) = verdict.edits
    assert known.keep_forward and not known.keep_reverse
    assert known.reasons == [] and known.faults_reverse == ["low_sc", "low_overall"]  # reasons count what is left out
    assert known.judge_reason == "because" and isinstance(verdict, Verdict)  # as the rest of the build reads it


def test_the_mirror_image_takes_the_forward_scores_only_where_that_is_wanted(tmp_path):
    half = {"both_directions": False}
    with ChatServer(replies()) as server:
        scoring, unasked = judge(server, ONE, tmp_path, half)
        _, mirrored = judge(server, ONE, tmp_path, half, {"reverse_as_forward": True})
    assert {one.direction for one in scoring.edits[0].consistency} == {"forward"}
    assert unasked.edits[0].keep_forward and unasked.edits[0].faults_reverse == ["not_asked"]
    assert mirrored.edits[0].keep_reverse and mirrored.edits[0].sc_rev_follow is None


# --- networks that are switched on -----------------------------------------------------------------------------------


class Seer(Knobs):
    """Settings of a detector that says the same of every picture."""

    device: str = "auto"
    sure: float = 0.0


class Detector:
    """Finds what it is told to find."""

    Settings = Seer

    def __init__(self, settings: Seer) -> None:
        self.settings, self.ready = settings, False

    def setup(self) -> None:
        self.ready = True

    def release(self) -> None:
        self.ready = False

    def present(self, image: np.ndarray, phrase: str, where: Mask) -> float:
        assert self.ready and image.shape[:2] == where.full().shape == (HEIGHT, WIDTH)
        if phrase != "cup":
            raise Unfit("phrase_too_long", phrase, "a name")
        return self.settings.sure


class Eye:
    """Embeds a picture by its mean level and words by the colour that they name, as two directions of a plane."""

    def __init__(self, settings: ClipKnobs) -> None:
        self.settings = settings

    def setup(self) -> None: ...

    def release(self) -> None: ...

    def images(self, batch):
        assert all(0 < one.shape[0] < HEIGHT for one in batch)  # the place of the edit, not the whole
        return np.array([[one[..., 0].mean() / 255, 1.0] for one in batch])

    def texts(self, batch):
        return np.array([[1.0 if "white" in words else 0.5, 1.0] for words in batch])


def alone(item: Work, scoring: Scoring, **knobs) -> VieVerdict:
    """The second step, set up as in a worker."""
    step = pickle.loads(pickle.dumps(JudgeByVie(JudgeVieKnobs(**knobs))))  # noqa: S301 - our own
    step.setup()
    (verdict,) = step.process([item.with_value("score", scoring)])
    step.release()
    return verdict


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> dict[str, Scoring]:
    """Good scores of every work that the tests below need."""
    found = {}
    with ChatServer(replies()) as server:
        for name, item in WORKS.items():
            found[name], _ = judge(server, item, tmp_path_factory.mktemp("judged"), {"advanced": 0})
    return found


WHITE = edit(CUP, edit_id="white", task="replace", method="recolour", object_after="cup", look_after="white")
WORKS = {
    "removal": ONE,
    "odd": work((edit(POT, edit_id="odd"), inside(Mask.from_rle(POT.mask.model_dump()), 128))),
    "white": work((WHITE, inside(MASK, 255))),
    "black": work((WHITE, inside(MASK, 0))),
}


@pytest.mark.parametrize(("sure", "kept"), [(0.29, True), (0.31, False)])
def test_a_removed_thing_must_not_be_found_again(sure, kept, scores, monkeypatch):
    monkeypatch.setitem(SEGMENTERS, "seer", f"{__name__}:Detector")
    residue = ResidueKnobs(segmenter="seer", settings={"sure": sure})
    (known,) = alone(ONE, scores["removal"], residue=residue).edits
    assert known.residual_det == sure and known.keep_forward == kept
    assert known.reasons == ([] if kept else ["still_there"])
    (odd,) = alone(WORKS["odd"], scores["odd"], residue=residue).edits
    assert odd.residual_det is None and odd.keep_forward  # not measured is not guessed
    (white,) = alone(WORKS["white"], scores["white"], residue=residue).edits
    assert white.residual_det is None  # a replaced thing has not been removed


def test_a_replacement_must_change_as_its_words_do(scores, monkeypatch):
    monkeypatch.setattr("insightedit.construct.judge_vie.Clip", Eye)
    knobs = {"clip": ClipKnobs(), "min_clip_direction": 0.08}
    (white,) = alone(WORKS["white"], scores["white"], **knobs).edits
    (black,) = alone(WORKS["black"], scores["black"], **knobs).edits
    assert white.clip_dir == pytest.approx(1) and white.keep_forward
    assert black.clip_dir == pytest.approx(-1) and black.reasons == ["wrong_direction"]
    (removal,) = alone(ONE, scores["removal"], **knobs).edits
    assert removal.clip_dir is None and removal.keep_forward
    assert captions(WHITE.but(look_before="red")) == ("a photo of red cup", "a photo of white cup")
    assert captions(REMOVAL) is None and captions(WHITE.but(look_after=None)) is None


def test_gpu_memory_is_asked_for_only_where_a_network_runs():
    assert JudgeByVie(JudgeVieKnobs()).share() == 0
    assert JudgeByVie(JudgeVieKnobs(clip=ClipKnobs())).share() > 0
    assert JudgeByVie(JudgeVieKnobs(clip=ClipKnobs(), place=Place(device_share=0.1))).share() == 0.1
