"""How hard an endpoint may be asked: requests in flight, requests and tokens per minute, pauses it demanded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BURST_S = 2.0  # a full bucket holds this much of the rate: servers count in windows of seconds, not of minutes


class Bucket:
    """A token bucket that may run into debt: one large request is let through and paid for by the pause after it.

    Args:
        per_minute: the rate; None = no limit.
        now: seconds on a clock that never goes back.
    """

    def __init__(self, per_minute: float | None, now: float) -> None:
        self.rate = per_minute / 60 if per_minute else None  # per second
        self.size = max(1.0, self.rate * BURST_S) if self.rate else 0.0
        self.level, self.seen = self.size, now

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` (or a full bucket, where that is less) is there."""
        if self.rate is None:
            return 0.0
        self.level = min(self.size, self.level + (now - self.seen) * self.rate)
        self.seen = now
        return max(0.0, (min(amount, self.size) - self.level) / self.rate)

    def take(self, amount: float) -> None:
        """Spend; a negative amount gives back what was not used."""
        self.level -= amount


class Admission:
    """One request that was let in; `tokens` may be corrected to what was really used."""

    def __init__(self, tokens: float) -> None:
        self.tokens = tokens


class Limiter:
    """One for all requests to an endpoint; first come, first served.

    Args:
        concurrency: requests in flight.
        requests_per_minute, tokens_per_minute: None = no limit.
    """

    def __init__(
        self, concurrency: int, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        now = time.monotonic()
        self.requests, self.tokens = Bucket(requests_per_minute, now), Bucket(tokens_per_minute, now)
        self._room, self._turn = asyncio.Semaphore(concurrency), asyncio.Lock()
        self._closed_until = 0.0

    def pause(self, seconds: float) -> None:
        """Let nobody in for so long: the server said so to one, and means all."""
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)

    @asynccontextmanager
    async def slot(self, tokens: float) -> AsyncIterator[Admission]:
        """Wait for room, hold it, and settle what was used.

        Args:
            tokens: the estimate for prompt and reply together.
        """
        async with self._room:
            await self._rates(tokens)
            admission = Admission(tokens)
            try:
                yield admission
            finally:
                self.tokens.take(admission.tokens - tokens)

    async def _rates(self, tokens: float) -> None:
        async with self._turn:  # held while waiting: those behind keep their order
            while (seconds := self._wait_s(tokens)) > 0:
                await asyncio.sleep(seconds)
            self.requests.take(1)
            self.tokens.take(tokens)

    def _wait_s(self, tokens: float) -> float:
        now = time.monotonic()
        return max(self._closed_until - now, self.requests.wait_s(1, now), self.tokens.wait_s(tokens, now))
