"""Instructions by a language model, against a loopback endpoint: what is wrong is mended once, and then left out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import drive, section
from chat_server import ChatServer, Turn, pictures
from scenery import HEIGHT, WIDTH, edit, thing

from insightedit.backends.chat.prompt import load
from insightedit.construct.ask import Purse
from insightedit.construct.instruct import InstructKnobs
from insightedit.construct.instruct_knobs import InstructMllmKnobs
from insightedit.construct.instruct_mllm import InstructByMllm, Written, tidy
from insightedit.construct.referring import parse, picks
from insightedit.construct.reverify import unverified
from insightedit.construct.row import rows_of
from insightedit.construct.source.scan import SourceKnobs
from insightedit.construct.work import Description, Painting, Segmentation, Verdict, Work
from insightedit.core.errors import Stop
from insightedit.core.image import encode_jpeg
from insightedit.core.record import Edit, Judgement, Photo, Picture

RED = thing(0, "red mug", (10, 100, 60, 160), category="mug", colour="red", detail="A red mug with a handle.")
BLUE = thing(1, "blue mug", (90, 100, 140, 160), category="mug", colour="blue")
LAMP = thing(2, "lamp", (15, 10, 55, 60))
ROOM = [RED, BLUE, LAMP]
REMOVAL = edit(RED, edit_id="removal", detail_before=RED.detail)
KETTLE = {"object_after": "steel kettle", "category_after": "kettle", "detail_after": "A kettle of steel."}
SWAP = edit(RED, edit_id="swap", task="replace", method="replacement", look_before=None, **KETTLE)


def picture(number: int) -> Picture:
    pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    data = encode_jpeg(np.kron(pixels, np.ones((4, 4, 1), np.uint8)))
    return Picture(sha256=hashlib.sha256(data).hexdigest(), jpeg=data)


BEFORE, AFTER = picture(0), {"removal": picture(1), "swap": picture(2)}


def work(*edits: Edit) -> Work:
    """A photograph with these edits painted."""
    size = {"width": WIDTH, "height": HEIGHT, "orig_width": WIDTH, "orig_height": HEIGHT}
    photo = Photo(photo_id="p", uri="p.jpg", sha256="0", phash=0, cluster="p", **size)
    painted = [
        one.but(source_sha256=BEFORE.sha256, edited_sha256=AFTER[one.edit_id].sha256) for one in edits or [REMOVAL]
    ]
    values = {
        "describe": Description(photo_id="p", caption="A table.", objects=ROOM),
        "segment": Segmentation(photo_id="p", objects=ROOM),
        "paint": Painting(photo_id="p", edits=painted, pictures=[BEFORE, *AFTER.values()]),
    }
    return Work(photo, values)


def said(text: str, *clues: tuple[str, str, list[int], int]) -> dict[str, Any]:
    fields = ("says", "word", "others", "count")
    return {"text": text, "clues": [dict(zip(fields, clue, strict=True)) for clue in clues]}


NAMED, ADDED = said("Remove the red mug", ("name", "red mug", [], 0)), said("Add a red mug", ("name", "red mug", [], 0))
RIDDLE = said("Could somebody tidy up what one drinks cocoa from?", ("use", "what one drinks cocoa from", [], 0))
WISH = said("I would love some cocoa under the lamp.", ("use", "cocoa", [], 0))
GOOD = {"forward": {"simple": [NAMED], "advanced": [RIDDLE]}, "reverse": {"simple": [ADDED], "advanced": [WISH]}}


def numbers_of(text: str) -> dict[str, int]:
    """Name -> number, of a list in a question."""
    lines = [line.split(". ", 1) for line in text.splitlines() if ". " in line and ": left" in line]
    return {rest.split(": left")[0]: int(number) for number, rest in lines}


class Model:
    """One that writes these sentences, mends any into `mended`, and points at the things of these names.

    Args:
        written: its reply on both directions.
        pointed: sentence -> names of what it takes it to mean; the red mug, where it is not among them.
        mended: what it makes of any sentence that it is asked to mend.
    """

    def __init__(self, written: Any = None, pointed: dict[str, Any] | None = None, mended: Any = None) -> None:
        self.written, self.pointed, self.mended = written or GOOD, pointed or {}, mended or said("Mended.")

    def __call__(self, body: dict[str, Any]) -> Any:
        text = question(body)
        match asked(body):
            case "Instructed":
                return self.written
            case "Rewritten":
                return self.mended if isinstance(self.mended, Turn) else {"instruction": self.mended}
        known = numbers_of(text)
        sentence = text.split("<instruction>\n")[1].split("\n</instruction>")[0]
        names = self.pointed.get(sentence, [name for name in ("red mug", "steel kettle") if name in known])
        if isinstance(names, Turn):
            return names
        return {"reason": "It is.", "numbers": [known[name] for name in names]}


def question(body: dict[str, Any]) -> str:
    """The user's words, without a repair turn."""
    return str(body["messages"][1]["content"][0]["text"])


