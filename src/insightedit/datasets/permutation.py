"""A seeded order of 0 .. size - 1 that is computed, not stored: 12 million captions need no array of 12 million."""

from __future__ import annotations

ROUNDS = 6
_MASK = (1 << 64) - 1


def permuted(position: int, size: int, seed: int) -> int:
    """Which index stands at `position` of the order that `seed` names.

    A balanced Feistel network over the next even power of two (Luby and Rackoff, 1988), walked on until it falls below
    `size` (cycle walking, Black and Rogaway, 2002): a bijection for every size and seed, below four steps on average.

    Raises:
        ValueError: the position is outside 0 .. size - 1.
    """
    if not 0 <= position < size:
        raise ValueError(f"position {position} of {size}")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    while True:
        position = _feistel(position, half, seed)
        if position < size:
            return position


def _feistel(value: int, half: int, seed: int) -> int:
    mask = (1 << half) - 1
    left, right = value >> half, value & mask
    for number in range(ROUNDS):
        left, right = right, left ^ (mix(right + (seed << 32) + (number << 56)) & mask)
    return left << half | right


def mix(value: int) -> int:
    """64 bits scrambled (the finisher of splitmix64, Steele et al., 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31
