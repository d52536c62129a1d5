"""Where the endpoint is, which model answers, and how hard it may be asked."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr

from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError

log = logging.getLogger(__name__)

OPENAI = "https://api.openai.com/v1"
BASE_URL_ENV, MODEL_ENV, KEY_ENV, OPENAI_KEY_ENV = (
    "INSIGHTEDIT_BASE_URL",
    "INSIGHTEDIT_MODEL",
    "INSIGHTEDIT_API_KEY",
    "OPENAI_API_KEY",
)
Format = Literal["json_schema", "json_object", "plain"]


class ChatKnobs(Knobs):
    """Settings of one endpoint; the key itself is never one of them.

    Only `model`, `temperature` and `extra` decide a reply; the others say where to ask, how hard, and at what price.
    """

    base_url: str = ""  # "" = $INSIGHTEDIT_BASE_URL, or else OpenAI's
    model: str = ""  # "" = $INSIGHTEDIT_MODEL
    key_env: str = ""  # name of the variable with the key; "" = OPENAI_API_KEY at OpenAI, else INSIGHTEDIT_API_KEY
    reply_format: Format = "json_schema"  # what to try first; a server that lacks it is asked for less
    concurrency: int = Field(64, ge=1, le=4096)  # requests in flight
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    connect_s: float = Field(15, gt=0)
    timeout_s: float = Field(120, gt=0)  # one attempt, whole
    deadline_s: float = Field(600, gt=0)  # all attempts of one turn and the pauses between them, from the first's start
    attempts: int = Field(8, ge=1)
    first_pause_s: float = Field(1, gt=0)
    longest_pause_s: float = Field(60, gt=0)
    give_up_after: int = Field(16, ge=1)  # requests given up in a row before the endpoint counts as down
    max_reply_bytes: int = Field(4_000_000, ge=1000)
    temperature: float | None = 0.0  # None = leave it to the server: some reasoning models accept nothing else
    extra: dict[str, Any] = {}  # further fields of every body, such as vLLM's chat_template_kwargs
    usd_per_million_in: float | None = Field(None, ge=0)  # own prices, for a model that prices.yaml does not know
    usd_per_million_out: float | None = Field(None, ge=0)


def need_chat() -> None:
    """See that the packages for asking over the network are there; call it before importing `client`.

    Raises:
        ConfigError: they are not; says how to install them.
    """
    missing = [name for name in ("aiohttp", "orjson") if find_spec(name) is None]
    if missing:
        why, mend = f"{missing[0]} is not installed", "Install them: pip install 'insightedit[chat]'"
        raise ConfigError("asking a language model needs more packages", why, mend)


@dataclass(frozen=True)
class Target:
    """An endpoint as resolved from knobs and environment. `shown` and repr hold nothing secret."""

    base: SplitResult
    model: str
    key: SecretStr
    key_env: str

    @property
    def shown(self) -> str:
        """The address for messages: without query, which may hold a secret."""
        return self.base._replace(query="").geturl()

    def url(self, path: str) -> str:
        """An address below the base, with the base's query (Azure's api-version)."""
        return self.base._replace(path=f"{self.base.path}/{path}").geturl()

    def __repr__(self) -> str:
        return f"Target({self.shown!r}, {self.model!r}, key from {self.key_env})"


def resolve(knobs: ChatKnobs) -> Target:
    """Knobs + environment -> endpoint.

    OPENAI_API_KEY goes to OpenAI only, unless `key_env` names it: a key must not reach a server it was not made for.

    Raises:
        ConfigError: no model, an address that is not http(s), one with a password in it, a malformed or missing key.
    """
    base = _address(knobs.base_url or os.environ.get(BASE_URL_ENV, "") or OPENAI)
    model = knobs.model or os.environ.get(MODEL_ENV, "")
    if not model:
        raise ConfigError("no chat model is named", "neither the preset nor the environment does", f"Set {MODEL_ENV}")
    at_openai = base.hostname == urlsplit(OPENAI).hostname
    key_env = knobs.key_env or (OPENAI_KEY_ENV if at_openai else KEY_ENV)
    key = os.environ.get(key_env, "").strip()
    if at_openai and not key:
        raise ConfigError(f"no key for {base.hostname}", f"{key_env} is not set", f"Set {key_env} or {BASE_URL_ENV}")
    if not all("!" <= char <= "~" for char in key):
        raise ConfigError(f"the key in {key_env} is malformed", "it has blanks or odd characters", "Set it again")
    target = Target(base, model, SecretStr(key), key_env)
    if key and base.scheme == "http" and not _loopback(base.hostname or ""):
        log.warning("%s is not encrypted: the key in %s can be read on the way. Use https.", target.shown, key_env)
    return target


def _address(text: str) -> SplitResult:
    what = "cannot use the address of the chat endpoint"
    try:
        base = urlsplit(text.strip())
        fit = base.scheme in ("http", "https") and bool(base.hostname) and base.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        fit = False
    if not fit:
        raise ConfigError(what, "it is not http:// or https:// and a host", f"Mend base_url or {BASE_URL_ENV}")
    if base.username or base.password:
        raise ConfigError(what, "it holds a password", f"Leave it out and set {KEY_ENV}")
    return base._replace(path=base.path.rstrip("/"), fragment="")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, not an address
        return False
