"""Step 1 by a language model, against a loopback endpoint: it looks, it names, and what it names badly is left out."""

from __future__ import annotations

from typing import Any

import pytest
from asking import HEIGHT, WIDTH, drive, photo, section
from chat_server import ChatServer, Turn, pictures

from insightedit.backends.chat.prompt import load
from insightedit.construct.ask import Purse
from insightedit.construct.describe_mllm import DescribeByMllm, MllmKnobs
from insightedit.construct.source.scan import SourceKnobs
from insightedit.construct.work import Work
from insightedit.core.errors import Stop
from insightedit.core.record import Replacement

MUG = {"category": "Mug", "name": "A red ceramic mug", "detail": "A red mug on the left.", "reason": "It stands alone."}
CAT = {"category": "cat", "name": "cat", "detail": "A grey cat asleep.", "reason": "It lies on a cushion."}
FREE, FIXED = {"removable": True, "replaceable": True}, {"removable": False, "replaceable": False}
KETTLE = {"name": "A steel kettle", "detail": "A small kettle, lit from the left.", "reason": "Same size."}


def thing(**changes: Any) -> dict[str, Any]:
    return {**MUG, **FREE, **changes}


def model(objects: list[dict[str, Any]], targets: Any = (KETTLE,)):
    """One that sees these objects, and proposes these targets for each that it is asked about."""

    def answer(body: dict[str, Any]) -> Any:
        match body["response_format"]["json_schema"]["name"]:
            case "Described":
                return {"caption": "A table by a window.", "objects": objects}
            case "Caption":
                return {"caption": "A red mug stands on a table."}
            case "Extracted":
                return {"objects": objects}
            case "Targets":
                return targets if isinstance(targets, Turn) else {"targets": list(targets)}

    return answer


def described(server: ChatServer, folder, purse: Purse | None = None, **knobs: Any):
    """What is found in one photograph, and why it left if it did."""
    asked = MllmKnobs(**{"chat": section(server), **knobs})
    step = DescribeByMllm(asked, 0, folder, SourceKnobs(), purse or Purse())
    shot = photo(folder)
    found, rejects = drive(step, [Work(shot, {})], folder / "shards")
    return found.get(shot.photo_id), rejects


def names_of(server: ChatServer) -> list[str]:
    return [body["response_format"]["json_schema"]["name"] for body in server.bodies]


def test_the_model_looks_at_the_photograph_and_what_it_sees_becomes_objects_without_boxes(tmp_path):
    with ChatServer(model([thing(), {**CAT, **FIXED}])) as server:
        found, rejects = described(server, tmp_path, max_side_px=160)
    assert rejects == [] and found.rejects == [] and found.caption == "A table by a window."
    mug, cat = found.objects
    assert (mug.category, mug.name, mug.detail) == ("mug", "red ceramic mug", "A red mug on the left.")
    assert (mug.removable, mug.replaceable, mug.unfit_because) == (True, True, "")
    assert (cat.removable, cat.replaceable, cat.unfit_because) == (False, False, "It lies on a cushion.")
    assert all(one.box == [] and one.mask is None for one in found.objects)
    assert mug.targets == [Replacement(name="steel kettle", detail="A small kettle, lit from the left.")]
    assert names_of(server) == ["Described", "Targets"], "nobody is asked what could replace a cat that has to stay"
    assert [[picture.size for picture in pictures(body)] for body in server.bodies] == [[(160, 120)]] * 2
    assert "at most 12 objects" in server.seen[0].texts[-1] and "red ceramic mug" in server.seen[1].texts[-1]


def test_every_answer_says_which_words_and_which_model_it_came_from(tmp_path):
    with ChatServer(model([thing()])) as server:
        found, _ = described(server, tmp_path)
    assert [(one.prompt, one.version) for one in found.asked] == [
        (name, load(name).version) for name in ("describe", "targets")
    ]
    assert all(one.model == "gpt-4o" and one.tokens_in and one.usd for one in found.asked)


def test_split_has_the_caption_from_who_looks_and_the_objects_from_who_only_reads(tmp_path):
    with ChatServer(model([thing()])) as server, ChatServer(model([thing()])) as reader:
        knobs = {"split": True, "text": section(reader, model="qwen2-vl")}
        found, _ = described(server, tmp_path, **knobs)
    assert names_of(server) == ["Caption", "Targets"] and names_of(reader) == ["Extracted"]
    assert [picture.size for picture in pictures(server.bodies[0])] == [(WIDTH, HEIGHT)]
    assert not pictures(reader.bodies[0]) and "A red mug stands on a table." in reader.seen[0].texts[-1]
    assert found.caption == "A red mug stands on a table." and [one.name for one in found.objects] == [
        "red ceramic mug"
    ]
    assert [one.model for one in found.asked] == ["gpt-4o", "qwen2-vl", "gpt-4o"]


FAULTS = [
    ("parentheses_in_name", {"name": "mug (red)"}),
    ("name_too_long", {"name": "red mug on the left of it"}),
    ("detail_too_long", {"detail": "red " * 50}),
    ("no_name", {"name": "...7"}),
    ("named_twice", {}),
]


