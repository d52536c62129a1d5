"""Captions to triples over a loopback endpoint: every caption ends as a triple or as a reject."""

from __future__ import annotations

from typing import Any

import pytest
from asking import drive
from chat_server import ChatServer, Turn
from imagining import PROPOSED, asking, captions_of, proposes

from insightedit.backends.chat.prompt import load
from insightedit.construct.ask import Purse
from insightedit.construct.imagine.propose import Propose, ProposeKnobs, pages
from insightedit.core.errors import Stop

CAPTIONS = ["a barn in a field", "a ship at sea", "a gun on a table", "a tree here", "a house by a lake"]


def proposed(server: ChatServer, folder, captions=CAPTIONS, size: int = 3) -> tuple[list[Any], list[Any], list[Any]]:
    """Triples, rejects, and answers, in the order of the pages."""
    step = Propose(ProposeKnobs(**asking(server.url, size)), 0, Purse())
    asked = list(pages(captions, size))
    found, left = drive(step, asked, folder / "proposals")
    assert not left
    values = [found[page.key] for page in asked]
    return tuple([one for value in values for one in getattr(value, name)] for name in ("triples", "rejects", "asked"))


def test_captions_become_triples_in_their_order_a_page_a_request(tmp_path):
    with ChatServer(proposes) as server:
        triples, rejects, asked = proposed(server, tmp_path)
    assert [triple.caption for triple in triples] == CAPTIONS and not rejects
    assert {triple.instruction for triple in triples} == {PROPOSED}
    assert sorted(len(captions_of(body)) for body in server.bodies) == [2, 3]
    assert {body["temperature"] for body in server.bodies} == {0.7}
    who = ("triples", load("triples").version, "gpt-4o")
    assert [(one.prompt, one.version, one.model) for one in asked] == [who, who]
    assert all(one.tokens_in and one.usd for one in asked)


def test_a_caption_that_is_refused_costs_no_other_of_its_page(tmp_path):
    def moody(body):
        declined = any("gun" in one for one in captions_of(body))
        return Turn(text=None, refusal="I'd rather not") if declined else proposes(body)

    with ChatServer(moody) as server:
        triples, (reject,), asked = proposed(server, tmp_path)
    assert [triple.caption for triple in triples] == [one for one in CAPTIONS if "gun" not in one]
    assert (reject.step, reject.reason, reject.seen) == ("propose", "refused", "a gun on a table: I'd rather not")
    assert len(asked) == 2  # of each page what was of use


def test_a_page_that_the_service_fails_on_loses_no_caption_unsaid(tmp_path):
    def moody(body):
        return Turn(500, "overloaded") if "a tree here" in captions_of(body) else proposes(body)

    with ChatServer(moody) as server:
        triples, rejects, _ = proposed(server, tmp_path)
    assert [triple.caption for triple in triples] == CAPTIONS[:3]
    assert [reject.seen.split(":")[0] for reject in rejects] == CAPTIONS[3:]
    assert {(reject.step, reject.reason) for reject in rejects} == {("propose", "server_error")}


def test_a_key_that_is_refused_ends_the_run_and_what_was_answered_is_kept(tmp_path):
    def half(body):
        return Turn(401, "no", code="invalid_api_key") if "a tree here" in captions_of(body) else proposes(body)

    with ChatServer(half) as server:
        with pytest.raises(Stop):
            proposed(server, tmp_path)
        server.answer = proposes
        before = len(server.bodies)
        triples, _, _ = proposed(server, tmp_path)
    assert len(triples) == 5
    again = [captions_of(body) for body in server.bodies[before:]]
    assert CAPTIONS[3:] in again and len(again) <= 2


def test_the_words_and_the_model_decide_and_where_it_is_asked_does_not():
    def mark(**changes: Any) -> str:
        return Propose(ProposeKnobs(**changes), 0, Purse()).fingerprint("before")

    assert len({mark(), mark(triples={"captions_per_request": 3}), mark(chat={"temperature": 0.0, "model": "m"})}) == 3
    assert (
        mark()
        == mark(place={"in_flight": 3})
        == mark(chat={"temperature": 0.7, "base_url": "http://127.0.0.1:8000/v1"})
    )
