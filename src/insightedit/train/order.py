"""Which samples a rank takes: places in one endless sequence, so that no draw is made twice and a resumed run goes on.

The reference ignored the index and drew from a generator that every rank had seeded alike: all ranks saw the same data.
"""

from __future__ import annotations

from insightedit.core.errors import ConfigError


def places(update: int, rank: int, ranks: int, batch: int) -> range:
    """Places of the `batch` samples of one rank at one update (all counted from 0).

    They name the samples everywhere: the mixture draws by them, and `model.editor.draw` seeds noise and timesteps with
    them. Any number of ranks with the same global batch sees the same samples at an update.

    Raises:
        ConfigError: there is no such rank.
    """
    if not 0 <= rank < ranks:
        raise ConfigError(f"no rank {rank} of {ranks}", "ranks count from 0", f"Use 0 to {ranks - 1}")
    start = (update * ranks + rank) * batch
    return range(start, start + batch)
