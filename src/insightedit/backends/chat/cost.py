"""What requests cost: tokens, prices, the ledger of a run, and the budget that stops it. Unknown is None, never 0."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import yaml

from insightedit.backends.chat.failures import BudgetReached
from insightedit.core.errors import ConfigError

SNAPSHOT_CHARS = len("-2024-08-06")
CHARS_PER_TOKEN = 3.5  # English: about 4; a little less, so that a budget errs on the safe side
PATCH, TILE, FRAME, SHORT_SIDE = 32, 512, 2048, 768  # px, OpenAI's guide on images and vision
OPEN_PATCH = 28  # px: Qwen2-VL (Wang et al., 2024, section 2.1) makes one token of 28 x 28


@dataclass(frozen=True)
class Usage:
    """Tokens of one reply, or of several together."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0  # of the prompt: read from the provider's cache

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: Usage) -> Usage:
        prompt, completion = self.prompt + other.prompt, self.completion + other.completion
        return Usage(prompt, completion, self.cached + other.cached)


@dataclass(frozen=True)
class Price:
    """USD per million tokens, and the rule that turns pixels into tokens."""

    input: float
    cached: float
    output: float
    image: dict[str, list[float]] = field(default_factory=dict)
    source: str = "your settings"
    date: str = ""

    def of(self, usage: Usage) -> float:
        """USD."""
        fresh = usage.prompt - usage.cached
        return (fresh * self.input + usage.cached * self.cached + usage.completion * self.output) / 1e6


@lru_cache(maxsize=1)
def prices() -> dict[str, Price]:
    """The table that ships with the package."""
    text = Path(__file__).with_name("prices.yaml").read_text(encoding="utf-8")
    return {model: Price(**{**entry, "date": str(entry["date"])}) for model, entry in yaml.safe_load(text).items()}


def price_of(model: str, usd_in: float | None = None, usd_out: float | None = None) -> Price | None:
    """The price of a model: the user's own, or the table's; None where nobody knows it.

    Raises:
        ConfigError: only one of the two own prices is given.
    """
    if (usd_in is None) != (usd_out is None):
        mend = "Set usd_per_million_in and usd_per_million_out"
        raise ConfigError(f"the price of {model} is half known", "one of its two numbers is missing", mend)
    listed = prices().get(model) or prices().get(model[:-SNAPSHOT_CHARS] if _is_snapshot(model) else "")
    if usd_in is not None and usd_out is not None:
        return Price(usd_in, usd_in, usd_out, listed.image if listed else {})
    return listed


def _is_snapshot(model: str) -> bool:
    tail = model[-SNAPSHOT_CHARS:]
    return len(tail) == SNAPSHOT_CHARS and tail[0] == tail[5] == tail[8] == "-" and tail.replace("-", "").isdigit()


def image_tokens(width: int, height: int, detail: str, rule: dict[str, list[float]]) -> int:
    """Tokens of an image of `width` x `height` px, by the rule of its model; open models by Qwen2-VL's."""
    if "tiles" in rule:
        base, tile = rule["tiles"]
        if detail == "low":
            return int(base)
        shrink = min(1.0, FRAME / max(width, height))
        shrink *= min(1.0, SHORT_SIDE / (min(width, height) * shrink))
        return int(base + tile * math.ceil(width * shrink / TILE) * math.ceil(height * shrink / TILE))
    if "patches" in rule:
        factor, most = rule["patches"]
        return math.ceil(factor * min(most, math.ceil(width / PATCH) * math.ceil(height / PATCH)))
    return math.ceil(width / OPEN_PATCH) * math.ceil(height / OPEN_PATCH)


def estimate(chars: int, images: Sequence[tuple[int, int, str]], max_tokens: int, price: Price | None) -> Usage:
    """The most that one turn can use, before it is asked.

    Args:
        chars: of prompt and schema.
        images: width, height in px and detail of each.
        max_tokens: of the reply.
        price: whose rule for images holds.
    """
    rule = price.image if price else {}
    pixels = sum(image_tokens(width, height, detail, rule) for width, height, detail in images)
    return Usage(prompt=math.ceil(chars / CHARS_PER_TOKEN) + pixels, completion=max_tokens)


