"""Seeds from names: (run seed, id, step) -> seed, the same on every machine and in every order."""

from __future__ import annotations

import hashlib


def derive(run_seed: int, *parts: object) -> int:
    """A seed in [0, 2**31) that depends on nothing but its arguments.

    Args:
        run_seed: the seed of the run, from the configuration.
        parts: whatever names the draw: ids, a step, an attempt.
    """
    text = "\x1f".join(str(part) for part in (run_seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF
