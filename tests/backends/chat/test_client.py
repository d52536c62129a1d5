"""`Chat.ask` against a loopback endpoint that speaks the protocol and misbehaves in every way we know."""

from __future__ import annotations

import asyncio
import email.utils
import time
from dataclasses import replace

import numpy as np
import pytest
from chat_server import ChatServer, Turn, limited, pictures, says

from insightedit.backends.chat.client import Answer, Chat
from insightedit.backends.chat.cost import Budget, Usage
from insightedit.backends.chat.failures import (
    BadRequest,
    BudgetReached,
    ChatFailure,
    Denied,
    EndpointDown,
    Filtered,
    Malformed,
    OutOfCredit,
    RateLimited,
    Refused,
    ReplyFailure,
    ServerFailed,
    TimedOut,
    Truncated,
    Unreachable,
    WrongEndpoint,
)
from insightedit.backends.chat.images import encode_part
from insightedit.backends.chat.prompt import parse
from insightedit.backends.chat.replies import Caption
from insightedit.backends.chat.request import ChatRequest
from insightedit.backends.chat.settings import ChatKnobs
from insightedit.core.errors import ConfigError, Stop

PROMPT = parse("test", b"## system\nBe brief.\n## user\nWhat is {thing}?")
GOOD = {"caption": "a red mug"}
QUICK = {"first_pause_s": 0.01, "longest_pause_s": 0.05, "timeout_s": 5.0, "deadline_s": 20.0}