def asked(body: dict[str, Any]) -> str:
    return str(body["response_format"]["json_schema"]["name"])


def one_of(forward: list[Any], advanced: list[Any] | None = None) -> dict[str, Any]:
    """A reply with these forward sentences and a good way back."""
    return {**GOOD, "forward": {"simple": forward, "advanced": advanced or []}}


def step(server: ChatServer, folder: Path, **knobs: Any) -> InstructByMllm:
    mllm = InstructMllmKnobs(**{"chat": section(server), **knobs.pop("mllm", {})})
    return InstructByMllm(InstructKnobs(backend="mllm", mllm=mllm, **knobs), 0, folder, SourceKnobs(), Purse())


def worded(server: ChatServer, folder: Path, *edits: Edit, **knobs: Any) -> Written:
    """What is said of one photograph's edits."""
    found, rejects = drive(step(server, folder, **knobs), [work(*edits)], folder / "shards")
    assert not rejects
    return found["p"]


def texts(found: Written, at: int = 0) -> list[tuple[str, str, str]]:
    return [(one.direction, one.kind, one.text) for one in found.edits[at].instructions]


def reasons(found: Written) -> list[tuple[str, str]]:
    return [(one.reason, one.edit_id) for one in found.rejects]


# --- what is right ---------------------------------------------------------------------------------------------------


def test_both_directions_are_written_by_who_sees_both_pictures_and_verified(tmp_path):
    with ChatServer(Model()) as server:
        found = worded(server, tmp_path, mllm={"max_side_px": 120})
    assert texts(found) == [
        ("forward", "simple", "Remove the red mug."),
        ("forward", "advanced", "Could somebody tidy up what one drinks cocoa from?"),
        ("reverse", "simple", "Add a red mug."),
        ("reverse", "advanced", "I would love some cocoa under the lamp."),
    ]
    assert found.rejects == [] and all(one.picks == ["o0"] for one in found.edits[0].instructions)
    assert [asked(body) for body in server.bodies] == ["Instructed", "PointedBack", "PointedBack"]
    assert all(len(pictures(body)) == 2 and pictures(body)[0].size == (120, 90) for body in server.bodies)
    writer = server.seen[0].texts[-1]
    assert "red mug. A red mug with a handle." in writer and "left 4, top 56, right 25, bottom 89" in writer
    assert numbers_of(writer).keys() == {"blue mug", "lamp"}, "the thing itself is no landmark"


def test_what_geometry_proves_is_kept_with_a_formula_that_holds_and_nobody_is_asked(tmp_path):
    with ChatServer(Model()) as server:
        found = worded(server, tmp_path)
    formulas = {one.text: one.query for one in found.edits[0].instructions}
    assert formulas.pop("Remove the red mug.") == formulas.pop("Add a red mug.") == 'name("red mug")'
    assert picks(parse('name("red mug")'), ROOM) == ["o0"] and set(formulas.values()) == {""}
    assert not any("Remove the red mug." in text for seen in server.seen[1:] for text in seen.texts)


def test_a_published_row_proves_its_formulas_again(tmp_path):
    leftmost = said("Which mug is leftmost may go", ("leftmost", "mug", [], 0))
    with ChatServer(Model(one_of([NAMED], [leftmost]))) as server:
        found = worded(server, tmp_path)
    verdict = Verdict(photo_id="p", edits=[Judgement(edit_id="removal", keep_forward=True, keep_reverse=True)])
    ((row,), _) = rows_of(work().with_value("instruct", found).with_value("judge", verdict), {"train": 1.0})
    plain = row.model_dump()
    (proved,) = (one for one in plain["instr_meta"] if one["kind"] == "advanced" and one["query"])
    assert proved["query"] == 'leftmost(category("mug"))' and unverified(plain, {}) is None
    proved["query"] = 'rightmost(category("mug"))'
    assert "rightmost" in (unverified(plain, {}) or "")


