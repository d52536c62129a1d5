"""The key goes to the endpoint and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import subprocess
import sys
import traceback

import pytest
from chat_server import ChatServer, Turn, limited

from insightedit.backends.chat.client import Chat
from insightedit.backends.chat.failures import ChatFailure, Unreachable
from insightedit.backends.chat.replies import Caption
from insightedit.backends.chat.request import ChatRequest
from insightedit.backends.chat.settings import ChatKnobs, need_chat, resolve
from insightedit.core.errors import ConfigError

KEY = "sk-secret-0123456789"
ENVIRONMENT = ("INSIGHTEDIT_BASE_URL", "INSIGHTEDIT_MODEL", "INSIGHTEDIT_API_KEY", "OPENAI_API_KEY", "OTHER_KEY")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def everything(error: BaseException) -> str:
    """All that could be printed of an error: itself, its chain, their arguments and fields."""
    text, seen = "".join(traceback.format_exception(error)), set()
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        text += f"{one!r} {one} {one.args!r} {vars(one)!r}"
        chain += [one.__cause__, one.__context__]
    return text


ECHO = {
    "wrong key, echoed by the server": Turn(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key"),
    "echoed as text": Turn(400, raw=f"bad header Authorization: Bearer {KEY}".encode()),
    "echoed in a 500": Turn(500, f"trace: {KEY}"),
    "echoed in the reply": Turn(text=f"I was given {KEY}"),
    "refusal": Turn(text=None, refusal=f"I cannot use {KEY}"),
    "broken protocol": Turn(raw=f"junk {KEY}".encode()),
    "reset": Turn(reset=True),
    "slow": Turn(delay_s=30),
    "a broken header": Turn(raw=b"{}", headers={"Content-Encoding": "gzip"}),
    "redirect": Turn(302, raw=b"", headers={"Location": f"http://127.0.0.1:1/{KEY}"}),
    "429": limited(),
}


@pytest.mark.parametrize("turn", ECHO.values(), ids=ECHO.keys())
def test_the_key_is_in_no_error_log_or_repr(turn, monkeypatch, caplog):
    monkeypatch.setenv("INSIGHTEDIT_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    timeout_s = 0.3 if turn.delay_s else 10

    async def ask(server: ChatServer) -> tuple[Chat, ChatFailure]:
        knobs = ChatKnobs(
            base_url=server.url,
            model="gpt-4o",
            timeout_s=timeout_s,
            attempts=2,
            first_pause_s=0.01,
            longest_pause_s=0.01,
        )
        async with Chat(knobs) as chat:
            with pytest.raises(ChatFailure) as caught:
                await chat.ask(ChatRequest("gpt-4o", "", "x", Caption))
            return chat, caught.value

    with ChatServer(script=[turn, turn]) as server:
        chat, failure = asyncio.run(ask(server))
    assert server.seen[0].headers["Authorization"] == f"Bearer {KEY}"
    shown = everything(failure) + caplog.text + repr(chat) + repr(chat.target) + str(vars(chat)) + repr(chat._endpoint)
    shown += str(chat.ledger.as_dict()) + chat.knobs.model_dump_json()
    assert KEY not in shown, re.search(f".{{60}}{KEY}", shown, re.DOTALL)
    again = pickle.loads(pickle.dumps(failure))  # noqa: S301
    assert (type(again), again.reply, str(again)) == (type(failure), failure.reply, str(failure))


def test_what_is_no_http_at_all_does_not_show_the_key(monkeypatch):
    """aiohttp's error for this holds the headers of the request: it must not be in the chain of ours."""
    monkeypatch.setenv("INSIGHTEDIT_API_KEY", KEY)

    async def junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example.org ready\r\n\r\n")
        writer.close()

    async def ask() -> ChatFailure:
        async with await asyncio.start_server(junk, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            async with Chat(ChatKnobs(base_url=url, model="gpt-4o", attempts=1)) as chat:
                with pytest.raises(Unreachable) as caught:
                    await chat.ask(ChatRequest("gpt-4o", "", "x", Caption))
        return caught.value

    assert KEY not in everything(asyncio.run(ask()))


def test_the_key_is_no_part_of_a_request():
    request = ChatRequest("gpt-4o", "", "x", Caption)
    assert KEY.encode() not in request.body()


def test_openais_key_is_not_sent_to_others(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("INSIGHTEDIT_BASE_URL", "https://example.org/v1")
    assert resolve(ChatKnobs(model="m")).key.get_secret_value() == ""
    assert resolve(ChatKnobs(model="m", key_env="OPENAI_API_KEY")).key.get_secret_value() == KEY
    monkeypatch.delenv("INSIGHTEDIT_BASE_URL")
    target = resolve(ChatKnobs(model="m"))
    assert target.key.get_secret_value() == KEY and target.shown == "https://api.openai.com/v1"


def test_redirects_are_not_followed(monkeypatch):
    monkeypatch.setenv("INSIGHTEDIT_API_KEY", KEY)

    async def ask(server: ChatServer) -> None:
        async with Chat(ChatKnobs(base_url=server.url, model="gpt-4o")) as chat:
            with pytest.raises(ChatFailure, match="redirect"):
                await chat.ask(ChatRequest("gpt-4o", "", "x", Caption))

    with ChatServer() as thief, ChatServer(script=[]) as server:
        server.script.append(Turn(307, raw=b"", headers={"Location": f"{thief.url}/chat/completions"}))
        asyncio.run(ask(server))
        assert server.seen and not thief.seen


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/v1", "host:80/v1", "http://", "http://h:x/v1", "//h"]
)
def test_only_http_addresses_are_taken(url):
    with pytest.raises(ConfigError, match="http"):
        resolve(ChatKnobs(base_url=url, model="m"))


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ConfigError) as caught:
        resolve(ChatKnobs(base_url=f"https://me:{KEY}@example.org/v1", model="m"))
    assert KEY not in everything(caught.value)


