"""Triples of texts (caption, instruction, edited caption): proposed by a language model, then checked.

InstructPix2Pix (Brooks et al. 2023, section 3.1.1) tuned GPT-3 on 700 triples written by people; here a chat model is
asked, several captions at a time. Retries, budget and journal are the chat's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from insightedit.backends.chat.failures import ReplyFailure
from insightedit.backends.chat.prompt import load
from insightedit.backends.chat.replies import Triples
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.record import Record, Reject

if TYPE_CHECKING:
    from insightedit.backends.chat.answer import Answer
    from insightedit.backends.chat.client import Chat, Journal

PROMPT = STEP = "triples"
Heard = Callable[["Answer[Triples]"], None]


class Triple(Record):
    """What two pictures shall show, and the instruction that leads from the one to the other."""

    caption: str
    instruction: str
    edited: str

    @property
    def triple_id(self) -> str:
        """First 16 hex digits of the SHA-256 of the three texts."""
        text = "\x1f".join((self.caption, self.instruction, self.edited))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class TripleKnobs(Knobs):
    """Which texts are fit, and how many are asked for at once. CLIP reads 77 tokens: a change behind them is lost."""

    min_caption_words: int = Field(default=2, ge=1)
    max_caption_words: int = Field(default=45, ge=1)
    max_instruction_words: int = Field(default=20, ge=1)
    captions_per_request: int = Field(default=10, ge=1)
    tokens_per_caption: int = Field(default=160, ge=1)  # of the reply


async def triples(
    captions: Sequence[str],
    chat: Chat,
    knobs: TripleKnobs,
    journal: Journal | None = None,
    heard: Heard | None = None,
) -> tuple[list[Triple], list[Reject]]:
    """Ask for an edit of each caption and check what comes back. Every caption ends in one of the two lists.

    Where a request has no usable reply, its halves are asked, so that one caption that is declined spoils no other.

    Args:
        captions: in the wording of picture captions; no caption is asked about twice.
        chat: whom to ask.
        knobs: which texts are fit.
        journal: where answers are kept.
        heard: told every usable reply, for provenance.

    Returns:
        Triples in the order of their captions, and the rejects: duplicate_caption, caption_too_short,
        caption_too_long, not_answered, no_instruction, instruction_too_long, edited_too_long, caption_unchanged, or
        what the failure of the reply is called (refused, content_filter, truncated, malformed, bad_request).

    Raises:
        ServiceFailure, RunFailure, BudgetReached: as `Chat.ask`; requests under way are cancelled.
    """
    rejects: list[Reject] = []
    asked: dict[str, str] = {}
    for caption in (" ".join(caption.split()) for caption in captions):
        try:
            _check_caption(caption, asked, knobs)
        except Unfit as unfit:
            rejects.append(_reject(unfit))
        else:
            asked[plain(caption)] = caption
    fit, size = list(asked.values()), knobs.captions_per_request
    groups = [fit[start : start + size] for start in range(0, len(fit), size)]
    tasks = [asyncio.ensure_future(_ask(group, chat, knobs, journal, heard)) for group in groups]
    try:
        answers = [answer for group in await asyncio.gather(*tasks) for answer in group]
    finally:
        for task in tasks:
            task.cancel()
    rejects += [answer for answer in answers if isinstance(answer, Reject)]
    return [answer for answer in answers if isinstance(answer, Triple)], rejects


async def _ask(
    group: list[str], chat: Chat, knobs: TripleKnobs, journal: Journal | None, heard: Heard | None
) -> list[Triple | Reject]:
    """One answer for each caption, in order."""
    numbered = "\n".join(f"{number}. {caption}" for number, caption in enumerate(group, 1))
    longest = knobs.tokens_per_caption * len(group)
    request = chat.request(load(PROMPT), Triples, {"captions": numbered}, max_tokens=longest)
    try:
        answer = await chat.ask(request, journal, STEP)
    except ReplyFailure as failure:
        if len(group) > 1:
            middle = (len(group) + 1) // 2
            first = await _ask(group[:middle], chat, knobs, journal, heard)
            return first + await _ask(group[middle:], chat, knobs, journal, heard)
        return [_reject(Unfit(failure.reason, f"{group[0]}: {failure.reply or failure.why}", "an edit in words"))]
    if heard:
        heard(answer)
    said = {one.number: one for one in reversed(answer.value.triples)}  # of two under one number, the first counts
    return [
        _checked(
            Triple(caption=caption, instruction=said[number].instruction, edited=said[number].edited_caption), knobs
        )
        if number in said
        else _reject(Unfit("not_answered", caption, "an edit under its number"))
        for number, caption in enumerate(group, 1)
    ]


def _checked(triple: Triple, knobs: TripleKnobs) -> Triple | Reject:
    try:
        _check_triple(triple, knobs)
    except Unfit as unfit:
        return _reject(unfit)
    return triple


def check(triple: Triple, knobs: TripleKnobs) -> None:
    """Nothing, if a triple from elsewhere is as fit as one that was asked for.

    Raises:
        Unfit: as the rejects of `triples`.
    """
    _check_caption(triple.caption, {}, knobs)
    _check_triple(triple, knobs)


def plain(text: str) -> str:
    """A text as compared: without case, punctuation and superfluous blanks."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.casefold()).split())


def _check_caption(caption: str, asked: dict[str, str], knobs: TripleKnobs) -> None:
    words = len(caption.split())
    if plain(caption) in asked:
        raise Unfit("duplicate_caption", caption, "each caption once")
    if words < knobs.min_caption_words or not plain(caption):
        raise Unfit("caption_too_short", caption, f"{knobs.min_caption_words} words at least")
    if words > knobs.max_caption_words:
        raise Unfit("caption_too_long", caption, f"{knobs.max_caption_words} words at most")


def _check_triple(triple: Triple, knobs: TripleKnobs) -> None:
    if not plain(triple.instruction):
        raise Unfit("no_instruction", f"{triple.caption}: {triple.instruction!r}", "what to change")
    if len(triple.instruction.split()) > knobs.max_instruction_words:
        raise Unfit("instruction_too_long", triple.instruction, f"{knobs.max_instruction_words} words at most")
    if len(triple.edited.split()) > knobs.max_caption_words:
        raise Unfit("edited_too_long", triple.edited, f"{knobs.max_caption_words} words at most")
    if plain(triple.edited) in ("", plain(triple.caption)):
        raise Unfit("caption_unchanged", f"{triple.caption}: {triple.edited!r}", "another caption than before")


def _reject(unfit: Unfit) -> Reject:
    return Reject(step=STEP, reason=unfit.reason, seen=unfit.seen, wanted=unfit.wanted)
