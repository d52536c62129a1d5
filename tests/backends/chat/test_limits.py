"""Rates, pauses, and the wishes of servers."""

from __future__ import annotations

import asyncio
import email.utils
import time
from random import Random

import pytest

from insightedit.backends.chat.limits import Bucket, Limiter
from insightedit.backends.chat.retry import Patience, pause_s, retry_after_s, span_s


def test_a_bucket_gives_no_more_than_its_rate_over_any_time():
    """Simulated for ten minutes: at most the rate and one full bucket."""
    chance, bucket, now, given = Random(0), Bucket(600, 0.0), 0.0, 0.0
    while now < 600:
        amount = chance.uniform(1, 60)
        now += bucket.wait_s(amount, now)
        bucket.take(amount)
        given += amount
        now += chance.uniform(0, 0.01)
    assert 0.97 * 10 * now < given <= 10 * now + bucket.size + 60


def test_an_amount_above_a_full_bucket_passes_and_is_paid_for_afterwards():
    bucket = Bucket(60, 0.0)  # 1 a second, holds 2
    assert bucket.wait_s(10, 0.0) == 0
    bucket.take(10)
    assert bucket.wait_s(1, 0.0) == pytest.approx(9)


def test_what_was_not_used_is_given_back():
    bucket = Bucket(60, 0.0)
    bucket.take(10)
    bucket.take(-8)
    assert bucket.wait_s(1, 0.0) == pytest.approx(1)


async def timed(limiter: Limiter, count: int, tokens: float = 1, used: float | None = None) -> float:
    started = time.monotonic()

    async def one() -> None:
        async with limiter.slot(tokens) as admission:
            admission.tokens = tokens if used is None else used

    await asyncio.gather(*(one() for _ in range(count)))
    return time.monotonic() - started


def test_requests_per_minute_hold():
    assert asyncio.run(timed(Limiter(64, requests_per_minute=600), 30)) >= (30 - 20) / 10 - 0.01  # 20 at once, 10 a s


def test_tokens_per_minute_hold_and_the_real_use_counts():
    async def both() -> tuple[float, float]:
        whole = await timed(Limiter(1, tokens_per_minute=60_000), 6, tokens=600)
        spared = await timed(Limiter(1, tokens_per_minute=60_000), 6, tokens=600, used=60)
        return whole, spared

    whole, spared = asyncio.run(both())
    assert whole >= (6 * 600 - 2000) / 1000 - 0.01
    assert spared < 0.5 * whole


def test_whoever_came_first_goes_first():
    async def order() -> list[int]:
        limiter, came = Limiter(2, requests_per_minute=6000), []

        async def one(number: int) -> None:
            async with limiter.slot(1):
                came.append(number)

        await asyncio.gather(*(one(number) for number in range(300)))
        return came

    assert asyncio.run(order()) == list(range(300))


def test_a_cancelled_request_leaves_its_place():
    async def leave() -> None:
        limiter = Limiter(1)
        async with limiter.slot(1):
            waiting = asyncio.create_task(timed(limiter, 1))
            await asyncio.sleep(0.01)
            waiting.cancel()
        assert await asyncio.wait_for(timed(limiter, 3), 1) < 1

    asyncio.run(leave())


def test_no_limit_costs_no_time():
    assert asyncio.run(timed(Limiter(64), 5000)) < 3


NOW = 1_700_000_000.0
WISHES = [
    ({"Retry-After": "7"}, 7.0),
    ({"Retry-After": "0.5"}, 0.5),
    ({"Retry-After": email.utils.formatdate(NOW + 30, usegmt=True)}, 30.0),
    ({"Retry-After": email.utils.formatdate(NOW - 30, usegmt=True)}, 0.0),
    ({"Retry-After": "soon"}, None),
    ({"Retry-After": "-5"}, None),
    ({"Retry-After": "inf"}, None),
    ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
    ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "17ms"}, 0.017),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "seconds"), WISHES, ids=[str(headers) for headers, _ in WISHES])
def test_a_servers_wish_is_read(headers, seconds):
    assert retry_after_s(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_a_span_that_is_none_is_none():
    assert span_s("1h2m3.5s") == 3723.5
    assert [span_s(text) for text in ("", "5", "5 bananas", "m5")] == [None] * 4


def test_pauses_grow_are_spread_and_never_shorter_than_asked():
    chance = Random(0)
    draws = [[pause_s(attempt, None, 1, 60, chance) for _ in range(400)] for attempt in range(10)]
    for attempt, pauses in enumerate(draws):
        ceiling = min(60, 2**attempt)
        assert 0 <= min(pauses) < 0.1 * ceiling and 0.9 * ceiling < max(pauses) <= ceiling
    assert all(5 <= pause_s(0, 5, 1, 60, chance) <= 6 for _ in range(100))


def test_patience_ends_with_the_attempts_and_with_the_deadline():
    patience = Patience(deadline_s=100, timeout_s=10, attempts=3, first_s=0.1, longest_s=1)
    assert patience.begin() == 10
    assert [patience.after(None) is None for _ in range(3)] == [False, False, True]
    patience = Patience(deadline_s=5, timeout_s=10, attempts=3, first_s=0.1, longest_s=1)
    assert patience.begin() == pytest.approx(5, abs=0.1) and patience.after(6) is None
