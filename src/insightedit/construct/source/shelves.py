"""Listing: every photograph below a path, in a fixed order, without opening it.

Folders are walked; `.tar` files are webdataset shards and `.parquet` files image tables (both as img2dataset writes
them, parquet also as `datasets` does). A parquet file beside a tar of the same name is that shard's metadata.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from insightedit.construct.source.found import Facts, Found, text_of
from insightedit.core.errors import InputError
from insightedit.core.image import SUFFIXES
from insightedit.core.record import Reject

IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "bytes")
MAX_SIDECAR = 1_000_000  # bytes of a .json or .txt beside an image; more is not metadata


def list_photos(path: Path) -> tuple[Path, Iterator[Found | Reject]]:
    """The root that uris are relative to, and what lies below `path` (a folder, a shard, or one image).

    Raises:
        InputError: the path does not exist.
    """
    if path.is_dir():
        return path, _walk(path)
    if path.is_file():
        return path.parent, iter(_one(path.parent, path))
    raise InputError(f"no photographs at {path}", "the path does not exist", "Give a folder, a .tar or a .parquet")


def _walk(root: Path) -> Iterator[Found | Reject]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield from _one(root, Path(folder) / name)


def _one(root: Path, path: Path) -> Iterable[Found | Reject]:
    uri, suffix = path.relative_to(root).as_posix(), path.suffix.lower()
    printable = uri.encode("utf-8", "replace").decode()
    if printable != uri and suffix in SUFFIXES | {".tar", ".parquet"}:  # no table and no JSON can hold such a name
        return [Reject(step="source", reason="name_not_utf8", uri=printable, seen=printable, wanted="a UTF-8 name")]
    if suffix in SUFFIXES:
        return [_file(path, uri)]
    if suffix == ".tar":
        return _tar(path, uri)
    if suffix == ".parquet" and not path.with_suffix(".tar").exists():
        return _parquet(path, uri)
    return []  # text, metadata, anything else that is not a photograph


def _file(path: Path, uri: str) -> Found | Reject:
    try:
        return Found(uri, path.stat().st_size, Facts())
    except OSError as error:  # a dangling link, or gone since it was listed
        return Reject(step="source", reason="unreadable", uri=uri, seen=error.strerror or "", wanted="a readable file")


def _tar(path: Path, uri: str) -> Iterator[Found | Reject]:
    """Samples of a webdataset shard: members that share a name up to the first dot of their base name."""
    key, image, facts = "", None, Facts()
    try:
        with tarfile.open(path, "r:", errors="replace") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                stem, suffix = _split(member.name)
                if stem != key:
                    if image:
                        yield Found(image[0], image[1], facts)
                    key, image, facts = stem, None, Facts()
                if suffix in SUFFIXES:
                    image = (f"{uri}#{member.name}@{member.offset_data}:{member.size}", member.size)
                elif suffix in (".json", ".txt"):
                    facts = _merge(facts, suffix, _small(tar, member))
            if image:
                yield Found(image[0], image[1], facts)
    except (tarfile.TarError, OSError) as error:
        if image:
            yield Found(image[0], image[1], facts)
        yield Reject(
            step="source", reason="unreadable_shard", uri=uri, seen=str(error)[:200], wanted="an uncompressed tar"
        )


def _split(name: str) -> tuple[str, str]:
    folder, _, base = name.rpartition("/")
    stem, dot, rest = base.partition(".")
    return f"{folder}/{stem}", f"{dot}{rest}".lower()


def _small(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    handle = tar.extractfile(member) if member.size <= MAX_SIDECAR else None
    return handle.read() if handle else b""


def _merge(facts: Facts, suffix: str, data: bytes) -> Facts:
    text = data.decode("utf-8", "replace").strip()
    if suffix == ".txt":
        return facts.but(caption=facts.caption or text[:500])
    try:
        values = json.loads(text)
    except json.JSONDecodeError:
        return facts  # a sidecar that does not parse says nothing; the photograph itself may be fine
    return _facts(values, facts) if isinstance(values, dict) else facts


def _facts(values: dict[str, Any], known: Facts = Facts()) -> Facts:
    """Metadata under the names that crawlers and data cards use."""

    def first(*names: str) -> str:
        return next((text for name in names if (text := text_of(values.get(name)))), "")

    return known.but(
        author=first("author", "photographer", "creator", "credit"),
        licence=first("license", "licence", "license_name"),
        licence_url=first("license_url", "licence_url"),
        source_url=first("url", "source_url"),
        source_dataset=first("dataset", "source"),
        caption=first("caption", "text") or known.caption,
    )


def _parquet(path: Path, uri: str) -> Iterator[Found | Reject]:
    try:
        file = pq.ParquetFile(path)
        column = _image_column(file.schema_arrow)
        if column is None:
            names = ", ".join(file.schema_arrow.names[:8])
            yield Reject(step="source", reason="no_image_column", uri=uri, seen=names, wanted=", ".join(IMAGE_COLUMNS))
            return
        others = [field.name for field in file.schema_arrow if _holds_text(field.type)]
        kind = file.schema_arrow.field(column).type
        if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
            others.append(f"{column}.path")
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=others).to_pylist() if others else []
            for row in range(file.metadata.row_group(group).num_rows):
                values = rows[row] if rows else {}
                yield Found(f"{uri}#{group}:{row}:{column}", 0, _facts(values), _name(values, column))
    except (pa.ArrowException, OSError, ValueError) as error:
        yield Reject(step="source", reason="unreadable_shard", uri=uri, seen=str(error)[:200], wanted="a parquet file")


def _name(values: dict[str, Any], column: str) -> str:
    """What a row calls its image: a file name, the path inside the image struct, or img2dataset's key."""
    struct = values.get(column)
    path = struct.get("path") if isinstance(struct, dict) else None
    named = [values.get(name) for name in ("file_name", "filename", "path")]
    key = values.get("key")
    candidates = [*named, path, f"{key}.jpg" if key else None]
    return next((str(name) for name in candidates if name), "")


def _holds_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner))


def _image_column(schema: pa.Schema) -> str | None:
    def holds_images(kind: pa.DataType) -> bool:
        struct = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        return bool(struct or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    fields = {field.name: field.type for field in schema}
    return next((name for name in IMAGE_COLUMNS if name in fields and holds_images(fields[name])), None)
