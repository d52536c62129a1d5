"""`Chat.ask`: a request in, a validated answer or a typed failure out; each request is paid for at most once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from insightedit.backends.chat.answer import Answer, Journal
from insightedit.backends.chat.caller import Caller
from insightedit.backends.chat.cost import Budget, Ledger, Tally, price_of
from insightedit.backends.chat.endpoint import Endpoint
from insightedit.backends.chat.failures import ChatFailure, EndpointDown, RunFailure, ServiceFailure
from insightedit.backends.chat.images import ImagePart
from insightedit.backends.chat.limits import Limiter
from insightedit.backends.chat.prompt import Prompt
from insightedit.backends.chat.request import ChatRequest, R
from insightedit.backends.chat.schema import NoFit
from insightedit.backends.chat.settings import ChatKnobs, resolve

__all__ = ["Answer", "Chat", "Journal"]
log = logging.getLogger(__name__)


class Chat:
    """Asks one model at one endpoint; many requests at a time, on one event loop.

    Args:
        knobs: where, which model, how hard.
        limiter: shared with other chats of the same account; None = one of its own, as the knobs say.
        budget: shared by all chats of a run; None = no limit.
        ledger: where tokens and USD are counted; None = one of its own.

    Raises:
        ConfigError: no model, a bad address, no key where one is needed.
    """

    def __init__(
        self,
        knobs: ChatKnobs,
        limiter: Limiter | None = None,
        budget: Budget | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.knobs, self.target = knobs, resolve(knobs)
        self.price = price_of(self.target.model, knobs.usd_per_million_in, knobs.usd_per_million_out)
        limits = (knobs.concurrency, knobs.requests_per_minute, knobs.tokens_per_minute)
        self.limiter = Limiter(*limits) if limiter is None else limiter
        self.budget = Budget() if budget is None else budget
        self.ledger = Ledger() if ledger is None else ledger
        self._endpoint = Endpoint(self.target, knobs)
        self._caller = Caller(self._endpoint, self.limiter, self.budget, self.price)
        self._asking: dict[str, asyncio.Future[Answer[Any] | ChatFailure]] = {}
        self._given_up = 0  # requests in a row

    def __repr__(self) -> str:
        return f"Chat({self.target!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()

    async def models(self) -> list[str]:
        """Names of the models that the endpoint offers: a free question, to see whether it answers.

        Raises:
            ChatFailure: it does not.
        """
        return await self._endpoint.models()

    def request(
        self,
        prompt: Prompt,
        reply: type[R],
        slots: Mapping[str, object],
        images: Sequence[ImagePart] = (),
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> ChatRequest[R]:
        """A request to this chat's model under its settings.

        Raises:
            ConfigError: the slots are not those of the prompt.
        """
        system, user = prompt.fill(**slots)
        return ChatRequest(
            model=self.target.model,
            system=system,
            user=user,
            reply=reply,
            images=tuple(images),
            temperature=self.knobs.temperature,
            max_tokens=max_tokens,
            seed=seed,
            prompt=prompt.name,
            prompt_version=prompt.version,
            extra=self.knobs.extra,
        )

    async def ask(self, request: ChatRequest[R], journal: Journal | None = None, step: str = "") -> Answer[R]:
        """Ask, unless the journal has the answer or the same request is under way.

        Args:
            request: what to ask.
            journal: where validated answers are kept.
            step: under what the ledger counts it; "" = the prompt's name.

        Raises:
            ReplyFailure: this request has no usable reply; its `reply` is what came.
            ServiceFailure: the service failed for longer than the deadline; a later run may succeed.
            RunFailure: no request can succeed.
            BudgetReached: it could cost more than is left.
        """
        tally = self.ledger.of(step or request.prompt or "chat")
        while other := self._asking.get(request.key):
            await asyncio.wait([other])
            if not other.cancelled():  # cancelled: its asker went away, and this one takes over
                return await self._shared(other.result(), request, journal, tally)
        mine = self._asking[request.key] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._kept_or_new(request, journal, tally)
            mine.set_result(answer)
            return answer
        except ChatFailure as failure:
            mine.set_result(failure)
            raise
        finally:
            del self._asking[request.key]
            mine.cancel()  # of no effect where there is a result

    async def _shared(
        self, outcome: Answer[Any] | ChatFailure, request: ChatRequest[R], journal: Journal | None, tally: Tally
    ) -> Answer[R]:
        if isinstance(outcome, ChatFailure):
            tally.failed[outcome.reason] += 1
            raise outcome
        if journal is not None and journal.get(request.key) is None:  # of another shard: each must be whole by itself
            await journal.put(request.key, outcome.saved())
        tally.kept += 1
        return replace(outcome, kept=True)

    async def _kept_or_new(self, request: ChatRequest[R], journal: Journal | None, tally: Tally) -> Answer[R]:
        saved = journal.get(request.key) if journal is not None else None
        if saved is not None:
            try:
                answer = Answer.of_saved(saved, request.reply)
                tally.kept += 1
                return answer
            except NoFit as error:
                log.warning("a kept answer to '%s' no longer fits (%s): asking again", request.prompt, error)
        try:
            answer = await self._caller.answer(request, tally)
        except ChatFailure as failure:
            tally.failed[failure.reason] += 1
            raise self._judged(failure) from None
        self._given_up = 0
        tally.requests += 1
        if journal is not None:  # paid for: kept even if the asker is cancelled at this moment
            await asyncio.shield(journal.put(request.key, answer.saved()))
        return answer

    def _judged(self, failure: ChatFailure) -> ChatFailure:
        """What a failure means for the requests after it."""
        self._given_up = self._given_up + 1 if isinstance(failure, ServiceFailure) else 0
        if isinstance(failure, RunFailure):
            self._caller.dead = failure
        elif self._given_up >= self.knobs.give_up_after:
            why = f"{self._given_up} requests in a row were given up, the last because {failure.why}"
            down = EndpointDown(f"{self.target.shown} is down", why, "Try later; the same command continues")
            self._caller.dead = down
            return down
        return failure
