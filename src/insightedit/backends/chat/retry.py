"""When to ask again: full jitter, the server's own wishes, and an end.

Full jitter: uniform between nothing and a ceiling that doubles (Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015), so that many clients that failed together do not come back together.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from datetime import UTC
from random import Random

SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")  # "6m0s", "17ms"
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
CHANCE = Random()  # pauses need no seed: nothing in a dataset depends on them


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """How long a server asks to be left alone, in seconds; None where it does not say.

    Read are retry-after-ms, Retry-After (seconds or a date, RFC 9110 section 10.2.3), and x-ratelimit-reset-requests
    and -tokens of those whose -remaining is 0 (OpenAI).

    Args:
        headers: of the answer, keys in any case.
        now: Unix time, for the date form.
    """
    if (millis := _number(headers.get("retry-after-ms"))) is not None:
        return millis / 1000
    if wish := headers.get("Retry-After"):
        seconds = _number(wish)
        return seconds if seconds is not None else _until(wish, time.time() if now is None else now)
    waits = [
        span_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:  # a date, or nonsense
        return None
    return value if value is not None and 0 <= value < float("inf") else None


def _until(date: str, now: float) -> float | None:
    try:
        then = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, then.timestamp() - now)


def span_s(text: str) -> float | None:
    """ "1m30.5s" -> 90.5; None where it is no such span."""
    found = SPAN.findall(text)
    if not found or SPAN.sub("", text.strip()):
        return None
    return sum(float(number) * UNIT_S[unit] for number, unit in found)


def pause_s(attempt: int, asked_s: float | None, first_s: float, longest_s: float, chance: Random = CHANCE) -> float:
    """Seconds to wait after failed attempt number `attempt` (0, 1, ...); never less than the server asked for."""
    ceiling = min(longest_s, first_s * 2.0 ** min(attempt, 30))
    return (asked_s + chance.uniform(0, first_s)) if asked_s is not None else chance.uniform(0, ceiling)


class Patience:
    """The clock of one turn: how long an attempt may take, how long to pause, and when to give up.

    Args:
        deadline_s: for all attempts and pauses, from `begin` on.
        timeout_s: for one attempt.
        attempts: how many.
        first_s, longest_s: of the pauses; see `pause_s`.
    """

    def __init__(self, deadline_s: float, timeout_s: float, attempts: int, first_s: float, longest_s: float) -> None:
        self.deadline_s, self.timeout_s, self.attempts = deadline_s, timeout_s, attempts
        self.first_s, self.longest_s = first_s, longest_s
        self.failed = 0
        self._began: float | None = None

    @property
    def passed_s(self) -> float:
        """Seconds since the first attempt began; waiting for one's own limits before it does not count."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def begin(self) -> float:
        """An attempt begins: the seconds that it may take."""
        self._began = time.monotonic() if self._began is None else self._began
        return max(0.01, min(self.timeout_s, self.deadline_s - self.passed_s))

    def after(self, asked_s: float | None) -> float | None:
        """An attempt failed: seconds to wait before the next, or None where there is no time or attempt left."""
        self.failed += 1
        pause = pause_s(self.failed - 1, asked_s, self.first_s, self.longest_s)
        over = self.failed >= self.attempts or self.passed_s + pause >= self.deadline_s
        return None if over else pause