class Budget:
    """USD that may be spent; every request reserves the most it could cost before it starts.

    Args:
        usd: the limit; None = none.
    """

    def __init__(self, usd: float | None = None) -> None:
        if usd is not None and not usd >= 0:
            raise ConfigError(f"cannot use a budget of {usd} USD", "it is not 0 or more", "Change --budget-usd")
        self.usd, self.spent, self.reserved = usd, 0.0, 0.0
        self._settled = asyncio.Event()

    async def reserve(self, usd: float | None, model: str) -> float:
        """Set aside what a request could cost; waits while only the reserves of those in flight stand against it.

        Args:
            usd: the estimate; None = the model's price is unknown.
            model: for the error.

        Raises:
            BudgetReached: what is spent and this estimate together exceed the limit.
            ConfigError: there is a limit, but no price.
        """
        if self.usd is None:
            return 0.0
        if usd is None:
            mend = "Set usd_per_million_in and usd_per_million_out (0 for a server of your own)"
            raise ConfigError(f"cannot keep a budget with {model}", "its price is unknown", mend)
        while self.spent + self.reserved + usd > self.usd:
            if self.spent + usd > self.usd:
                spent = f"{self.spent:.4f} of {self.usd:.4f} USD are spent and the next request may cost {usd:.4f}"
                mend = "Raise --budget-usd; the same command continues and pays for nothing twice"
                raise BudgetReached("stopped before the budget was exceeded", spent, mend)
            self._settled.clear()
            await self._settled.wait()
        self.reserved += usd
        return usd

    def settle(self, reserved: float, paid: float) -> None:
        """The request is over: it cost `paid`."""
        self.reserved -= reserved
        self.spent += paid
        self._settled.set()


@dataclass
class Tally:
    """What one step asked and paid."""

    requests: int = 0  # questions answered over the network
    kept: int = 0  # answers that were there already, at no cost
    repaired: int = 0  # needed the repair turn
    retried: int = 0  # attempts that failed and were made again
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    unpriced: int = 0  # replies whose price or tokens nobody knows: `usd` lacks them
    failed: Counter[str] = field(default_factory=Counter)  # reason -> requests that ended so

    def charge(self, usage: Usage | None, usd: float | None) -> None:
        """Add one reply, good or not: it is paid for either way."""
        used = usage or Usage()
        self.tokens_in += used.prompt
        self.tokens_cached += used.cached
        self.tokens_out += used.completion
        self.usd += usd or 0.0
        self.unpriced += usd is None

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(Tally)})


class Ledger:
    """Tallies by step; those of worker processes are merged into the driver's."""

    def __init__(self, steps: dict[str, Tally] | None = None) -> None:
        self.steps: dict[str, Tally] = steps or {}

    def of(self, step: str) -> Tally:
        """The tally of a step, made on first use."""
        return self.steps.setdefault(step, Tally())

    @property
    def total(self) -> Tally:
        return sum(self.steps.values(), Tally())

    def merge(self, other: Ledger) -> Self:
        """Add another ledger to this one."""
        for step, tally in other.steps.items():
            self.steps[step] = self.of(step) + tally
        return self

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values for a report: step -> what it asked and paid."""
        return {
            step: {one.name: getattr(tally, one.name) for one in fields(Tally)} | {"failed": dict(tally.failed)}
            for step, tally in self.steps.items()
        }

    def lines(self) -> list[str]:
        """One line per step, for people."""
        return [f"{step}: {_line(tally)}" for step, tally in self.steps.items()]


def _line(tally: Tally) -> str:
    parts = [f"{tally.requests} asked", f"{tally.kept} kept", f"{tally.tokens_in} + {tally.tokens_out} tokens"]
    parts.append(f"{tally.usd:.4f} USD" + (f" and {tally.unpriced} replies of unknown price" if tally.unpriced else ""))
    parts += [f"{count} {reason}" for reason, count in sorted(tally.failed.items())]
    return ", ".join(parts)
