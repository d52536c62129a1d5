"""What asking gives, and where it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Generic, Protocol

import orjson

from insightedit.backends.chat.cost import Usage
from insightedit.backends.chat.request import R
from insightedit.backends.chat.schema import NoFit, read_reply


class Journal(Protocol):
    """Where answers are kept over crashes; the flow has one per shard."""

    def get(self, key: str) -> bytes | None:
        """The last answer put under this key."""

    async def put(self, key: str, answer: bytes) -> None:
        """Keep an answer; returns when it would survive a crash."""


@dataclass(frozen=True)
class Answer(Generic[R]):
    """A validated reply, and what it took.

    Args:
        value: the reply.
        text: the reply as it came.
        model: as the server names what answered.
        usage: tokens of all turns; None where the server does not count.
        cost: USD of all turns, None = not known. An answer from the journal says what it cost when it was paid.
        seconds: from the first attempt's start.
        repaired: it took the repair turn.
        kept: it came from the journal and cost nothing now.
    """

    value: R
    text: str
    model: str
    usage: Usage | None
    cost: float | None
    seconds: float
    repaired: bool
    kept: bool = False

    def saved(self) -> bytes:
        """What a journal keeps."""
        usage = asdict(self.usage) if self.usage else None
        return orjson.dumps(
            {"text": self.text, "model": self.model, "usage": usage, "cost": self.cost, "seconds": self.seconds,
             "repaired": self.repaired}
        )  # fmt: skip

    @classmethod
    def of_saved(cls, saved: bytes, reply: type[R]) -> Answer[R]:
        """The answer that a journal kept.

        Raises:
            NoFit: it no longer fits the reply class.
        """
        try:
            fields = orjson.loads(saved)
            usage = Usage(**fields.pop("usage")) if fields["usage"] else fields.pop("usage")
            return cls(value=read_reply(fields["text"], reply), usage=usage, kept=True, **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise NoFit(f"not an answer: {error}") from error