def test_without_proofs_everything_is_asked_and_the_checker_may_be_another_model(tmp_path):
    with ChatServer(Model()) as server, ChatServer(Model()) as reader:
        found = worded(server, tmp_path, mllm={"prove": False, "checker": section(reader, model="qwen2-vl")})
    assert [asked(body) for body in server.bodies] == ["Instructed"]
    assert [asked(body) for body in reader.bodies] == ["PointedBack"] * 4
    assert [one.query for one in found.edits[0].instructions] == [""] * 4
    assert {one.model for one in found.asked} == {"gpt-4o", "qwen2-vl"}


def test_a_replacement_is_pointed_back_in_the_picture_that_its_reader_sees(tmp_path):
    there, back = said("Swap the red mug for a steel kettle"), said("Swap the steel kettle for a red mug")
    reply = {"forward": {"simple": [there], "advanced": []}, "reverse": {"simple": [back], "advanced": []}}
    with ChatServer(Model(reply)) as server:
        found = worded(server, tmp_path, SWAP)
    assert [text for _, _, text in texts(found)] == [f"{there['text']}.", f"{back['text']}."]
    assert "The object of the second image: steel kettle. A kettle of steel." in server.seen[0].texts[-1]
    first, second = (one for one in server.bodies if asked(one) == "PointedBack")
    listed = [numbers_of(question(body)).keys() for body in (first, second)]
    assert sorted(map(sorted, listed)) == [["blue mug", "lamp", "red mug"], ["blue mug", "lamp", "steel kettle"]]
    forward, reverse = (first, second) if "red mug" in listed[0] else (second, first)
    source, edited = pictures(server.bodies[0])
    assert pictures(forward)[0].tobytes() == source.tobytes() and pictures(reverse)[0].tobytes() == edited.tobytes()


def test_an_addition_is_pointed_back_where_it_stands_already(tmp_path):
    with ChatServer(Model()) as server:
        worded(server, tmp_path)
    (body,) = (one for one in server.bodies if "cocoa under the lamp" in question(one))
    assert load("point_back_added").system in body["messages"][0]["content"]
    assert pictures(body)[0].tobytes() == pictures(server.bodies[0])[0].tobytes()


def test_every_answer_says_which_words_and_which_model_it_came_from(tmp_path):
    with ChatServer(Model(pointed={RIDDLE["text"]: ["lamp"]})) as server:
        found = worded(server, tmp_path)
    names = ["instruct_remove", "point_back", "rewrite", "point_back", "point_back_added"]
    assert [(one.prompt, one.version) for one in found.asked] == [(name, load(name).version) for name in names]
    assert all(one.model == "gpt-4o" and one.tokens_in and one.usd for one in found.asked)


# --- what is wrong ---------------------------------------------------------------------------------------------------

POINTED = [
    ("wrong_object", ["lamp"], "lamp"),
    ("ambiguous", ["red mug", "blue mug"], "blue mug"),
    ("means_nothing", [], "nothing"),
]


@pytest.mark.parametrize(("reason", "names", "why"), POINTED, ids=[reason for reason, *_ in POINTED])
def test_a_sentence_that_means_something_else_is_mended_once_and_then_dropped_with_its_reason(
    tmp_path, reason, names, why
):
    mended = said("What holds cocoa should go.")
    with ChatServer(Model(pointed={RIDDLE["text"]: names, mended["text"]: names}, mended=mended)) as server:
        found = worded(server, tmp_path)
    assert [kind for way, kind, _ in texts(found) if way == "forward"] == ["simple"]
    (reject,) = found.rejects
    assert (reject.step, reject.reason) == ("instruct", f"sentence_{reason}")
    assert (reject.edit_id, reject.object_id, reject.photo_id) == ("removal", "o0", "p")
    assert reject.seen == f"forward, advanced: {mended['text']}" and why in reject.wanted
    (rewriting,) = (seen for seen in server.seen if asked(seen.body) == "Rewritten")
    assert RIDDLE["text"] in rewriting.texts[-1] and why in rewriting.texts[-1]
    assert sum(asked(body) == "PointedBack" for body in server.bodies) == 3


