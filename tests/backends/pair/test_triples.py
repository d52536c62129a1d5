"""Captions in, triples out; whatever is dropped says why."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import pytest

from insightedit.backends.chat.failures import Denied, Malformed, Refused
from insightedit.backends.chat.replies import Triple as Said
from insightedit.backends.chat.replies import Triples
from insightedit.backends.pair.triples import Triple, TripleKnobs, triples

LINE = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)


def dog(number: int, caption: str) -> Said:
    return Said(number=number, instruction="turn the cat into a dog", edited_caption=caption.replace("cat", "dog"))


class Talker:
    """Answers as `Chat` does, by a function of (number, caption) that may raise; notes what it was asked."""

    def __init__(self, answer=dog):
        self.answer, self.asked, self.journals = answer, [], []

    def request(self, prompt, reply, slots, images=(), max_tokens=1024, seed=None):
        assert reply is Triples and prompt.fill(**slots)
        return SimpleNamespace(text=slots["captions"], max_tokens=max_tokens)

    async def ask(self, request, journal=None, step=""):
        assert step == "triples"
        lines = [(int(number), caption) for number, caption in LINE.findall(request.text)]
        self.asked.append([caption for _, caption in lines])
        self.journals.append(journal)
        await asyncio.sleep(0.01 * len(lines))  # the larger group answers later
        said = [self.answer(*line) for line in lines]
        return SimpleNamespace(value=Triples(triples=[one for one in said if one]))


def collected(captions, talker=None, journal=None, **knobs):
    return asyncio.run(triples(captions, talker or Talker(), TripleKnobs(**knobs), journal))


def test_captions_keep_their_order_and_each_is_asked_once():
    talker, journal = Talker(), object()
    captions = ["a cat", "a cat on\na mat", " A  cat. ", "the cat", "a cat on a mat"]
    found, rejects = collected(captions, talker, journal, captions_per_request=2)
    assert [triple.caption for triple in found] == ["a cat", "a cat on a mat", "the cat"]
    assert found[0] == Triple(caption="a cat", instruction="turn the cat into a dog", edited="a dog")
    assert [reject.reason for reject in rejects] == ["duplicate_caption"] * 2
    assert talker.asked == [["a cat", "a cat on a mat"], ["the cat"]] and talker.journals == [journal] * 2


@pytest.mark.parametrize(
    ("caption", "answer", "reason"),
    [
        ("cat", ("x", "y"), "caption_too_short"),
        ("...", ("x", "y"), "caption_too_short"),
        ("cat " * 46, ("x", "y"), "caption_too_long"),
        ("a cat", ("?", "a dog"), "no_instruction"),
        ("a cat", ("very " * 21, "a dog"), "instruction_too_long"),
        ("a cat", ("turn it", "dog " * 46), "edited_too_long"),
        ("a cat", ("turn it", "a cat"), "caption_unchanged"),
        ("a cat", ("turn it", "A  cat."), "caption_unchanged"),
        ("a cat", ("turn it", "."), "caption_unchanged"),
        ("a cat", None, "not_answered"),
    ],
)
def test_texts_that_are_unfit_are_dropped_with_their_reason(caption, answer, reason):
    def odd(number, asked):
        if asked != " ".join(caption.split()):
            return dog(number, asked)
        return answer and Said(number=number, instruction=answer[0], edited_caption=answer[1])

    found, rejects = collected([caption, "another caption of a cat"], Talker(odd))
    assert [reject.reason for reject in rejects] == [reason]
    assert rejects[0].step == "triples" and rejects[0].seen and rejects[0].wanted
    assert [triple.caption for triple in found] == ["another caption of a cat"]


def test_answers_go_by_their_numbers_and_strange_numbers_to_nobody():
    class Shuffled(Talker):
        async def ask(self, request, journal=None, step=""):
            answer = (await super().ask(request, journal, step)).value.triples
            first = answer[0]
            extra = [first.model_copy(update={"instruction": "too late"}), first.model_copy(update={"number": 9})]
            return SimpleNamespace(value=Triples(triples=[*reversed(answer), *extra]))

    found, rejects = collected(["a cat", "two cats"], Shuffled())
    assert [triple.edited for triple in found] == ["a dog", "two dogs"] and not rejects
    assert {triple.instruction for triple in found} == {"turn the cat into a dog"}


def test_a_caption_that_is_declined_spoils_no_other_and_its_reply_is_kept():
    def moody(number, caption):
        if "gun" in caption:
            raise Refused("no", "it declined", "-", reply="I'd rather not")
        if "odd" in caption:
            raise Malformed("no", "no JSON", "-")
        return dog(number, caption)

    captions = ["a cat", "a gun", "my cat", "an odd cat", "the cat"]
    found, rejects = collected(captions, Talker(moody))
    assert [triple.caption for triple in found] == ["a cat", "my cat", "the cat"]
    assert [(reject.reason, reject.seen) for reject in rejects] == [
        ("refused", "a gun: I'd rather not"),
        ("malformed", "an odd cat: no JSON"),
    ]


def test_a_failure_of_the_service_stops_and_leaves_no_request_behind():
    cancelled = []

    class Closed(Talker):
        async def ask(self, request, journal=None, step=""):
            if "a cat" in request.text:
                raise Denied("the endpoint did not answer", "401", "Set a key")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(request.text)
                raise

    async def whole():
        with pytest.raises(Denied):
            await triples(["a dog", "a cat", "a cow"], Closed(), TripleKnobs(captions_per_request=1))
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(whole()) == 1  # only the test itself
    assert sorted(cancelled) == ["1. a cow", "1. a dog"]


def test_a_triple_is_named_by_its_three_texts():
    one = Triple(caption="a cat", instruction="make it a dog", edited="a dog")
    assert one.triple_id == Triple(**one.model_dump()).triple_id and len(one.triple_id) == 16
    others = [one.but(caption="the cat"), one.but(instruction="a dog, please"), one.but(edited="the dog")]
    assert len({one.triple_id, *(other.triple_id for other in others)}) == 4
