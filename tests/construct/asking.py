"""A photograph, a run of one asking step over it, and what came of it: for the tests of steps that ask."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from chat_server import ChatServer

from insightedit.construct.ask import ChatSection
from insightedit.construct.work import Work
from insightedit.core.image import encode_jpeg
from insightedit.core.record import Photo, Record, Reject
from insightedit.flow.local import Line, Shard, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import Step

WIDTH, HEIGHT = 320, 240


def photo(folder: Path, number: int = 0) -> Photo:
    """A photograph of noise and the file it speaks of."""
    pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    data = encode_jpeg(np.kron(pixels, np.ones((8, 8, 1), np.uint8)))
    sha256, uri = hashlib.sha256(data).hexdigest(), f"{number}.jpg"
    (folder / uri).write_bytes(data)
    size = {"width": WIDTH, "height": HEIGHT, "orig_width": WIDTH, "orig_height": HEIGHT}
    return Photo(photo_id=sha256[:16], uri=uri, sha256=sha256, phash=0, cluster=sha256[:16], **size)


def section(server: ChatServer, **changes: Any) -> ChatSection:
    """A chat that knows no patience."""
    quick = {"first_pause_s": 0.01, "longest_pause_s": 0.02, "timeout_s": 5.0, "deadline_s": 5.0, "attempts": 2}
    return ChatSection(**{"base_url": server.url, "model": "gpt-4o", **quick, **changes})


def drive(step: Step[Any, Any], works: Sequence[Work], folder: Path) -> tuple[dict[str, Record], list[Reject]]:
    """Run a step over a shard of works as a build does: what it found by photograph, and what left as a whole."""
    line, shards = Line([step], "source", Manifest(folder)), [Shard(0, works)]
    with Pool(0, 30) as pool:
        asyncio.run(run(line, shards, pool, Silent()))
    ((items, rejects),) = line.results(shards)
    return {item.key: item.values[step.name] for item in items}, rejects
