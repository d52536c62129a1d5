"""Draws of one example: each named, each a function of (seed, what it is for) only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from insightedit.core.seed import derive

T = TypeVar("T")


def number(below: int, seed: int, *parts: object) -> int:
    """A whole number in 0 .. below - 1."""
    return derive(seed, *parts) % below


def share(seed: int, *parts: object) -> float:
    """A number in [0, 1)."""
    return derive(seed, *parts) / 2**31


def one_of(items: Sequence[T], seed: int, *parts: object) -> T:
    """One of `items`, of which there is at least one."""
    return items[number(len(items), seed, *parts)]
