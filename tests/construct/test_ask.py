"""Asking within a build: what is part of a step's fingerprint, what a failure becomes, and what a run shares."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import drive, photo, section
from chat_server import ChatServer, Turn, limited, pictures, says

from insightedit.backends.chat.replies import Caption
from insightedit.backends.chat.settings import MODEL_ENV
from insightedit.construct.ask import AskStep, ChatSection, Purse, photo_part, together
from insightedit.construct.source.scan import SourceKnobs
from insightedit.construct.work import Work
from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError, Stop, Unfit
from insightedit.core.record import Record
from insightedit.flow.step import Context, Place

GOOD = {"caption": "a red mug"}


class Inner(Knobs):
    chat: ChatSection = ChatSection()
    place: Place = Place()


class CaptionKnobs(Knobs):
    chat: ChatSection = ChatSection()
    inner: Inner | None = None
    longest: int = 1
    times: int = 1
    place: Place = Place()


class Captioned(Record):
    caption: str


class CaptionStep(AskStep[Captioned]):
    """Asks for a caption, several times if told so."""

    name, version, value = "caption", "1", Captioned
    prompts = ("caption",)
    knobs: CaptionKnobs

    async def one(self, work: Work, context: Context) -> Captioned:
        part = await self.look(work, context, max_side=64)
        for turn in range(self.knobs.times):
            answer = await self.ask(context, "caption", Caption, images=[part], seed=turn)
        return Captioned(caption=answer.value.caption)


def step(folder: Path = Path(), purse: Purse | None = None, **knobs: Any) -> CaptionStep:
    return CaptionStep(CaptionKnobs(**knobs), 0, folder, SourceKnobs(), purse or Purse())


def caption(server: ChatServer, folder: Path, count: int = 1, purse: Purse | None = None, **knobs: Any):
    """Captions found, in order of the photographs, and rejects; one photograph at a time."""
    works = [Work(photo(folder, number), {}) for number in range(count)]
    knobs = {"chat": section(server), "place": {"in_flight": 1}, **knobs}
    found, rejects = drive(step(folder, purse, **knobs), works, folder / "shards")
    return [found[work.key].caption for work in works if work.key in found], rejects


CHANGES = [{"model": "qwen2-vl"}, {"temperature": 0.7}, {"temperature": None}, {"extra": {"top_p": 0.5}}]
PLACES = [
    {"chat": {"base_url": "http://127.0.0.1:8000/v1"}},
    {"chat": {"key_env": "MY_KEY", "concurrency": 3, "requests_per_minute": 5.0, "timeout_s": 9.0, "attempts": 2}},
    {"chat": {"usd_per_million_in": 1.0, "usd_per_million_out": 2.0, "reply_format": "plain"}},
    {"place": {"in_flight": 2, "device": "cpu"}},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_what_decides_a_reply_is_part_of_the_fingerprint(changes):
    steps = [step(inner={}), step(chat=changes, inner={}), step(inner={"chat": changes})]
    assert len({one.fingerprint("before") for one in steps}) == 3


@pytest.mark.parametrize("places", PLACES)
def test_where_and_how_hard_it_is_asked_is_no_part_of_it(places):
    assert step(**places).fingerprint("before") == step().fingerprint("before")
    assert step(inner=places).fingerprint("before") == step(inner={}).fingerprint("before")


def test_other_knobs_other_prompts_and_the_steps_before_are_part_of_it(monkeypatch):
    marks = {step().fingerprint("before"), step().fingerprint("other"), step(longest=2).fingerprint("before")}
    monkeypatch.setattr(CaptionStep, "prompts", ("describe",))
    assert len(marks | {step().fingerprint("before")}) == 4


def test_a_model_named_by_the_environment_is_as_one_named_by_the_preset(monkeypatch):
    monkeypatch.setenv(MODEL_ENV, "qwen2-vl")
    from_environment = step().fingerprint("before")
    monkeypatch.delenv(MODEL_ENV)
    named = step(chat={"model": "qwen2-vl"})
    assert named.fingerprint("before") == from_environment != step().fingerprint("before")


def test_a_photograph_is_opened_apart_and_sent_sized(tmp_path):
    asked = []

    async def apart(function, *arguments):
        asked.append(function)
        return function(*arguments)

    with ChatServer(lambda body: GOOD) as server:
        assert caption(server, tmp_path) == (["a red mug"], [])
        part = asyncio.run(step(tmp_path).look(Work(photo(tmp_path), {}), Context(None, apart), 64))
    assert asked == [photo_part] and (part.width, part.height) == (64, 48)
    assert [picture.size for picture in pictures(server.bodies[0])] == [(64, 48)]


def test_a_photograph_that_changed_since_the_scan_is_not_sent(tmp_path):
    work = Work(photo(tmp_path), {})
    (tmp_path / work.photo.uri).write_bytes(b"something else")
    with ChatServer() as server:
        _, (reject,) = drive(step(tmp_path, chat=section(server)), [work], tmp_path / "shards")
    assert reject.reason == "changed_since_scan" and server.seen == []


NO_REPLY = [
    ("refused", [Turn(text=None, refusal="I had rather not.")], "I had rather not."),
    ("content_filter", [Turn(text="a re", finish="content_filter")], "a re"),
    ("truncated", [Turn(text='{"caption": "a re', finish="length")], '{"caption": "a re'),
    ("malformed", [says("a mug!"), says("a red mug!")], "a red mug!"),
    ("bad_request", [Turn(400, "image too small", code="invalid_value")], "image too small"),
    ("rate_limited", [limited(), limited()], "Rate limit reached"),
    ("server_error", [Turn(500, "oops"), Turn(500, "oops")], "oops"),
]


@pytest.mark.parametrize(("reason", "script", "kept"), NO_REPLY, ids=[reason for reason, *_ in NO_REPLY])
def test_a_question_without_a_usable_reply_rejects_its_photograph_only_and_keeps_the_reply(
    tmp_path, reason, script, kept
):
    with ChatServer(lambda body: GOOD, script) as server:
        found, (reject,) = caption(server, tmp_path, count=2)
    assert found == ["a red mug"]
    assert (reject.step, reject.reason, reject.seen) == ("caption", reason, kept)
    assert reject.photo_id == photo(tmp_path, 0).photo_id and "'caption'" in reject.wanted


def test_a_refused_key_ends_the_run_and_rejects_nothing(tmp_path):
    with ChatServer(key="another") as server:
        with pytest.raises(Stop, match="401"):
            caption(server, tmp_path, count=2)
        server.key, server.answer = "", lambda body: GOOD
        assert caption(server, tmp_path, count=2) == (["a red mug"] * 2, [])


def test_a_spent_budget_ends_the_run_and_the_next_one_pays_for_the_rest_only(tmp_path):
    with ChatServer(lambda body: GOOD) as server:
        rich = Purse(budget_usd=10)
        caption(server, tmp_path, purse=rich)
        each = rich.ledger.of("caption").usd
        assert each > 0 and len(server.seen) == 1
        with pytest.raises(Stop, match="budget"):  # a reply of full length is set aside before the first is asked
            caption(server, tmp_path, count=9, times=3, purse=Purse(budget_usd=0.0122))
        first = len(server.seen)
        assert 1 < first < 28
        found, rejects = caption(server, tmp_path, count=9, times=3)
        assert (len(found), rejects, len(server.seen)) == (9, [], 28), "27 questions and the one that told the price"


def test_no_model_is_said_before_anything_is_opened(tmp_path, monkeypatch):
    monkeypatch.delenv(MODEL_ENV, raising=False)
    with ChatServer() as server, pytest.raises(ConfigError, match="no chat model"):
        caption(server, tmp_path, inner={"chat": section(server, model="")})


def test_equal_sections_are_one_chat_and_equal_limits_of_one_model_are_shared():
    async def opened() -> None:
        purse = Purse(1.0)
        here = {"base_url": "http://127.0.0.1:9/v1", "model": "qwen2-vl", "concurrency": 3}
        one, same = purse.chat(ChatSection(**here)), purse.chat(ChatSection(**here))
        warmer, other = (
            purse.chat(ChatSection(**here, temperature=0.7)),
            purse.chat(ChatSection(**{**here, "model": "b"})),
        )
        assert one is same and one is not warmer
        assert one.limiter is warmer.limiter and one.limiter is not other.limiter
        assert one.budget is warmer.budget is other.budget is purse.budget and other.ledger is purse.ledger
        await purse.close()
        assert purse.chat(ChatSection(**here)) is not one
        await purse.close()

    asyncio.run(opened())


def test_together_waits_for_all_and_keeps_the_unfit_in_their_places():
    through = []

    async def says_late(word: str, error: Exception | None = None) -> str:
        await asyncio.sleep(0.01 if error else 0.05)
        through.append(word)
        if error:
            raise error
        return word

    unfit = Unfit("refused")
    assert asyncio.run(together([says_late("a"), says_late("b", unfit), says_late("c")])) == ["a", unfit, "c"]
    with pytest.raises(Stop):
        asyncio.run(together([says_late("d", Stop("what", "why", "mend")), says_late("e")]))
    assert through[-1] == "e", "an answer that was paid for is waited for before the run ends"


def test_a_build_that_asks_nobody_needs_no_packages_for_asking():
    code = "import sys, insightedit.construct.ask; sys.exit(bool({'aiohttp', 'orjson'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