def test_a_secret_in_the_query_is_sent_and_not_shown():
    target = resolve(ChatKnobs(base_url=f"https://example.org/v1/?api-version=1&k={KEY}", model="m"))
    assert target.shown == "https://example.org/v1" and KEY not in repr(target)
    assert target.url("chat/completions") == f"https://example.org/v1/chat/completions?api-version=1&k={KEY}"


@pytest.mark.parametrize("key", [f"{KEY}\r\nX-Evil: 1", f"{KEY} x", f"{KEY}é"])
def test_a_malformed_key_is_refused_and_not_repeated(key, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", key)
    with pytest.raises(ConfigError) as caught:
        resolve(ChatKnobs(base_url="https://example.org/v1", model="m", key_env="OTHER_KEY"))
    assert KEY not in everything(caught.value)


def test_a_key_over_plain_http_warns_unless_it_stays_on_this_machine(monkeypatch, caplog):
    monkeypatch.setenv("INSIGHTEDIT_API_KEY", KEY)
    for url, warns in [
        ("http://10.0.0.7:8000/v1", True),
        ("http://example.org/v1", True),
        ("https://example.org/v1", False),
        ("http://127.0.0.1:8000/v1", False),
        ("http://localhost/v1", False),
        ("http://[::1]:8000/v1", False),
    ]:
        caplog.clear()
        resolve(ChatKnobs(base_url=url, model="m"))
        assert ("not encrypted" in caplog.text) == warns, url
        assert KEY not in caplog.text


def test_missing_packages_are_named(monkeypatch):
    need_chat()
    monkeypatch.setattr("insightedit.backends.chat.settings.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"insightedit\[chat\]"):
        need_chat()


def test_settings_failures_and_replies_need_no_further_packages():
    """Presets and steps name them where the extra is not installed."""
    code = "import sys; sys.modules.update(aiohttp=None, orjson=None)\n"
    code += "".join(
        f"import insightedit.backends.chat.{name}\n" for name in ("settings", "failures", "replies", "cost")
    )
    subprocess.run([sys.executable, "-c", code + "import insightedit.backends.chat.prompt"], check=True)


def test_missing_names_are_asked_for():
    with pytest.raises(ConfigError, match="INSIGHTEDIT_MODEL"):
        resolve(ChatKnobs(base_url="http://localhost/v1"))
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        resolve(ChatKnobs(model="gpt-4o"))
