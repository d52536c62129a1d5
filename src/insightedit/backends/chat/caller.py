"""One request on its way: turns, attempts, and what an endpoint turns out not to understand."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Generic

from insightedit.backends.chat.answer import Answer
from insightedit.backends.chat.cost import Budget, Price, Tally, Usage, estimate
from insightedit.backends.chat.endpoint import Endpoint, Said
from insightedit.backends.chat.failures import (
    BadRequest,
    Filtered,
    Malformed,
    RateLimited,
    Refused,
    RunFailure,
    ServiceFailure,
    Truncated,
    quote,
)
from insightedit.backends.chat.limits import Limiter
from insightedit.backends.chat.request import ChatRequest, Form, R
from insightedit.backends.chat.retry import Patience
from insightedit.backends.chat.schema import NoFit, read_reply, strict_schema
from insightedit.backends.chat.settings import ChatKnobs, Format

log = logging.getLogger(__name__)
WEAKER: dict[Format, Format] = {"json_schema": "json_object", "json_object": "plain"}


@dataclass
class Call(Generic[R]):
    """A request under way.

    Args:
        request: what is asked.
        tally: of the step that asks.
        usage, usd: of the turns so far; None = some of it is not known.
        seconds: of the turns so far.
        mended: the reply that did not fit and what was wrong with it, in the repair turn.
        form: in which the last attempt was made.
    """

    request: ChatRequest[R]
    tally: Tally
    usage: Usage | None = Usage()
    usd: float | None = 0.0
    seconds: float = 0.0
    mended: tuple[str, str] | None = None
    form: Form = Form()

    def charge(self, usage: Usage | None, usd: float | None) -> None:
        """One more reply, good or not: it is paid for either way."""
        self.tally.charge(usage, usd)
        self.usage = None if self.usage is None or usage is None else self.usage + usage
        self.usd = None if self.usd is None or usd is None else self.usd + usd

    def expected(self, price: Price | None) -> Usage:
        """The most that a turn can use: its words and images, and a reply of full length."""
        texts = (self.request.system, self.request.user, *(self.mended or ()))
        chars = sum(map(len, texts)) + len(strict_schema(self.request.reply))
        sizes = [(image.width, image.height, image.detail) for image in self.request.images]
        return estimate(chars, sizes, self.request.max_tokens, price)

    def value(self, said: Said) -> R:
        """The value of a reply.

        Raises:
            Refused, Filtered, Truncated: it has none, and another turn would not have one either.
            NoFit: it does not fit.
        """
        what = f"no reply to '{self.request.prompt}'"
        if said.refusal:
            raise Refused(what, f"the model refused: {quote(said.refusal)}", "Leave this one out", said.refusal)
        if said.finish == "content_filter":
            raise Filtered(what, "a content filter stopped it", "Leave this one out", said.text)
        try:
            return read_reply(said.text, self.request.reply)
        except NoFit:
            if said.finish != "length":
                raise
        why = f"it was cut at max_tokens = {self.request.max_tokens}"
        raise Truncated(what, why, "Raise max_tokens or ask for less", said.text)


class Caller:
    """Brings requests to an endpoint within its limits, again where that may help.

    Args:
        endpoint: where.
        limiter: how hard it may be asked.
        budget: how much it may cost.
        price: of the model; None = unknown.
    """

    def __init__(self, endpoint: Endpoint, limiter: Limiter, budget: Budget, price: Price | None) -> None:
        self.endpoint, self.limiter, self.budget, self.price = endpoint, limiter, budget, price
        self.knobs: ChatKnobs = endpoint.knobs
        self.form = Form(self.knobs.reply_format)
        self.dead: RunFailure | None = None  # why no request can succeed any more

    async def answer(self, request: ChatRequest[R], tally: Tally) -> Answer[R]:
        """One turn, and the repair turn where the reply does not fit.

        Raises:
            ChatFailure, BudgetReached: there is no usable reply; see `failures`.
        """
        call = Call(request, tally)
        while True:
            said = await self._turn(call)
            try:
                repaired = call.mended is not None
                return Answer(call.value(said), said.text, said.model, call.usage, call.usd, call.seconds, repaired)
            except NoFit as wrong:
                complaint = str(wrong)
            if call.mended is not None:
                what, mend = f"no usable reply to '{request.prompt}'", "Use a stronger model or a server with schemas"
                raise Malformed(what, f"after the repair turn too: {quote(complaint)}", mend, said.text)
            call.mended = (said.text, complaint)
            tally.repaired += 1

    async def _turn(self, call: Call[R]) -> Said:
        """Attempts until one is answered.

        Raises:
            ChatFailure: the last one's, where it is no use or no time to try again.
        """
        knobs = self.knobs
        patience = Patience(
            knobs.deadline_s, knobs.timeout_s, knobs.attempts, knobs.first_pause_s, knobs.longest_pause_s
        )
        while True:
            try:
                said = await self._attempt(call, patience)
                call.seconds += patience.passed_s
                return said
            except BadRequest as refused:
                if not self._learnt(refused, call.form):
                    raise
            except ServiceFailure as failure:
                pause = patience.after(failure.retry_after_s)
                if pause is None:
                    raise
                if isinstance(failure, RateLimited) and failure.retry_after_s is not None:
                    self.limiter.pause(failure.retry_after_s)
                log.info("%s; attempt %d, again in %.1f s", failure, patience.failed, pause)
                call.tally.retried += 1
                await asyncio.sleep(pause)

    async def _attempt(self, call: Call[R], patience: Patience) -> Said:
        expected = call.expected(self.price)
        async with self.limiter.slot(expected.total) as admission:
            if self.dead:  # found out while this one waited
                raise self.dead.with_traceback(None)
            call.form = self.form
            most = self.price.of(expected) if self.price else None
            reserved = await self.budget.reserve(most, call.request.model)
            paid = 0.0
            try:
                said = await self.endpoint.complete(call.request.body(call.form, call.mended), patience.begin())
                usd = self.price.of(said.usage) if self.price and said.usage else None
                paid = reserved if usd is None else usd  # a server that does not count is believed to have used it all
                call.charge(said.usage, usd)
                admission.tokens = said.usage.total if said.usage else admission.tokens
                return said
            finally:
                self.budget.settle(reserved, paid)

    def _learnt(self, refused: BadRequest, used: Form) -> bool:
        """Whether a refusal says what the endpoint lacks, so that asking in a plainer form may do."""
        if used != self.form:  # another request has learnt it meanwhile
            return True
        words = refused.why.lower()
        names_format = any(word in words for word in ("response_format", "json_schema", "json_object"))
        if "max_completion_tokens" in words and used.length == "max_tokens":
            self.form = replace(used, length="max_completion_tokens")
        elif names_format and "invalid schema" not in words and used.reply in WEAKER:
            self.form = replace(used, reply=WEAKER[used.reply])
        else:
            return False
        log.warning("%s does not take %s: using %s from now on", self.endpoint.target.shown, used, self.form)
        return True
