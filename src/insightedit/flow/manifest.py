"""What is done: one file and one small commit record per shard and step, under names that carry the recipe.

    shards/00012/paint-1f0c....parquet      the step's column group, one row per item kept
    shards/00012/paint-1f0c....done.json    the commit point, written last: counts, keys, rejects, CPU seconds

A file counts only through its commit record. Names carry the fingerprint of the step's knobs and of all before it, so a
changed threshold finds nothing done for that step, and going back finds the old results still there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq

from insightedit.core.errors import InputError
from insightedit.core.files import TEMPORARY, atomic, read_json, write_json
from insightedit.core.record import Record, Reject, arrow_schema, from_table, to_table

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Done:
    """One step on one shard, finished."""

    keys: list[str]  # of the items kept, in the order of the rows
    rejects: list[Reject]  # of the items that left here as a whole
    came_in: int
    cpu_s: float
    bytes: int
    wall_s: float = 0.0  # from the first item sent to the last result; waiting for workers and answers counts


class Manifest:
    """The folder of column groups of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, shard: int, step: str, mark: str, suffix: str) -> Path:
        return self.root / f"{shard:05d}" / f"{step}-{mark}{suffix}"

    def done(self, shard: int, step: str, mark: str) -> Done | None:
        """The commit record, or None if this step of this recipe has not been finished on this shard."""
        record, data = self._path(shard, step, mark, ".done.json"), self._path(shard, step, mark, ".parquet")
        if not record.is_file() or not data.is_file():
            return None
        try:
            values = read_json(record)
            done = Done(**{**values, "rejects": [Reject(**item) for item in values["rejects"]]})
        except (InputError, TypeError, KeyError, ValueError):
            return None  # a commit record that cannot be read commits nothing
        return done if done.bytes == data.stat().st_size else None  # somebody touched the file: do it again

    def commit(
        self,
        shard: int,
        step: str,
        mark: str,
        found: Sequence[tuple[str, Record]],
        rejects: Sequence[Reject],
        kind: type[Record],
        cpu_s: float,
        wall_s: float = 0.0,
    ) -> None:
        """Write the column group, then the commit record. `found` pairs each kept item's key with its value."""
        path = self._path(shard, step, mark, ".parquet")
        with atomic(path) as unfinished:
            table = to_table([value for _, value in found], kind)
            pq.write_table(table, unfinished, compression="zstd", row_group_size=64)
        done = {
            "keys": [key for key, _ in found],
            "rejects": [reject.model_dump() for reject in rejects],
            "came_in": len(found) + len(rejects),
            "cpu_s": round(cpu_s, 4),
            "bytes": path.stat().st_size,
            "wall_s": round(wall_s, 4),
        }
        write_json(self._path(shard, step, mark, ".done.json"), done)

    def read(self, shard: int, step: str, mark: str, kind: type[R], heavy: bool) -> list[R]:
        """The values of a finished step, in the order of its `keys`; without the heavy fields unless asked for."""
        skip = frozenset() if heavy else kind.heavy
        columns = arrow_schema(kind, skip).names
        return from_table(pq.read_table(self._path(shard, step, mark, ".parquet"), columns=columns), kind)

    def sweep(self) -> None:
        """Remove what a killed run left unfinished."""
        for leftover in self.root.glob(f"*/*{TEMPORARY}"):
            leftover.unlink()
