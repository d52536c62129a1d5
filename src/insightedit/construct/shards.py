"""Rows -> numbered parquet files, a row at a time: memory stays flat however large the dataset is.

A row waits in an Arrow spill file on disk until its parquet file is full; then the file is written in an order drawn
from the edit ids, so that the edits of one photograph are not neighbours, 64 rows at a time.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from insightedit.construct.row import REJECT_SCHEMA, ROW_SCHEMA, Row
from insightedit.core.record import Reject, to_table

ROW_GROUP = 64  # rows; about 155 MB of 2K pairs, where the viewer of the Hugging Face Hub stops at 300 MB
REJECT_GROUP = 10_000
REJECTS_PER_FILE = 1_000_000
_IMAGES = ("source_image.bytes", "edited_image.bytes", "mask.bytes")


@dataclass
class SplitWriter:
    """Writes the rows of one split under `folder` as `SPLIT-00000-of-00003.parquet`, ..."""

    folder: Path
    split: str
    rows_per_file: int
    bytes_per_file: int
    schema: pa.Schema = ROW_SCHEMA
    rows: int = 0
    num_bytes: int = 0  # in Arrow, as `datasets` counts them in `dataset_info`
    _files: list[Path] = field(default_factory=list)
    _ids: list[str] = field(default_factory=list)  # of the rows in the spill
    _spilt: int = 0
    _spill: pa.ipc.RecordBatchFileWriter | None = None

    @property
    def _spill_path(self) -> Path:
        return self.folder / f".{self.split}.arrow"

    def add(self, row: Row) -> None:
        """Take one row."""
        batch = pa.RecordBatch.from_pylist([row.but(shard=len(self._files)).model_dump()], schema=self.schema)
        if self._spill is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._spill = pa.ipc.new_file(self._spill_path, self.schema)
        self._spill.write_batch(batch)
        self._ids.append(row.edit_id)
        self._spilt += batch.nbytes
        self.rows, self.num_bytes = self.rows + 1, self.num_bytes + batch.nbytes
        if len(self._ids) >= self.rows_per_file or self._spilt >= self.bytes_per_file:
            self._roll()

    def _roll(self) -> None:
        """The spill -> one parquet file, in drawn order."""
        if self._spill is None:
            return
        self._spill.close()
        order = sorted(range(len(self._ids)), key=lambda index: _draw(self._ids[index]))
        path = self.folder / f"{self.split}-{len(self._files):05d}.parquet"
        with pa.OSFile(str(self._spill_path)) as spilt, _writer(path, self.schema) as parquet:
            reader = pa.ipc.open_file(spilt)
            for start in range(0, len(order), ROW_GROUP):
                batches = [reader.get_batch(index) for index in order[start : start + ROW_GROUP]]
                table = pa.Table.from_batches(batches).combine_chunks()
                parquet.write_table(table, row_group_size=ROW_GROUP)
        self._spill_path.unlink()
        self._files.append(path)
        self._spill, self._ids, self._spilt = None, [], 0

    def close(self, even_empty: bool = False) -> list[Path]:
        """Finish; the files under their final names, none if there was no row (one without rows if `even_empty`)."""
        self._roll()
        if not self._files and even_empty:
            self._files.append(self.folder / f"{self.split}-00000.parquet")
            write_empty(self._files[0], self.schema)
        count = len(self._files)
        names = [path.with_name(f"{path.stem}-of-{count:05d}.parquet") for path in self._files]
        for path, name in zip(self._files, names, strict=True):
            sync(path)
            path.rename(name)
        return names


def _draw(edit_id: str) -> bytes:
    return hashlib.sha256(f"order:{edit_id}".encode()).digest()


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A parquet writer: images as they are (they are compressed already), the rest in zstd; chunks cut by content.

    Content-defined chunks and the page index are what the Hub asks for: a dataset that grew uploads what is new, and
    its viewer reads single rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = _leaves(schema)
    plain = [name for name in columns if name not in _IMAGES]
    return pq.ParquetWriter(
        path,
        schema,
        compression={name: "zstd" if name in plain else "none" for name in columns},
        use_dictionary=plain,
        write_statistics=plain,
        write_page_index=True,
        use_content_defined_chunking=True,
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """Names of the parquet columns below a schema: "mask.bytes", "instr_fwd_simple.list.element"."""
    names: list[str] = []

    def walk(name: str, kind: pa.DataType) -> None:
        if pa.types.is_struct(kind):
            for inner in kind:
                walk(f"{name}.{inner.name}", inner.type)
        elif pa.types.is_list(kind):
            walk(f"{name}.list.element", kind.value_type)
        else:
            names.append(name)

    for column in schema:
        walk(column.name, column.type)
    return names


def write_empty(path: Path, schema: pa.Schema) -> None:
    """A parquet file without a row group: `datasets` streams it as no rows, and stumbles over an empty row group."""
    _writer(path, schema).close()
    sync(path)


@dataclass
class RejectWriter:
    """Writes rejects under `folder` as `rejects-00000.parquet`, ...; one file at least, so that its schema is there."""

    folder: Path
    rejects: int = 0
    num_bytes: int = 0
    _files: list[Path] = field(default_factory=list)
    _group: list[Reject] = field(default_factory=list)
    _parquet: pq.ParquetWriter | None = None

    def add(self, reject: Reject) -> None:
        """Take one reject."""
        self._group.append(reject)
        self.rejects += 1
        if len(self._group) >= REJECT_GROUP:
            self._flush()
        if self.rejects % REJECTS_PER_FILE == 0:
            self._end_file()

    def _flush(self) -> None:
        if self._parquet is None:
            self._files.append(self.folder / f"rejects-{len(self._files):05d}.parquet")
            self._parquet = _writer(self._files[-1], REJECT_SCHEMA)
        if self._group:
            table = to_table(self._group, Reject).cast(REJECT_SCHEMA)
            self._parquet.write_table(table)
            self.num_bytes += table.nbytes
        self._group = []

    def _end_file(self) -> None:
        self._flush()
        if self._parquet is not None:
            self._parquet.close()
            sync(self._files[-1])
        self._parquet = None

    def close(self) -> list[Path]:
        """Finish; the files."""
        if self._group or self._parquet is not None or not self._files:
            self._end_file()
        return self._files


def sync(path: Path) -> None:
    """Bring a file's data to the disk."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())