@pytest.mark.parametrize(("reason", "changes"), FAULTS, ids=[reason for reason, _ in FAULTS])
def test_a_badly_named_object_is_left_out_and_costs_no_other(tmp_path, reason, changes):
    with ChatServer(model([thing(), thing(**changes), {**CAT, **FREE}])) as server:
        found, _ = described(server, tmp_path, targets=0)
    assert [one.name for one in found.objects] == ["red ceramic mug", "cat"]
    (reject,) = found.rejects
    assert (reject.step, reject.reason) == ("describe", reason) and reject.wanted
    assert reject.object_id.endswith("-m1") and reject.object_id not in {one.object_id for one in found.objects}


def test_objects_beyond_the_limit_are_rejected_and_not_lost(tmp_path):
    with ChatServer(model([thing(name=f"mug {letter}") for letter in "abcd"])) as server:
        found, _ = described(server, tmp_path, max_objects=3, targets=0)
    assert len(found.objects) == 3
    assert [(one.reason, one.seen) for one in found.rejects] == [("too_many_objects", "no. 4")]


@pytest.mark.parametrize("objects", [[], [thing(name="mug (red)")]])
def test_a_photograph_without_a_usable_object_says_why(tmp_path, objects):
    with ChatServer(model(objects)) as server:
        found, (reject,) = described(server, tmp_path)
    assert found is None and reject.reason == "no_usable_object"
    assert ("no object named" if not objects else "parentheses_in_name") in reject.seen


@pytest.mark.parametrize("word_rules", [True, False])
def test_word_rules_overrule_a_model_that_would_edit_a_body_part(tmp_path, word_rules):
    arm = thing(category="arm", name="left arm", detail="An arm.")
    with ChatServer(model([thing(), arm])) as server:
        found, _ = described(server, tmp_path, word_rules=word_rules, targets=0)
    assert (found.objects[1].removable, found.objects[1].replaceable) == (not word_rules, not word_rules)
    assert found.objects[1].unfit_because == ("a body part" if word_rules else "")


BAD_TARGETS = [
    ("target_same_kind", {"name": "blue mug"}),
    ("target_already_there", {"name": "cat"}),
    ("target_name_too_long", {"name": "one two three four five six seven"}),
    ("target_parentheses_in_name", {"name": "kettle [steel]"}),
    ("target_detail_too_long", {"detail": "steel " * 50}),
    ("target_no_name", {"name": "?"}),
]


@pytest.mark.parametrize(("reason", "changes"), BAD_TARGETS, ids=[reason for reason, _ in BAD_TARGETS])
def test_a_proposal_that_does_not_do_leaves_with_its_reason_and_its_object_stays(tmp_path, reason, changes):
    bowl = {**KETTLE, "name": "glass bowl"}
    with ChatServer(model([thing(), {**CAT, **FIXED}], [{**KETTLE, **changes}, bowl])) as server:
        found, _ = described(server, tmp_path)
    assert [one.name for one in found.objects[0].targets] == ["glass bowl"]
    assert [(one.reason, one.object_id) for one in found.rejects] == [(reason, found.objects[0].object_id)]


def test_a_refusal_to_propose_targets_costs_the_targets_only(tmp_path):
    with ChatServer(model([thing()], Turn(text=None, refusal="I had rather not."))) as server:
        found, _ = described(server, tmp_path)
    assert [one.targets for one in found.objects] == [[]] and found.objects[0].replaceable
    assert [(one.reason, one.seen) for one in found.rejects] == [("target_refused", "I had rather not.")]


def test_no_more_targets_are_kept_than_were_asked_for(tmp_path):
    many = [{**KETTLE, "name": f"kettle {letter}"} for letter in "abcd"]
    with ChatServer(model([thing()], many)) as server:
        found, _ = described(server, tmp_path, targets=3)
    assert len(found.objects[0].targets) == 3 and "Propose 3 targets" in server.seen[1].texts[-1]


def test_what_was_answered_before_a_stop_is_not_asked_again(tmp_path):
    broken = model([thing()], Turn(401, "Incorrect API key provided", code="invalid_api_key"))
    with ChatServer(broken) as server:
        with pytest.raises(Stop):
            described(server, tmp_path)
        server.answer = model([thing()])
        found, _ = described(server, tmp_path)
    assert names_of(server) == ["Described", "Targets", "Targets"] and found.objects[0].targets


def test_asking_for_other_targets_or_the_split_is_another_result_and_where_it_is_asked_is_not(tmp_path):
    def mark(**knobs: Any) -> str:
        return DescribeByMllm(MllmKnobs(**knobs), 0, tmp_path, SourceKnobs(), Purse()).fingerprint("before")

    assert len({mark(), mark(split=True), mark(targets=0), mark(text={"model": "qwen2-vl"})}) == 4
    assert mark() == mark(chat={"base_url": "http://127.0.0.1:8000/v1"}, place={"in_flight": 3})
