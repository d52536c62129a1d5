"""Many small records in one piece of memory.

A list of a million dicts is copied page by page into every worker, because reading an object writes its reference
count. One `bytes` is shared by all forks, and is pickled at the speed of a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np


class Packed:
    """JSON-able records by number."""

    def __init__(self, records: Iterable[Any]) -> None:
        pieces = [json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() for record in records]
        self._ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)  # (N,)
        self._bytes = b"".join(pieces)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = int(self._ends[index - 1]) if index else 0
        return json.loads(self._bytes[start : int(self._ends[index])])