class Shelf:
    """A journal in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def __len__(self) -> int:  # as a real one: an empty journal is false, and still a journal
        return len(self.kept)

    async def put(self, key: str, answer: bytes) -> None:
        await asyncio.sleep(0)
        self.kept[key] = answer


def knobs(server: ChatServer, **changes) -> ChatKnobs:
    return ChatKnobs(**{"base_url": server.url, "model": "gpt-4o", **QUICK, **changes})


def question(chat: Chat, thing: str = "it", **settings) -> ChatRequest[Caption]:
    return chat.request(PROMPT, Caption, {"thing": thing}, **settings)


def ask(server: ChatServer, *things: str, journal=None, budget=None, at_once: bool = True, **changes):
    """Ask about all things; answers or failures in order, and the chat with its ledger."""

    async def all_of_them():
        async with Chat(knobs(server, **changes), budget=budget) as chat:
            asked = [chat.ask(question(chat, thing), journal) for thing in things or ("it",)]
            if at_once:
                return await asyncio.gather(*asked, return_exceptions=True), chat
            return [(await asyncio.gather(one, return_exceptions=True))[0] for one in asked], chat

    return asyncio.run(all_of_them())


def failure_of(*turns: Turn, **changes) -> tuple[ChatFailure, ChatServer, Chat]:
    with ChatServer(lambda body: GOOD, script=turns) as server:
        (failure,), chat = ask(server, **changes)
    assert isinstance(failure, ChatFailure), failure
    return failure, server, chat


def test_an_answer_says_what_it_is_and_what_it_took():
    with ChatServer(lambda body: GOOD) as server:
        (answer,), chat = ask(server)
    assert answer.value == Caption(caption="a red mug") and not answer.repaired and not answer.kept
    assert answer.model == "gpt-4o" and answer.text == '{"caption": "a red mug"}' and 0 < answer.seconds < 5
    assert answer.usage.prompt > 0 and answer.usage.completion == len(answer.text) // 4
    assert answer.cost == pytest.approx((answer.usage.prompt * 2.5 + answer.usage.completion * 10) / 1e6)
    tally = chat.ledger.of("test")
    assert (tally.requests, tally.tokens_in, tally.usd) == (1, answer.usage.prompt, answer.cost)


def test_images_arrive_as_images():
    with ChatServer(lambda body: {"caption": str([picture.size for picture in pictures(body)])}) as server:

        async def look():
            async with Chat(knobs(server)) as chat:
                parts = [encode_part(np.zeros((40, 80, 3), np.uint8), side) for side in (20, 0)]
                return await chat.ask(question(chat, images=parts))

        assert asyncio.run(look()).value.caption == "[(20, 10), (80, 40)]"
        assert all("base64" not in text for text in server.seen[0].texts)


def test_429_is_waited_for_as_long_as_the_server_asks():
    for wish in ({"Retry-After": "1"}, {"retry-after-ms": "700"}):
        with ChatServer(lambda body: GOOD, script=[limited(**wish)]) as server:
            (answer,), chat = ask(server)
        assert isinstance(answer, Answer) and chat.ledger.of("test").retried == 1
        gap = server.seen[1].at - server.seen[0].at
        assert gap >= (1.0 if "Retry-After" in wish else 0.7), f"came back after {gap:.2f} s"


def test_429_with_a_date_is_waited_for():
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    with ChatServer(lambda body: GOOD, script=[limited(**{"Retry-After": date})]) as server:
        ask(server)
    assert server.seen[1].at - server.seen[0].at > 0.5


def test_what_a_429_asks_of_one_holds_for_all_that_have_not_begun():
    with ChatServer(lambda body: GOOD, script=[limited(**{"Retry-After": "1"})]) as server:
        answers, _ = ask(server, "a", "b", "c", concurrency=1)
    assert all(isinstance(answer, Answer) for answer in answers)
    assert min(seen.at for seen in server.seen[1:]) - server.seen[0].at >= 1.0


def test_a_wish_beyond_the_deadline_is_given_up_at_once():
    started = time.monotonic()
    failure, server, _ = failure_of(*[limited(**{"Retry-After": "3600"})] * 2)
    assert isinstance(failure, RateLimited) and failure.retry_after_s == 3600
    assert len(server.seen) == 1 and time.monotonic() - started < 5


PASSING = {
    "500": Turn(500, "internal"),
    "503 without JSON": Turn(503, raw=b"<html>busy</html>"),
    "200 without JSON": Turn(raw=b"<html>hello</html>"),
    "200 without choices": Turn(raw=b'{"object": "chat.completion"}'),
    "200 with an error inside": Turn(raw=b'{"error": {"code": 502, "message": "upstream"}}'),
    "a broken connection": Turn(reset=True),
    "429": limited(),
    "slow": Turn(delay_s=30),
}


@pytest.mark.parametrize("turn", PASSING.values(), ids=PASSING.keys())
def test_what_may_pass_is_tried_again(turn):
    with ChatServer(lambda body: GOOD, script=[turn, turn]) as server:
        (answer,), chat = ask(server, timeout_s=0.6 if turn.delay_s else 10)
    assert isinstance(answer, Answer) and len(server.seen) == 3
    assert chat.ledger.of("test").retried == 2


LASTING = {
    "500": (Turn(500, "internal"), ServerFailed),
    "slow": (Turn(delay_s=30), TimedOut),
    "reset": (Turn(reset=True), Unreachable),
    "429": (limited(), RateLimited),
    "too long": (Turn(raw=b"x" * 300_000), ServerFailed),
}


@pytest.mark.parametrize(("turn", "kind"), LASTING.values(), ids=LASTING.keys())
def test_what_does_not_pass_is_given_up_and_named(turn, kind):
    seconds = 0.4 if turn.delay_s else 10
    failure, server, chat = failure_of(*[turn] * 9, attempts=3, timeout_s=seconds, max_reply_bytes=200_000)
    assert type(failure) is kind and len(server.seen) == 3
    assert chat.ledger.of("test").failed == {kind.reason: 1}


def test_the_deadline_holds_over_all_attempts():
    started = time.monotonic()
    failure, server, _ = failure_of(*[Turn(delay_s=30)] * 99, timeout_s=0.3, deadline_s=1, attempts=99)
    assert isinstance(failure, TimedOut) and 2 <= len(server.seen) <= 5
    assert time.monotonic() - started < 3


FINAL = {
    "refusal": (Turn(text=None, refusal="I cannot help with that."), Refused, "I cannot help with that."),
    "content filter": (Turn(text='{"capt', finish="content_filter"), Filtered, '{"capt'),
    "filter before": (Turn(400, "flagged", code="content_policy_violation"), Filtered, "flagged"),
    "truncated": (Turn(text='{"caption": "a re', finish="length"), Truncated, '{"caption": "a re'),
    "bad request": (Turn(400, "image too small"), BadRequest, "image too small"),
    "too large": (Turn(413, "body too large"), BadRequest, "body too large"),
}


@pytest.mark.parametrize(("turn", "kind", "reply"), FINAL.values(), ids=FINAL.keys())
def test_what_asking_again_cannot_mend_is_asked_once_and_kept(turn, kind, reply):
    failure, server, _ = failure_of(turn)
    assert type(failure) is kind and isinstance(failure, ReplyFailure) and not isinstance(failure, Stop)
    assert failure.reply == reply and len(server.seen) == 1


def test_a_whole_reply_is_taken_even_if_blanks_filled_the_rest():
    with ChatServer(script=[says('{"caption": "a mug"}   \n\n', finish="length")]) as server:
        (answer,), _ = ask(server)
    assert answer.value.caption == "a mug"


STOPPING = {
    "401": (Turn(401, "no", code="invalid_api_key"), Denied),
    "403": (Turn(403, "no"), Denied),
    "404": (Turn(404, "no such model", code="model_not_found"), WrongEndpoint),
    "302": (Turn(302, raw=b"", headers={"Location": "http://127.0.0.1:9/v1"}), WrongEndpoint),
    "402": (Turn(402, "pay"), OutOfCredit),
    "no quota": (Turn(429, "You exceeded your quota", code="insufficient_quota"), OutOfCredit),
}


@pytest.mark.parametrize(("turn", "kind"), STOPPING.values(), ids=STOPPING.keys())
def test_what_no_request_can_pass_stops_the_run(turn, kind):
    for at_once in (True, False):
        with ChatServer(lambda body: GOOD, script=[turn]) as server:
            failures, _ = ask(server, "a", "b", "c", concurrency=1, at_once=at_once)
        assert [type(failure) for failure in failures] == [kind] * 3 and isinstance(failures[0], Stop)
        assert len(server.seen) == 1, "asked again although nothing can succeed"


def test_a_service_that_stays_down_stops_the_run_and_one_success_forgives():
    down = Turn(500, "internal")
    things = [f"thing {n}" for n in range(6)]
    with ChatServer(lambda body: GOOD, script=[down] * 99) as server:
        failures, _ = ask(server, *things, attempts=1, give_up_after=4, concurrency=1)
    assert [type(failure) for failure in failures[:4]] == [ServerFailed] * 3 + [EndpointDown]
    assert isinstance(failures[3], Stop)
    with ChatServer(lambda body: GOOD, script=[down, down, says(GOOD)] * 2) as server:
        outcomes, _ = ask(server, *things, attempts=1, give_up_after=4, concurrency=1)
    assert [isinstance(one, Answer) for one in outcomes] == [False, False, True] * 2


def test_a_reply_that_does_not_fit_is_repaired_once_with_the_reason():
    with ChatServer(lambda body: GOOD, script=[says({"text": "a mug"})]) as server:
        (answer,), chat = ask(server)
    assert answer.repaired and answer.value.caption == "a red mug"
    turns = server.bodies[1]["messages"][-2:]
    assert turns[0] == {"role": "assistant", "content": '{"text": "a mug"}'}
    assert "caption: Field required" in turns[1]["content"]
    tally = chat.ledger.of("test")
    assert tally.repaired == 1 and answer.usage.total == tally.tokens_in + tally.tokens_out  # both turns are counted
    assert answer.usage.prompt > 2 * 10


@pytest.mark.parametrize("text", ['{"text": 1}', "I see a mug.", '{"caption": "a mug",}', ""])
def test_a_reply_that_never_fits_is_a_failure_with_the_reply(text):
    failure, server, chat = failure_of(says(text), says(text))
    assert type(failure) is Malformed and failure.reply == text and len(server.seen) == 2
    assert chat.ledger.of("test").tokens_in > 0, "a bad reply is paid for like a good one"


@pytest.mark.parametrize(("lacks", "last"), [(("json_schema",), "json_object"), (("json_schema", "json_object"), None)])
def test_a_server_without_schemas_is_learnt_once(lacks, last):
    things = [f"thing {n}" for n in range(5)]
    with ChatServer(lambda body: GOOD, lacks=lacks) as server:
        answers, _ = ask(server, "first", concurrency=1)
        assert isinstance(answers[0], Answer)
        before = len(server.seen)
        answers, _ = ask(server, *things, concurrency=1)
        assert all(isinstance(answer, Answer) for answer in answers)
        assert len(server.seen) - before == len(things) + len(lacks)
    form = server.bodies[-1].get("response_format")
    assert (form or {}).get("type") == last
    assert "JSON schema" in server.bodies[-1]["messages"][0]["content"]


def test_many_at_once_learn_together():
    with ChatServer(lambda body: GOOD, lacks=("json_schema", "max_tokens")) as server:
        answers, _ = ask(server, *(f"thing {n}" for n in range(20)))
    assert all(isinstance(answer, Answer) for answer in answers)
    assert server.bodies[-1]["max_completion_tokens"] == 1024 and "max_tokens" not in server.bodies[-1]


def test_an_invalid_schema_is_our_fault_and_not_taken_for_a_lack():
    failure, server, _ = failure_of(Turn(400, "Invalid schema for response_format 'X': ...", param="response_format"))
    assert type(failure) is BadRequest and len(server.seen) == 1


def test_a_kept_answer_is_the_same_and_costs_nothing():
    shelf = Shelf()
    with ChatServer(lambda body: GOOD) as server:
        (paid,), _ = ask(server, journal=shelf)
        (kept,), chat = ask(server, journal=shelf)
        assert len(server.seen) == 1
    assert kept == replace(paid, kept=True)
    tally = chat.ledger.of("test")
    assert (tally.kept, tally.requests, tally.usd, tally.tokens_in) == (1, 0, 0.0, 0)


def test_only_validated_answers_are_kept():
    shelf = Shelf()
    turns = [Turn(text=None, refusal="no"), says("junk"), says("junk"), Turn(500, "x"), Turn(finish="length", text="{")]
    with ChatServer(lambda body: GOOD, script=turns) as server:
        failures, _ = ask(server, "a", "b", "c", "d", journal=shelf, attempts=1, at_once=False)
    assert all(isinstance(failure, ChatFailure) for failure in failures) and not shelf.kept


def test_a_kept_answer_that_no_longer_fits_is_asked_for_again(caplog):
    shelf = Shelf()
    with ChatServer(lambda body: GOOD) as server:
        ask(server, journal=shelf)
        for broken in (b"junk", b"{}", b'{"text": "{}", "usage": null}'):
            shelf.kept = dict.fromkeys(shelf.kept, broken)
            (answer,), _ = ask(server, journal=shelf)
            assert not answer.kept and answer.value.caption == "a red mug"
    assert "no longer fits" in caplog.text


def test_equal_requests_at_the_same_time_are_one():
    first, second = Shelf(), Shelf()

    async def twice(server: ChatServer):
        async with Chat(knobs(server)) as chat:
            asked = (chat.ask(question(chat), journal) for journal in (first, first, second))
            return await asyncio.gather(*asked)

    with ChatServer(lambda body: GOOD, latency_s=0.1) as server:
        answers = asyncio.run(twice(server))
    assert len(server.seen) == 1 and [answer.kept for answer in answers] == [False, True, True]
    assert first.kept == second.kept and first.kept


def test_whoever_waits_takes_over_when_the_asker_goes_away():
    async def leave(server: ChatServer):
        async with Chat(knobs(server)) as chat:
            going = asyncio.create_task(chat.ask(question(chat)))
            await asyncio.sleep(0.05)
            staying = asyncio.create_task(chat.ask(question(chat)))
            await asyncio.sleep(0.05)
            going.cancel()
            return await staying

    with ChatServer(lambda body: GOOD, latency_s=0.3) as server:
        assert asyncio.run(leave(server)).value.caption == "a red mug"


def test_a_refusal_shared_by_two_is_paid_once():
    with ChatServer(lambda body: Turn(text=None, refusal="no"), latency_s=0.05) as server:
        failures, _ = ask(server, "same", "same")
    assert [type(failure) for failure in failures] == [Refused, Refused] and len(server.seen) == 1


def test_no_more_are_in_flight_than_allowed():
    with ChatServer(lambda body: GOOD, latency_s=0.05) as server:
        ask(server, *(f"thing {n}" for n in range(40)), concurrency=6)
    assert server.most_at_once == 6


def test_the_budget_stops_before_it_is_exceeded_and_keeps_what_was_paid():
    shelf, budget = Shelf(), Budget(0.12)
    things = [f"thing {n}" for n in range(30)]
    said = says({"caption": "word " * 500})  # 625 tokens of at most 1024: 0.006 USD of at most 0.010
    with ChatServer(lambda body: said, latency_s=0.01) as server:
        outcomes, chat = ask(server, *things, journal=shelf, budget=budget, concurrency=4)
    answers = [one for one in outcomes if isinstance(one, Answer)]
    stops = [one for one in outcomes if isinstance(one, BudgetReached)]
    assert len(answers) + len(stops) == 30 and stops and isinstance(stops[0], Stop)
    assert budget.spent <= 0.12 and budget.reserved == pytest.approx(0) and len(shelf.kept) == len(answers)
    assert budget.spent == pytest.approx(sum(answer.cost for answer in answers)) == pytest.approx(chat.ledger.total.usd)
    assert len(answers) >= 15, "reserves of requests in flight must be waited for, not taken for spent"


def test_a_budget_needs_a_price_and_an_unknown_price_is_not_zero():
    with ChatServer(lambda body: GOOD) as server:
        (answer,), chat = ask(server, model="qwen2-vl")
        assert answer.cost is None and chat.ledger.of("test").unpriced == 1
        assert "unknown price" in chat.ledger.lines()[0]
        (error,), _ = ask(server, model="qwen2-vl", budget=Budget(1))
        assert isinstance(error, ConfigError) and len(server.seen) == 1
        own = {"usd_per_million_in": 1, "usd_per_million_out": 2}
        (answer,), _ = ask(server, model="qwen2-vl", budget=Budget(1), **own)
        assert answer.cost == pytest.approx((answer.usage.prompt + 2 * answer.usage.completion) / 1e6)


def test_a_server_that_does_not_count_is_not_free():
    budget = Budget(1)
    with ChatServer(lambda body: says(GOOD, usage=False)) as server:
        (answer,), _ = ask(server, budget=budget)
    assert answer.usage is None and answer.cost is None and budget.spent > 0.01


def test_settings_reach_the_body():
    with ChatServer(lambda body: GOOD) as server:
        ask(server, temperature=None, extra={"top_p": 0.5})
        ask(server, temperature=0.7)
    assert "temperature" not in server.bodies[0] and server.bodies[0]["top_p"] == 0.5
    assert server.bodies[1]["temperature"] == 0.7 and server.bodies[1]["stream"] is False


def test_the_endpoint_names_its_models():
    async def names(server: ChatServer) -> list[str]:
        async with Chat(knobs(server)) as chat:
            return await chat.models()

    with ChatServer() as server:
        assert asyncio.run(names(server)) == ["gpt-4o", "gpt-4o-mini", "qwen2-vl"]


def test_usage_of_several_turns_adds_up():
    assert Usage(1, 2, 1) + Usage(10, 20, 5) == Usage(11, 22, 6)
