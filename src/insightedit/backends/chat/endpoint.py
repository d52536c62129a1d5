"""One HTTP endpoint: connections, sizes, time limits, and what its answers mean. Only this file touches the key."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

from insightedit.backends.chat.cost import Usage
from insightedit.backends.chat.failures import ChatFailure, ServerFailed, TimedOut, Unreachable, of_status, quote
from insightedit.backends.chat.retry import retry_after_s
from insightedit.backends.chat.settings import ChatKnobs, Target

LARGE_BODY = 1 << 20  # bytes: aiohttp wants larger ones as a stream, which it sends in pieces


@dataclass(frozen=True)
class Said:
    """One reply of the model, as the protocol gives it."""

    text: str
    refusal: str
    finish: str  # stop | length | content_filter | ...
    model: str
    usage: Usage | None  # None: the server does not say


class Endpoint:
    """Sends bodies, returns replies or failures; makes no second attempt.

    Args:
        target: where, and with which key.
        knobs: limits.
    """

    def __init__(self, target: Target, knobs: ChatKnobs) -> None:
        self.target, self.knobs = target, knobs
        self._urls = {path: URL(target.url(path)) for path in ("chat/completions", "models")}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.target!r})"

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def complete(self, body: bytes, timeout_s: float) -> Said:
        """One chat completion.

        Raises:
            ChatFailure: whatever came instead; see `failures`.
        """
        return self._said(await self._send("POST", "chat/completions", body, timeout_s))

    async def models(self) -> list[str]:
        """Names of the models that the endpoint offers.

        Raises:
            ChatFailure: it does not answer, or not in the protocol.
        """
        answer = await self._send("GET", "models", b"", self.knobs.connect_s)
        listed = answer.get("data")
        named = [str(one.get("id", "")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        return sorted(filter(None, named))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            key = self.target.key.get_secret_value()
            headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "insightedit"}
            if key:
                headers["Authorization"] = f"Bearer {key}"
            most = self.knobs.concurrency  # an explicit number: the default is 100, whatever one asks for
            connector = aiohttp.TCPConnector(limit=most, limit_per_host=most, ttl_dns_cache=300, keepalive_timeout=30)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=jar)
        return self._session

    async def _send(self, method: str, path: str, body: bytes, timeout_s: float) -> dict[str, Any]:
        failure: ChatFailure
        try:
            async with self._open().request(
                method,
                self._urls[path],
                data=io.BytesIO(body) if len(body) > LARGE_BODY else body,
                allow_redirects=False,  # they would carry the key elsewhere
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, self.knobs.connect_s)),
            ) as response:
                raw = await self._read(response)
                return self._answer(response.status, response.headers, raw)
        except TimeoutError:
            failure = TimedOut(f"{self.target.shown} did not answer", f"nothing whole in {timeout_s:g} s", "Try later")
        except (aiohttp.ClientError, OSError) as error:
            failure = self._unreachable(error)
        raise failure  # outside `except`: aiohttp's errors hold the headers, and so the key

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, without the key should the server repeat it.

        Raises:
            ServerFailed: larger than the limit.
        """
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > self.knobs.max_reply_bytes:
                why = f"its answer is longer than {self.knobs.max_reply_bytes} bytes"
                raise ServerFailed(f"{self.target.shown} did not answer", why, "Raise max_reply_bytes if that is right")
            pieces.append(piece)
        key = self.target.key.get_secret_value().encode()
        raw = b"".join(pieces)
        return raw.replace(key, b"***") if key and key in raw else raw

    def _answer(self, status: int, headers: Any, raw: bytes) -> dict[str, Any]:
        try:
            answer = orjson.loads(raw)
        except orjson.JSONDecodeError:
            answer = None
        problem = answer.get("error") if isinstance(answer, dict) else None
        if status == 200 and isinstance(answer, dict) and not problem:
            return answer
        text = raw.decode("utf-8", "replace")
        if status == 200 and not problem:
            what, why = f"{self.target.shown} did not answer in the protocol", quote(text) or "an empty body"
            raise ServerFailed(what, why, "Check that base_url is an OpenAI-compatible endpoint", text)
        code, message, status = _problem(problem, text, status)
        raise of_status(status, code, message, self.target.shown, self.target.key_env, retry_after_s(headers))

    def _said(self, answer: dict[str, Any]) -> Said:
        try:
            choice = answer["choices"][0]
            message, used = choice["message"], answer.get("usage")
            return Said(
                text=_text(message.get("content")),
                refusal=str(message.get("refusal") or ""),
                finish=str(choice.get("finish_reason") or ""),
                model=str(answer.get("model") or self.target.model),
                usage=_usage(used) if isinstance(used, dict) else None,
            )
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            what = f"{self.target.shown} did not answer in the protocol"
            why = f"no choices with a message ({type(error).__name__})"
        raise ServerFailed(what, why, "Check that base_url is an OpenAI-compatible endpoint")

    def _unreachable(self, error: Exception) -> Unreachable:
        told = isinstance(error, aiohttp.ClientConnectorError | OSError)  # the others may quote headers
        why = f"{type(error).__name__}: {error}" if told else type(error).__name__
        key = self.target.key.get_secret_value()
        why = quote(why.replace(key, "***") if key else why)
        return Unreachable(f"{self.target.shown} cannot be reached", why, "Check the address and the network")


def _problem(problem: Any, text: str, status: int) -> tuple[str, str, int]:
    """Code, message and status of an error object; some gateways put the status inside, under 200."""
    if not isinstance(problem, dict):
        return "", str(problem or text), status
    code, message = problem.get("code"), str(problem.get("message") or text)
    if status == 200 and isinstance(code, int) and 400 <= code < 600:
        status = code
    param = f" ({problem['param']})" if problem.get("param") else ""
    return str(code or problem.get("type") or ""), message + param, status


def _text(content: Any) -> str:
    """Plain text, or the text parts that some servers send."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _usage(used: dict[str, Any]) -> Usage:
    details = used.get("prompt_tokens_details") or {}
    return Usage(
        prompt=int(used.get("prompt_tokens") or 0),
        completion=int(used.get("completion_tokens") or 0),
        cached=int(details.get("cached_tokens") or 0),
    )