def test_a_mended_sentence_that_picks_the_right_thing_is_kept_as_rewritten(tmp_path):
    mended = said("What holds cocoa should go.")
    with ChatServer(Model(pointed={RIDDLE["text"]: ["lamp"]}, mended=mended)) as server:
        found = worded(server, tmp_path)
    assert found.rejects == [] and ("forward", "advanced", mended["text"]) in texts(found)
    forms = {one.text: one.form for one in found.edits[0].instructions}
    assert forms.pop(mended["text"]) == "rewritten" and set(forms.values()) == {"written"}


def test_without_rewrites_nothing_is_mended(tmp_path):
    with ChatServer(Model(pointed={RIDDLE["text"]: ["lamp"]})) as server:
        found = worded(server, tmp_path, mllm={"rewrites": 0})
    assert reasons(found) == [("sentence_wrong_object", "removal")] and "Rewritten" not in map(asked, server.bodies)


def test_a_lie_about_geometry_is_caught_by_code_before_anybody_points(tmp_path):
    with ChatServer(Model()) as server:
        worded(server, tmp_path / "numbers")
    at_lamp = numbers_of(server.seen[1].texts[-1])["lamp"]
    lie = said("What stands above the lamp may go.", ("above", "", [at_lamp], 0))
    with ChatServer(Model(one_of([NAMED], [lie]), mended=lie)) as server:
        found = worded(server, tmp_path)
    assert reasons(found) == [("sentence_untrue_claim", "removal")]
    assert f"'above {at_lamp} (lamp)'" in found.rejects[0].wanted
    assert not any(lie["text"] in question(body) for body in server.bodies if asked(body) == "PointedBack")


RULES = [
    ("too_long", "Take away " + "very " * 20 + "old things."),
    ("speaks_of_other_image", "Make it look like the second image."),
    ("not_english", "请把左边的东西拿走。"),
]


@pytest.mark.parametrize(("reason", "text"), RULES, ids=[reason for reason, _ in RULES])
def test_rules_are_checked_without_asking(tmp_path, reason, text):
    with ChatServer(Model(one_of([said("Remove it")], [said(text)]), mended=said(text))) as server:
        found = worded(server, tmp_path)
    assert (f"sentence_{reason}", "removal") in reasons(found)
    pointed = [seen.texts[-1] for seen in server.seen if asked(seen.body) == "PointedBack"]
    assert pointed and not any(text in one for one in pointed)


def test_a_direction_without_a_simple_instruction_has_none(tmp_path):
    vague = said("Remove it")
    with ChatServer(Model(one_of([vague], [RIDDLE]), {"Remove it.": []}, vague)) as server:
        found = worded(server, tmp_path)
    assert {way for way, *_ in texts(found)} == {"reverse"}
    assert reasons(found) == [("sentence_means_nothing", "removal"), ("no_simple_instruction", "removal")]
    assert found.rejects[1].seen == "forward: of 2 sentences 1 verified, all of them advanced"


def test_an_edit_that_nobody_can_word_has_no_instructions_and_says_so_for_both_directions(tmp_path):
    nothing = {"simple": [], "advanced": []}
    with ChatServer(Model({"forward": nothing, "reverse": nothing})) as server:
        found = worded(server, tmp_path)
    assert found.edits[0].instructions == []
    assert reasons(found) == [("no_simple_instruction", "removal")] * 2
    assert [one.seen.split(":")[0] for one in found.rejects] == ["forward", "reverse"]


UNUSABLE = [
    ("malformed", Turn(text="Here you are!")),
    ("refused", Turn(text=None, refusal="I had rather not.")),
    ("truncated", Turn(text='{"forward": {', finish="length")),
]


@pytest.mark.parametrize(("reason", "turn"), UNUSABLE, ids=[reason for reason, _ in UNUSABLE])
def test_a_reply_of_no_use_costs_the_edit_its_words_and_no_other_edit(tmp_path, reason, turn):
    good = Model()

    def answer(body: dict[str, Any]) -> Any:
        return turn if "The object of the second image" in question(body) else good(body)

    with ChatServer(answer) as server:
        found = worded(server, tmp_path, SWAP, REMOVAL)
    assert [len(one.instructions) for one in found.edits] == [0, 4]
    assert reasons(found) == [(reason, "swap")] and "'instruct_replace'" in found.rejects[0].wanted


