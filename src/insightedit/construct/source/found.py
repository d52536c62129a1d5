"""A photograph that was found but not yet opened, and how to get at its bytes."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from insightedit.core.errors import InputError, Unfit
from insightedit.core.files import inside
from insightedit.core.record import Note, Photo, Record


class Facts(Record):
    """What the source says of a photograph besides its pixels."""

    author: str = ""
    licence: str = ""
    licence_url: str = ""
    source_url: str = ""
    source_dataset: str = ""
    caption: str = ""
    note_width: int = 0
    note_height: int = 0
    notes: list[Note] = []


@dataclass(frozen=True)
class Found:
    """A candidate: its place below the root, its size in bytes where known, and what the source says of it.

    The place is "folder/name.jpg", "shard.tar#member@offset:bytes" or "shard.parquet#row_group:row:column".
    """

    uri: str
    bytes: int
    facts: Facts
    name: str = ""  # what a parquet row calls it, for joining annotations; else its place says it
    photo: Photo | None = None  # once scanned

    @property
    def key(self) -> str:
        return self.uri

    def with_value(self, step: str, found: Record) -> Found:
        """The candidate with its photograph."""
        if not isinstance(found, Photo):
            raise TypeError(f"step '{step}' left a {type(found).__name__}, not a Photo")
        return replace(self, photo=found)


def read_bytes(root: Path, uri: str, max_bytes: int) -> bytes:
    """The encoded photograph at `uri` below `root`.

    Raises:
        Unfit: missing_file, outside_root, unreadable, or too_many_bytes (known before anything is read).
    """
    place, member = split_uri(uri)
    try:
        path = inside(root, place)
        if member and place.lower().endswith(".parquet"):
            return _from_parquet(path, member)
        start, size = _extent(path, member)
        if size > max_bytes:
            raise Unfit("too_many_bytes", str(size), f"at most {max_bytes}")
        with open(path, "rb") as handle:
            handle.seek(start)
            return handle.read(size)
    except InputError as error:
        raise Unfit("outside_root", uri, f"a file inside {root}, not a link out of it") from error
    except FileNotFoundError as error:
        raise Unfit("missing_file", uri, "the file that was listed") from error
    except (OSError, pa.ArrowException) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)[:200]
        raise Unfit("unreadable", why, "a readable file") from error


def split_uri(uri: str) -> tuple[str, str]:
    """The file's place below the root, and the part inside it ("" for a photograph that is a file of its own)."""
    shard = re.match(r"(.+?\.(?:tar|parquet))#(.+)", uri, re.IGNORECASE | re.DOTALL)
    return (shard[1], shard[2]) if shard else (uri, "")


def text_of(value: Any) -> str:
    """What a foreign field says, on one line; "" unless it is text (a missing value often comes as NaN)."""
    return " ".join(value.encode("utf-8", "replace").decode().split())[:500] if isinstance(value, str) else ""


def _extent(path: Path, member: str) -> tuple[int, int]:
    """Offset and size in bytes: of a whole file, or of a member written as name@offset:bytes."""
    if not member:
        return 0, path.stat().st_size
    start, _, size = member.rpartition("@")[2].partition(":")
    return int(start), int(size)


def _from_parquet(path: Path, member: str) -> bytes:
    group, row, column = member.split(":", 2)
    value: Any = _row_group(path, int(group), column)[int(row)].as_py()
    data = value["bytes"] if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise Unfit("missing_file", f"no image bytes in {path.name}", "an image stored in the row")
    return data


@functools.lru_cache(maxsize=1)  # a shard's photos lie together: the last row group serves most of them
def _row_group(path: Path, group: int, column: str) -> Any:
    return pq.ParquetFile(path).read_row_group(group, columns=[column]).column(0)
