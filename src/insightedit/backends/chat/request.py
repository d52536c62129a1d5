"""A request: what is asked, of which model, under which settings; its name; its body."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel

from insightedit.backends.chat.images import ImagePart
from insightedit.backends.chat.schema import strict_schema
from insightedit.backends.chat.settings import Format

KEY_VERSION = 1  # raise it when equal fields begin to mean another request
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class Form:
    """What of the protocol an endpoint understands; learnt from what it refuses.

    Args:
        reply: how the reply's form is demanded; all but "json_schema" put the schema into the prompt.
        length: the field for the longest reply; OpenAI's reasoning models know the newer name only.
    """

    reply: Format = "json_schema"
    length: str = "max_tokens"


@dataclass(frozen=True)
class ChatRequest(Generic[R]):
    """One question, and the class of its reply.

    Args:
        model: as the endpoint names it.
        system, user: the prompt, filled.
        reply: the class that the reply must fit.
        images: sent after the user's text, in this order.
        temperature: None = the server's own.
        max_tokens: of the reply; a longer one is `Truncated`.
        seed: another seed is another request: to draw several replies to one question.
        prompt, prompt_version: where the words came from, for provenance.
        extra: further fields of the body.
    """

    model: str
    system: str
    user: str
    reply: type[R]
    images: tuple[ImagePart, ...] = ()
    temperature: float | None = 0.0
    max_tokens: int = 1024
    seed: int | None = None
    prompt: str = ""
    prompt_version: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that decides the reply; neither the address nor the key of the endpoint is in it."""
        parts = [
            KEY_VERSION,
            self.model,
            [self.prompt, self.prompt_version, self.system, self.user],
            [[image.sha256, image.detail] for image in self.images],
            [self.temperature, self.max_tokens, self.seed, self.extra],
            [self.reply.__name__, strict_schema(self.reply).decode()],
        ]
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def body(self, form: Form = Form(), mended: tuple[str, str] | None = None) -> bytes:
        """The JSON that is sent.

        Args:
            form: what the endpoint understands.
            mended: a reply that did not fit, and what was wrong with it: the repair turn.
        """
        schema = strict_schema(self.reply)
        messages = self._messages(form.reply, schema, mended)
        fields: dict[str, Any] = {"model": self.model, "messages": messages, "stream": False}
        settings = {"temperature": self.temperature, form.length: self.max_tokens, "seed": self.seed}
        fields |= {name: value for name, value in settings.items() if value is not None}
        if form.reply == "json_schema":
            demand = {"name": self.reply.__name__, "strict": True, "schema": orjson.Fragment(schema)}
            fields["response_format"] = {"type": "json_schema", "json_schema": demand}
        elif form.reply == "json_object":
            fields["response_format"] = {"type": "json_object"}
        return orjson.dumps(fields | self.extra)

    def _messages(self, reply_format: Format, schema: bytes, mended: tuple[str, str] | None) -> list[dict[str, Any]]:
        system = self.system
        if reply_format != "json_schema":
            demand = f"Reply with one JSON object and nothing else. It must fit this JSON schema:\n{schema.decode()}"
            system = f"{system}\n\n{demand}" if system else demand
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": self._content()})
        if mended:
            said, wrong = mended
            complaint = (
                f"That reply does not fit the JSON schema: {wrong}. Reply again with the whole JSON object only."
            )
            messages.append({"role": "assistant", "content": said or "(empty)"})
            messages.append({"role": "user", "content": complaint})
        return messages

    def _content(self) -> str | list[dict[str, Any]]:
        if not self.images:
            return self.user  # plain text: servers of text models know nothing else
        parts: list[dict[str, Any]] = [{"type": "text", "text": self.user}]
        urls = [{"url": image.data_url, "detail": image.detail} for image in self.images]
        return parts + [{"type": "image_url", "image_url": url} for url in urls]
