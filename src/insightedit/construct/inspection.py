"""Reads a published dataset as a stranger would, counts it, and checks what it promises.

Only the folder is read, one row group at a time. Held per row are its id and, per photograph, its cluster: a few
hundred bytes for 2 megabytes of pixels.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from insightedit.construct.promises import Book, Promise, check_row
from insightedit.construct.reverify import Verifier
from insightedit.construct.row import ROW_SCHEMA, FunnelLine
from insightedit.construct.tally import CLIP_SCORES, Spread, Tally, Yield
from insightedit.core.errors import InputError, one_line
from insightedit.core.files import inside, sha256_of
from insightedit.core.record import Record

MANIFEST = "manifest.json"
NAME = re.compile(r"(?P<split>.+?)(?:-(?P<number>\d+)(?:-of-(?P<count>\d+))?)?\.parquet")
Progress = Callable[[int, int], None]  # rows done, rows in all


class Inspection(Record):
    """What a dataset holds and whether it keeps its promises."""

    dataset: Path
    rows: int
    directed_pairs: int
    forward: int
    reverse: int
    photos: int
    simple_instructions: int
    advanced_instructions: int
    splits: dict[str, int]
    yields: list[Yield]
    scores: list[Spread]
    licences: dict[str, int]  # -> photographs
    funnel: list[FunnelLine]
    content_hash: str = ""
    promises: list[Promise]

    @property
    def ok(self) -> bool:
        """Whether every promise holds."""
        return all(promise.holds for promise in self.promises)

    def to_json(self) -> str:
        """As indented JSON, with "ok" in front."""
        return json.dumps({"ok": self.ok, **self.model_dump(mode="json")}, indent=1, ensure_ascii=False)


def inspect(
    dataset: Path, progress: Progress | None = None, languages: Mapping[str, Verifier] | None = None
) -> Inspection:
    """Count a dataset and check every promise.

    Args:
        dataset: the published folder, or one with `dataset/` in it; any folder with parquet files of the schema.
        progress: called after every row group with the rows done and the rows in all.
        languages: who verifies formulas in other languages than `referring`'s: name -> verifier, see `reverify`.

    Raises:
        InputError: there is no dataset.
    """
    root, files = find(dataset)
    reading = _Reading(root, files, languages or {})
    reading.check_names()
    manifest = reading.check_manifest()
    reading.check_rows(progress)
    tally = reading.tally
    licences: dict[str, int] = defaultdict(int)
    for owner in tally.owners():
        licences[owner.licence] += owner.photos
    return Inspection(
        dataset=root,
        rows=tally.rows,
        directed_pairs=tally.pairs,
        forward=tally.forward,
        reverse=tally.reverse,
        photos=tally.photos,
        simple_instructions=tally.simple,
        advanced_instructions=tally.advanced,
        splits=dict(tally.splits),
        yields=manifest.yields if manifest and manifest.yields else tally.yields(),
        scores=tally.spreads(),
        licences=licences,
        funnel=manifest.funnel if manifest else [],
        content_hash=manifest.content_hash if manifest else "",
        promises=reading.book.promises(),
    )


def find(dataset: Path) -> tuple[Path, list[Path]]:
    """The dataset's root and its parquet files, rejects excluded.

    Raises:
        InputError: the folder is missing or holds no parquet file.
    """
    if not dataset.is_dir():
        why = "it is a file" if dataset.exists() else "there is no such folder"
        raise InputError(f"cannot inspect {dataset}", why, "Name the folder of a dataset, for example OUT/dataset")
    root = dataset / "dataset" if (dataset / "dataset").is_dir() else dataset
    within = root / "data" if (root / "data").is_dir() else root
    files = sorted(
        path for path in within.rglob("*.parquet") if not {"rejects"} & set(path.relative_to(root).parts[:-1])
    )
    if not files:
        raise InputError(
            f"cannot inspect {dataset}",
            "no parquet file lies in it",
            "Name a folder that `insightedit build` published, or parquet files with its schema",
        )
    return root, files


class _Manifest(Record):
    """The part of manifest.json that is compared and shown."""

    yields: list[Yield] = []
    funnel: list[FunnelLine] = []
    content_hash: str = ""
    totals: dict[str, int] = {}
    files: dict[str, dict[str, Any]]


class _Reading:
    """One pass over the files."""

    def __init__(self, root: Path, files: list[Path], languages: Mapping[str, Verifier]) -> None:
        self.check_row = partial(check_row, languages=languages)
        self.root, self.files, self.book, self.tally = root, files, Book(), Tally()
        self._totals: dict[str, int] = {}
        self._ids: set[str] = set()
        self._clusters: dict[str, str] = {}
        self._photos: set[str] = set()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def check_names(self) -> None:
        """Files that say "3 of 5" have four others beside them."""
        series: dict[tuple[Path, str, int], set[int]] = defaultdict(set)
        for path in self.files:
            found = NAME.fullmatch(path.name)
            if found and found["count"]:
                series[path.parent, found["split"], int(found["count"])].add(int(found["number"]))
        for (_, split, count), numbers in series.items():
            missing = sorted(set(range(count)) - numbers)
            if missing:
                at = f"{split}-{missing[0]:05d}-of-{count:05d}.parquet"
                self.book.check("files", at, f"is missing; {len(numbers)} of {count} are there")

    # --- manifest ---

    def check_manifest(self) -> _Manifest | None:
        """Compare every file with the manifest; None if there is no usable one."""
        path = self.root / MANIFEST
        if not path.exists():
            self.book.note("manifest", f"not checked: there is no {MANIFEST}")
            return None
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            known = {name: value for name, value in raw.items() if name in _Manifest.model_fields}
            manifest = _Manifest.model_validate(known)
        except (OSError, ValueError, AttributeError) as error:
            why = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
            self.book.check("manifest", MANIFEST, f"cannot be read: {why[:120]}")
            return None
        for name, entry in manifest.files.items():
            self.book.check("manifest", name, self._differs(name, entry))
        for path in self.files:
            if self._name(path) not in manifest.files:
                self.book.check("manifest", self._name(path), f"is not in {MANIFEST}")
        self._totals = manifest.totals
        return manifest

    def _differs(self, name: str, entry: dict[str, Any]) -> str | None:
        try:
            path = inside(self.root, name)
            if not path.is_file():
                return "is missing"
            return None if sha256_of(path) == entry.get("sha256") else "its SHA-256 is another"
        except InputError as error:
            return error.why
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    # --- rows ---

    def check_rows(self, progress: Progress | None) -> None:
        """Open every file, then check row group by row group."""
        opened = [(path, parquet) for path in self.files if (parquet := self._open(path)) is not None]
        total, done = sum(parquet.metadata.num_rows for _, parquet in opened), 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, parquet in opened:
                split = self._split(path)
                for rows in self._groups(path, parquet):
                    for row, found in zip(rows, pool.map(self.check_row, rows), strict=True):
                        at = str(row["edit_id"])
                        for promise, why in found:
                            self.book.check(promise, at, why)
                        self._check_among_others(row, split)
                        self._count(row)
                    done += len(rows)
                    if progress:
                        progress(done, total)
                parquet.close()
        self._check_totals()

    def _split(self, path: Path) -> str:
        found = NAME.fullmatch(path.name)
        return found["split"] if found else path.stem

    def _open(self, path: Path) -> pq.ParquetFile | None:
        try:
            parquet = pq.ParquetFile(path, memory_map=False)
        except (pa.ArrowException, OSError) as error:
            self.book.check("files", self._name(path), f"cannot be read: {_short(error)}")
            return None
        why = misfit(parquet.schema_arrow)
        self.book.check("schema", self._name(path), why)
        if why:  # without its columns no row can be looked at
            self.book.check("files", self._name(path), None)
            parquet.close()
            return None
        return parquet

    def _groups(self, path: Path, parquet: pq.ParquetFile) -> Iterator[list[dict[str, Any]]]:
        schema = parquet.schema_arrow
        known = (name for name in CLIP_SCORES if name in schema.names)  # a user's own may be called so too
        more = [name for name in known if pa.types.is_floating(schema.field(name).type)]
        try:
            for number in range(parquet.num_row_groups):
                yield parquet.read_row_group(number, columns=[*_COLUMNS, *more]).to_pylist()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self.book.check("files", self._name(path), f"cannot be read to its end: {_short(error)}")
            return
        self.book.check("files", self._name(path), None)

    def _check_among_others(self, row: dict[str, Any], split: str) -> None:
        """The promises that a row can break only by what other rows, or its file, say."""
        edit_id, cluster = row["edit_id"], row["source_cluster"]
        at = str(edit_id)
        why = "it is null or empty" if not edit_id else "it appears again" if edit_id in self._ids else None
        self.book.check("ids unique", at, why)
        self._ids.add(edit_id)
        same = row["split"] == split
        self.book.check("split", at, None if same else f"says '{row['split']}' and lies in a file of '{split}'")
        first = self._clusters.setdefault(cluster, split)
        why = None if first == split else f"cluster {cluster} lies in '{first}' and in '{split}'"
        self.book.check("clusters", at, why if cluster else "source_cluster is null or empty")

    def _count(self, row: dict[str, Any]) -> None:
        self.tally.row(row)
        if row["image_id"] not in self._photos:
            self._photos.add(row["image_id"])
            self.tally.photo(row["source_dataset"] or "", row["author"] or "", row["license"] or "", "")

    def _check_totals(self) -> None:
        counted = {"rows": self.tally.rows, "directed_pairs": self.tally.pairs, "photos": self.tally.photos}
        for name, count in counted.items():
            stated = self._totals.get(name, count)
            if stated != count:
                self.book.check("manifest", MANIFEST, f"states {stated} {name.replace('_', ' ')}, there are {count}")


_COLUMNS = ROW_SCHEMA.names  # of a user's file: its further columns stay unread


def misfit(schema: pa.Schema) -> str | None:
    """How a file's schema differs from the published one; further columns are welcome."""
    missing = [name for name in ROW_SCHEMA.names if name not in schema.names]
    if missing:
        return f"lacks {len(missing)} of {len(ROW_SCHEMA)} columns: {', '.join(missing[:5])}"
    for field in ROW_SCHEMA:
        own = schema.field(field.name).type
        if _bare(own) != _bare(field.type):
            return f"{field.name} is {own}, not {field.type}"
    return None


def _bare(kind: pa.DataType) -> str:
    """A type without what does not matter to a reader: long offsets, dictionaries, names of list items."""
    if pa.types.is_dictionary(kind):
        return _bare(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"[{_bare(kind.value_type)}]"
    if pa.types.is_struct(kind):
        return "{" + ",".join(sorted(f"{inner.name}:{_bare(inner.type)}" for inner in kind)) + "}"
    return str(kind).removeprefix("large_").removesuffix("_view")


def _short(error: Exception) -> str:
    return one_line(error, 140)
