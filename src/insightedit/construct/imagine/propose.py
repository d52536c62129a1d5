"""Step 1 of `imagine`, propose: a language model writes an edit for each caption, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from insightedit.backends.chat.failures import ServiceFailure
from insightedit.backends.chat.replies import Triples
from insightedit.backends.pair.triples import PROMPT, Triple, TripleKnobs, triples
from insightedit.construct.ask import Asking, ChatSection, told
from insightedit.construct.work import Asked
from insightedit.core.config import Knobs
from insightedit.core.record import Record, Reject
from insightedit.flow.step import Context, Place

if TYPE_CHECKING:  # its packages are an extra of the installation
    from insightedit.backends.chat.answer import Answer


class ProposeKnobs(Knobs):
    """Who is asked, and which texts are fit."""

    chat: ChatSection = ChatSection(temperature=0.7)  # as published: at 0 every second edit would be the same one
    triples: TripleKnobs = TripleKnobs()
    place: Place = Place()


class Proposal(Record):
    """Of `propose`: what came of a page of captions."""

    page: str
    triples: list[Triple]
    rejects: list[Reject] = []
    asked: list[Asked] = []

    def of(self, triple: Triple) -> Proposal:
        """What of it concerns one of its triples: who answered, and not what the answer to the whole page took."""
        took = {"tokens_in": None, "tokens_out": None, "usd": None}
        who = {(one.prompt, one.version, one.model): one.but(**took) for one in self.asked}
        return self.but(triples=[triple], rejects=[], asked=list(who.values()))


@dataclass(frozen=True)
class Page:
    """Captions that are asked about in one request: the model varies its edits over them."""

    number: int
    captions: Sequence[str]
    values: dict[str, Record] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"page {self.number}"

    def with_value(self, step: str, found: Record) -> Page:
        """The page with what was proposed."""
        return replace(self, values={**self.values, step: found})


def pages(captions: Sequence[str], size: int) -> Iterator[Page]:
    """Captions -> pages of `size`, in order."""
    for number, at in enumerate(range(0, len(captions), size)):
        yield Page(number, captions[at : at + size])


class Propose(Asking[Page, Proposal]):
    """Captions -> triples; every caption ends as a triple or as a reject."""

    name, version, value = "propose", "1", Proposal
    prompts = (PROMPT,)
    knobs: ProposeKnobs

    async def one(self, item: Page, context: Context) -> Proposal:
        """Ask about a page; what has an answer in the journal is not asked again.

        Raises:
            Stop: nobody answers any more, or the budget is spent.
        """
        chat, asked = self.purse.chat(self.knobs.chat), list[Asked]()

        def heard(answer: Answer[Triples]) -> None:
            asked.append(told(PROMPT, answer))

        try:
            found, rejects = await triples(item.captions, chat, self.knobs.triples, context.journal, heard)
        except ServiceFailure as failure:  # for longer than it may
            found, rejects = [], [self._reject(failure.reason, f"{one}: {failure.why}") for one in item.captions]
        rejects = [reject.but(step=self.name) for reject in rejects]
        return Proposal(page=item.key, triples=found, rejects=rejects, asked=asked)

    def reject(self, item: Page, reason: str, seen: str = "", wanted: str = "") -> Reject:
        return self._reject(reason, f"{item.key}: {seen}", wanted)

    def _reject(self, reason: str, seen: str, wanted: str = "an edit in words") -> Reject:
        return Reject(step=self.name, reason=reason, seen=seen, wanted=wanted)
