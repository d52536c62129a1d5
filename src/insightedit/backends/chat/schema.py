"""Reply classes as JSON schema in OpenAI's strict subset, and replies as values of those classes."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)  # what reasoning models say before they answer
FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?```\s*\Z", re.DOTALL)
DECODER = json.JSONDecoder()
R = TypeVar("R", bound=BaseModel)


class NoFit(Exception):
    """A reply that is not what was asked for; its text says what is wrong, in words that a model can act on."""


@lru_cache(maxsize=256)
def strict_schema(reply: type[BaseModel]) -> bytes:
    """The JSON schema of a reply class, serialised: closed objects, every property required, no defaults.

    Raises:
        TypeError: the class has what strict mode cannot say: a dict of free keys.
    """
    schema = reply.model_json_schema()
    return orjson.dumps(_strict(schema, schema, reply.__name__))


def _strict(node: dict[str, Any], root: dict[str, Any], place: str) -> dict[str, Any]:
    if "$ref" in node and len(node) > 1:  # strict mode allows nothing beside a reference: the definition comes in
        named = root["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        node = {**named, **{key: value for key, value in node.items() if key != "$ref"}}
    made = {key: value for key, value in node.items() if key != "default"}
    for group in ("properties", "$defs"):
        if group in made:
            made[group] = {name: _strict(inner, root, f"{place}.{name}") for name, inner in made[group].items()}
    if made.get("type") == "object":
        if made.get("additionalProperties") not in (None, False):
            raise TypeError(f"{place} is a dict: strict schemas need named fields; use a list of pairs")
        made["additionalProperties"] = False
        made["required"] = list(made.get("properties", {}))
    if "items" in made:
        made["items"] = _strict(made["items"], root, f"{place}[]")
    if "anyOf" in made:
        made["anyOf"] = [_strict(inner, root, place) for inner in made["anyOf"]]
    return made


def read_reply(text: str, reply: type[R]) -> R:
    """The value that a reply's text holds: JSON, perhaps in a code fence or with words around it.

    Types are checked strictly: "0" is no bool and "7" no number.

    Raises:
        NoFit: no JSON object, or one that does not fit; says where.
    """
    found = _json_object(text)
    try:
        return reply.model_validate_json(found, strict=True)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}" for one in error.errors()[:8]]
        raise NoFit("; ".join(lines)) from None


def _json_object(text: str) -> str:
    """The first JSON object in a text, as it stands there."""
    text = THOUGHT.sub("", text, count=1)
    fenced = FENCE.match(text)
    text = fenced[1] if fenced else text
    start = text.find("{")
    if start < 0:
        raise NoFit("there is no JSON object in it")
    try:
        _, end = DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise NoFit(f"its JSON breaks off or is wrong: {str(error)[:200]}") from None
    return text[start:end]