@pytest.mark.parametrize(("reason", "turn"), UNUSABLE, ids=[reason for reason, _ in UNUSABLE])
def test_a_question_about_a_sentence_without_a_usable_reply_costs_that_sentence(tmp_path, reason, turn):
    with ChatServer(Model(pointed={RIDDLE["text"]: turn})) as server:
        found = worded(server, tmp_path)
    assert len(texts(found)) == 3 and reasons(found) == [(f"sentence_{reason}", "removal")]
    assert RIDDLE["text"] in found.rejects[0].seen and "'point_back'" in found.rejects[0].wanted
    with ChatServer(Model(pointed={RIDDLE["text"]: ["lamp"]}, mended=turn)) as server:
        found = worded(server, tmp_path / "mending")
    assert len(texts(found)) == 3 and "'rewrite'" in found.rejects[0].wanted


def test_no_more_sentences_are_kept_than_were_asked_for_and_none_twice(tmp_path):
    many = [NAMED, {**NAMED, "text": "remove the red mug!"}, *(said(f"Remove mug {letter}") for letter in "abc")]
    with ChatServer(Model(one_of(many))) as server:
        found = worded(server, tmp_path, simple_per_direction=3)
    assert [text for way, _, text in texts(found) if way == "forward"] == [
        "Remove the red mug.", "Remove mug a.", "Remove mug b.",
    ]  # fmt: skip
    assert "Write 3 simple and 3 advanced" in server.seen[0].texts[-1]


# --- a run -----------------------------------------------------------------------------------------------------------


def test_what_was_answered_before_a_stop_is_not_asked_again(tmp_path):
    model = Model(pointed={WISH["text"]: Turn(401, "Incorrect API key provided", code="invalid_api_key")})
    with ChatServer(model) as server:
        with pytest.raises(Stop):
            worded(server, tmp_path)
        before = len(server.seen)
        server.answer = Model()
        found = worded(server, tmp_path)
        again = [text for seen in server.seen[before:] for text in seen.texts]
    assert len(texts(found)) == 4 and len(found.asked) == 3
    assert len(server.seen) == before + 1 and any(WISH["text"] in text for text in again)


def test_the_order_of_edits_does_not_matter(tmp_path):
    model = Model(pointed={RIDDLE["text"]: ["lamp"], "Mended.": ["red mug", "blue mug"]})
    with ChatServer(model) as server:
        one = worded(server, tmp_path / "one", REMOVAL, SWAP)
        other = worded(server, tmp_path / "other", SWAP, REMOVAL)
    assert one.edits == other.edits[::-1] and one.edits[0].instructions and one.rejects
    assert sorted(map(str, one.rejects)) == sorted(map(str, other.rejects))
    assert sorted(map(str, one.asked)) == sorted(map(str, other.asked))


def test_knobs_and_prompts_are_part_of_the_fingerprint_and_places_are_not(tmp_path, monkeypatch):
    def mark(**knobs: Any) -> str:
        step = InstructByMllm(InstructKnobs(backend="mllm", **knobs), 0, tmp_path, SourceKnobs(), Purse())
        return step.fingerprint("before")

    changes = [{"max_words": 12}, {"mllm": {"rewrites": 0}}, {"mllm": {"prove": False}}, {"mllm": {"max_side_px": 512}}]
    changes += [{"mllm": {"chat": {"model": "qwen2-vl"}}}, {"mllm": {"checker": {"model": "qwen2-vl"}}}]
    assert len({mark(), *(mark(**one) for one in changes)}) == len(changes) + 1
    here = {"chat": {"base_url": "http://127.0.0.1:8000/v1"}, "place": {"in_flight": 3}}
    before = mark()
    assert before == mark(mllm=here)
    assert InstructByMllm(InstructKnobs(mllm=here), 0, tmp_path, SourceKnobs(), Purse()).place.in_flight == 3
    monkeypatch.setattr(InstructByMllm, "prompts", ("instruct_remove",))
    assert mark() != before


def test_sentences_begin_and_end_as_sentences_do():
    assert [tidy(text) for text in ("remove it!", '"Can it go?"', " An LED, please ")] == [
        "Remove it.", "Can it go?", "An LED, please.",
    ]  # fmt: skip
