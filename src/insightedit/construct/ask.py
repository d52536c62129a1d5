"""What the steps that ask a language model share: one purse per run, and a question whose failure is a reject."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from insightedit.backends.chat.cost import Budget, Ledger
from insightedit.backends.chat.failures import ReplyFailure, ServiceFailure
from insightedit.backends.chat.images import Detail, ImagePart, encode_part
from insightedit.backends.chat.limits import Limiter
from insightedit.backends.chat.prompt import load
from insightedit.backends.chat.replies import Reply
from insightedit.backends.chat.settings import MODEL_ENV, ChatKnobs, need_chat, resolve
from insightedit.construct.photo_step import OfWork
from insightedit.construct.source.scan import SourceKnobs, open_photo
from insightedit.construct.work import Asked, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.record import Photo, Record
from insightedit.flow.step import AsyncStep, Context, Item, Place, fingerprint

if TYPE_CHECKING:  # their packages are an extra of the installation
    from insightedit.backends.chat.answer import Answer
    from insightedit.backends.chat.client import Chat

In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Record)
R = TypeVar("R", bound=Reply)
T = TypeVar("T")


class ChatSection(ChatKnobs):
    """Who is asked, as a section of a step's knobs.

    Only `model`, `temperature` and `extra` are part of the step's fingerprint: an answer is as good from another
    address, and neither limits, prices nor pauses change it.
    """

    def decisive(self) -> dict[str, Any]:
        """What decides a reply; the model by its name, also where the environment names it."""
        model = self.model or os.environ.get(MODEL_ENV, "")
        return {"model": model, "temperature": self.temperature, "extra": self.extra}


class Purse:
    """What all asking steps of a run share: the budget, the ledger, and connections with their limits.

    Made once, in the driver, and handed to each asking step. Sections that agree in every setting are one chat; those
    that differ but name the same model at the same address under the same limits share these limits.

    Args:
        budget_usd: what the run may spend; None = no limit.
        ledger: is filled as the run goes; None = a new one.
    """

    def __init__(self, budget_usd: float | None = None, ledger: Ledger | None = None) -> None:
        self.budget, self.ledger = Budget(budget_usd), Ledger() if ledger is None else ledger
        self._chats: dict[str, Chat] = {}
        self._limiters: dict[tuple[Any, ...], Limiter] = {}

    def chat(self, section: ChatSection) -> Chat:
        """The chat of a section, opened on first use.

        Raises:
            ConfigError: packages, model, key or address are missing or wrong.
        """
        need_chat()
        from insightedit.backends.chat.client import Chat

        key = section.model_dump_json()
        if key not in self._chats:
            target = resolve(section)
            limits = (section.concurrency, section.requests_per_minute, section.tokens_per_minute)
            account = (target.shown, target.key_env, target.model, *limits)
            limiter = self._limiters.setdefault(account, Limiter(*limits))
            self._chats[key] = Chat(section, limiter, self.budget, self.ledger)
        return self._chats[key]

    async def close(self) -> None:
        """Close all connections; the budget and the ledger stay. A chat asked for later is opened anew."""
        chats, self._chats, self._limiters = self._chats, {}, {}
        for chat in chats.values():
            await chat.close()


class Asking(AsyncStep[In, Out]):
    """A step that asks a language model, or several, about any kind of item.

    Subclasses write `one` with `ask`, and name in `prompts` what they ask; knobs hold a `ChatSection` named `chat`, and
    may hold others. Prompts, models and knobs are in the fingerprint, places and addresses are not.

    Args:
        knobs: the step's own section of the configuration.
        seed: of the run.
        purse: of the run.
    """

    def __init__(self, knobs: Knobs, seed: int, purse: Purse) -> None:
        super().__init__(knobs, seed)
        self.purse = purse

    @property
    def prompts(self) -> Sequence[str]:
        """Names of the prompts that it asks under its knobs."""
        raise NotImplementedError

    def fingerprint(self, before: str) -> str:
        """As of every step, with the versions of its prompts, and of a chat only what decides its replies."""
        versions = {name: load(name).version for name in self.prompts}
        return fingerprint(before, self.name, self.version, self.seed, decisive(self.knobs), versions)

    async def connect(self) -> None:
        """See that everybody can be asked, before anything is paid for.

        Raises:
            ConfigError: packages, model, key or address are missing or wrong.
        """
        for section in sections(self.knobs):
            self.purse.chat(section)

    async def disconnect(self) -> None:
        await self.purse.close()

    async def ask(
        self,
        context: Context,
        prompt: str,
        reply: type[R],
        slots: Mapping[str, object] | None = None,
        images: Sequence[ImagePart] = (),
        *,
        chat: ChatSection | None = None,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Answer[R]:
        """Ask one question; an answer that the shard's journal has is not paid for again.

        Args:
            context: of the item.
            prompt: its name.
            reply: class of the reply.
            slots: what fills the prompt.
            images: as encoded by `photo_part`, or by `encode_part` apart.
            chat: who is asked; None = the section `chat` of the knobs.
            max_tokens: of the reply.
            seed: another one draws another reply to the same question.

        Raises:
            Unfit: no usable reply: `refused`, `content_filter`, `truncated`, `malformed`, `bad_request` with the whole
                reply as what was seen; or the service failed on this one for as long as it was allowed to.
            Stop: nobody answers any more, or the budget is spent.
        """
        asked = self.purse.chat(chat or _section(self.knobs))
        request = asked.request(load(prompt), reply, slots or {}, images, max_tokens, seed)
        try:
            return await asked.ask(request, context.journal, self.name)
        except (ReplyFailure, ServiceFailure) as failure:
            wanted = f"a usable reply to '{prompt}'"
            raise Unfit(failure.reason, failure.reply or failure.why, wanted) from failure


class AskStep(OfWork, Asking[Work, Out]):
    """An asking step of `build`: its items are photographs, which it can show.

    Args:
        knobs: the step's own section of the configuration.
        seed: of the run.
        root: of the photographs.
        source: how photographs are opened.
        purse: of the run.
    """

    def __init__(self, knobs: Knobs, seed: int, root: Path, source: SourceKnobs, purse: Purse) -> None:
        super().__init__(knobs, seed, purse)
        self.root, self.source = root, source

    async def look(self, work: Work, context: Context, max_side: int, detail: Detail = "auto") -> ImagePart:
        """The photograph, opened, sized and encoded in a worker process.

        Args:
            max_side: px of the longer side as sent.
            detail: how closely the model looks, see `ImagePart`.

        Raises:
            Unfit: the photograph changed since the scan or cannot be decoded.
        """
        part: ImagePart = await context.apart(photo_part, self.root, work.photo, self.source, max_side, detail)
        return part


def photo_part(root: Path, photo: Photo, source: SourceKnobs, max_side: int, detail: Detail) -> ImagePart:
    """A photograph as part of a request.

    Raises:
        Unfit: changed_since_scan, or whatever decoding finds.
    """
    return encode_part(open_photo(root, photo, source), max_side, detail)


async def together(asked: Iterable[Awaitable[T]]) -> list[T | Unfit]:
    """Ask side by side and wait for all, so that no answer is paid for and lost; the unfit ones in their places.

    Raises:
        Exception: the first error that is no `Unfit`, after all are through.
    """
    found = await asyncio.gather(*asked, return_exceptions=True)
    results: list[T | Unfit] = []
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, Unfit):
            raise one
        results.append(one)
    return results


def told(prompt: str, answer: Answer[Any]) -> Asked:
    """Where an answer came from and what it took, for the row's provenance."""
    usage = answer.usage
    return Asked(
        prompt=prompt,
        version=load(prompt).version,
        model=answer.model,
        tokens_in=usage.prompt if usage else None,
        tokens_out=usage.completion if usage else None,
        usd=answer.cost,
    )


def decisive(knobs: Knobs) -> dict[str, Any]:
    """Plain values of all that decides a step's result: no places, and of chats not where and how they are asked."""
    values = knobs.model_dump(mode="json")
    for name, value in knobs:
        if isinstance(value, Place):
            del values[name]
        elif isinstance(value, ChatSection):
            values[name] = value.decisive()
        elif isinstance(value, Knobs):
            values[name] = decisive(value)
    return values


def sections(knobs: Knobs) -> list[ChatSection]:
    """Every chat that some knobs name."""
    found: list[ChatSection] = []
    for _, value in knobs:
        if isinstance(value, ChatSection):
            found.append(value)
        elif isinstance(value, Knobs):
            found += sections(value)
    return found


def _section(knobs: Knobs) -> ChatSection:
    """The section named `chat`."""
    found = getattr(knobs, "chat", None)
    if not isinstance(found, ChatSection):
        raise TypeError(f"{type(knobs).__name__} has no ChatSection named 'chat'")
    return found
