"""A loopback endpoint that speaks OpenAI's chat protocol, strictly; it can be told to misbehave, turn by turn.

    with ChatServer(answer=lambda body: {"caption": "a red mug"}) as server:
        knobs = ChatKnobs(base_url=server.url, model="gpt-4o")

It runs in a thread with a loop of its own, so any client, also one in another process, may use it.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image

MODELS = ("gpt-4o", "gpt-4o-mini", "qwen2-vl")


@dataclass(frozen=True)
class Turn:
    """What the server does with one request."""

    status: int = 200
    text: str | None = ""  # of the message; or, with a status other than 200, of the error
    refusal: str | None = None
    finish: str = "stop"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    raw: bytes | None = None  # the whole HTTP body instead
    reset: bool = False  # break the connection instead
    usage: bool = True


@dataclass(frozen=True)
class Seen:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float  # time.monotonic

    @property
    def texts(self) -> list[str]:
        """All words of the messages."""
        return [part for message in self.body["messages"] for part in _texts(message["content"])]


def limited(**headers: str) -> Turn:
    return Turn(429, "Rate limit reached", code="rate_limit_exceeded", headers=headers)


def says(value: Any, **changes: Any) -> Turn:
    return Turn(text=value if isinstance(value, str) else json.dumps(value), **changes)


class ChatServer:
    """Serves while it is entered.

    Args:
        answer: body -> what the model says: text, a value for JSON, or a `Turn`; by default the least that fits.
        script: what is done with the first requests, in order of arrival.
        key: refuse requests without it.
        lacks: what it does not know: "json_schema", "json_object", "max_tokens".
        latency_s: before each answer.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], Any] | None = None,
        script: Sequence[Turn] = (),
        key: str = "",
        lacks: Sequence[str] = (),
        latency_s: float = 0.0,
    ) -> None:
        self.answer = answer or (lambda body: fitting(schema_of(body)))
        self.script, self.key, self.lacks, self.latency_s = list(script), key, lacks, latency_s
        self.seen: list[Seen] = []
        self.most_at_once = self._at_once = 0

    def __enter__(self) -> ChatServer:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Of the chat requests, in order."""
        return [seen.body for seen in self.seen]

    def _serve(self, ready: threading.Event) -> None:
        asyncio.run(self._run(ready))

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.seen.append(Seen(request.path_qs, dict(request.headers), body, time.monotonic()))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            turn = self._turn(request, body)
            await asyncio.sleep(self.latency_s + turn.delay_s)
        finally:
            self._at_once -= 1
        if turn.reset:
            request.transport.abort()
        if turn.raw is not None:
            return web.Response(status=turn.status, body=turn.raw, headers=turn.headers)
        return web.json_response(completion(body, turn), status=turn.status, headers=turn.headers)

    def _turn(self, request: web.Request, body: dict[str, Any]) -> Turn:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            given = request.headers.get("Authorization", "")
            return Turn(401, f"Incorrect API key provided: {given}", code="invalid_api_key")
        if problem := self._problem(body):
            return problem
        if self.script:
            return self.script.pop(0)
        value = self.answer(body)
        return value if isinstance(value, Turn) else says(value)

    def _problem(self, body: dict[str, Any]) -> Turn | None:
        form = (body.get("response_format") or {}).get("type", "text")
        if form in self.lacks:
            words = f"Invalid parameter: 'response_format' of type '{form}' is not supported with this model."
            return Turn(400, words, param="response_format")
        if "max_tokens" in self.lacks and "max_tokens" in body:
            words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Turn(400, words, code="unsupported_parameter", param="max_tokens")
        if body.get("model") not in MODELS:
            return Turn(404, f"The model '{body.get('model')}' does not exist", code="model_not_found")
        if wrong := (wrong_messages(body) or (form == "json_schema" and wrong_schema(schema_of(body)))):
            return Turn(400, str(wrong), code="invalid_value")
        return None


def completion(body: dict[str, Any], turn: Turn) -> dict[str, Any]:
    """The JSON of an answer."""
    if turn.status != 200:
        error = {"message": turn.text, "type": "error", "param": turn.param, "code": turn.code}
        return {"error": error}
    message = {"role": "assistant", "content": turn.text, "refusal": turn.refusal}
    choice = {"index": 0, "message": message, "finish_reason": turn.finish, "logprobs": None}
    prompt, said = tokens_of(body), len(turn.text or "") // 4
    usage = {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
    whole = {"id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": body["model"]}
    return {**whole, "choices": [choice], **({"usage": usage} if turn.usage else {})}


def tokens_of(body: dict[str, Any]) -> int:
    """Roughly as a tokenizer would count: a quarter of the characters, 85 an image."""
    parts = [message["content"] for message in body["messages"]]
    images = sum(part["type"] == "image_url" for part in parts if isinstance(part, list) for part in part)
    return sum(len(text) for part in parts for text in _texts(part)) // 4 + 85 * images


def _texts(content: str | list[dict[str, Any]]) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]


def pictures(body: dict[str, Any]) -> list[Image.Image]:
    """The images of a request, decoded."""
    parts = [
        part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1], validate=True))) for url in urls]


def wrong_messages(body: dict[str, Any]) -> str:
    """What is wrong with the messages, or ""."""
    roles = [message["role"] for message in body["messages"]]
    if roles[-1] != "user" or not set(roles) <= {"system", "user", "assistant"}:
        return f"messages: the roles are {roles}"
    try:
        for picture in pictures(body):
            picture.load()
    except (ValueError, OSError, IndexError) as error:
        return f"messages: an image cannot be read: {error}"
    return ""


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    """The schema that was sent, as parameter or in the prompt."""
    if form := (body.get("response_format") or {}).get("json_schema"):
        return form["schema"]
    system = body["messages"][0]["content"]
    return json.loads(system.split("JSON schema:\n", 1)[1]) if "JSON schema:\n" in system else {"type": "object"}


def wrong_schema(schema: dict[str, Any]) -> str:
    """What strict mode does not accept of a schema, or ""."""
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return "Invalid schema for response_format: additionalProperties must be false"
        if sorted(schema.get("required", [])) != sorted(schema.get("properties", {})):
            return "Invalid schema for response_format: every property must be required"
    if "default" in schema:
        return "Invalid schema for response_format: 'default' is not permitted"
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    return next((wrong for one in inner if (wrong := wrong_schema(one))), "")


def fitting(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """The least value that fits a schema: one item in every list, true, 1, "thing"."""
    root = root or schema
    if "$ref" in schema:
        return fitting(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root)
    if "anyOf" in schema:
        return fitting(schema["anyOf"][0], root)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: fitting(inner, root) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [fitting(schema["items"], root)]
    return {"string": "thing", "integer": 1, "number": 1, "boolean": True, "null": None}[kind]
