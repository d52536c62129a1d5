"""Rows of Hugging Face data by number: folders of `save_to_disk` (Arrow, memory-mapped) and parquet files.

Arrow is the form to train from: a row is a slice of a memory map. Of parquet a whole row group has to be read for one
row; a few are held, and `unpacked` turns parquet into Arrow once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from insightedit.core.errors import InputError
from insightedit.core.files import atomic
from insightedit.datasets.layout import document, need, wrong

GROUPS_HELD = 4  # row groups of parquet per process
FILES_HELD = 1024


class Rows:
    """The rows of one split.

    Args:
        path: a folder of `save_to_disk`, of a `DatasetDict`, or with SPLIT-*.parquet in it or its data/; or one file.
        split: "train", ...
        columns: those that are read.
        layout: the expected layout, for errors.
        arrow: a folder into which parquet is unpacked once; None reads parquet as it is.

    Raises:
        InputError: a file is missing, is not what its name says, or lacks a column.
    """

    def __init__(self, path: Path, split: str, columns: Sequence[str], layout: str, arrow: Path | None = None) -> None:
        self.columns, self.layout = tuple(columns), layout
        self.files = [str(file) for file in _files(path, split, layout)]
        if arrow is not None:
            self.files = [str(_unpacked(Path(file), self.columns, arrow, layout)) for file in self.files]
        pieces = [(number, piece, rows) for number in range(len(self.files)) for piece, rows in self._pieces(number)]
        table = np.array(pieces, np.int64).reshape(-1, 3)
        self._places, self._ends = table[:, :2], np.cumsum(table[:, 2])
        if not len(self):
            raise wrong(path, f"split '{split}' has no rows", layout)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        piece = int(np.searchsorted(self._ends, index, side="right"))
        number, inner = (int(value) for value in self._places[piece])
        row = index - (int(self._ends[piece - 1]) if piece else 0)
        path = self.files[number]
        try:
            found = _piece(path, inner, self.columns).slice(row, 1).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise wrong(
                Path(path), f"row {row} of its part {inner} is damaged ({str(error)[:120]})", self.layout
            ) from error
        return dict(found[0])

    def _pieces(self, number: int) -> list[tuple[int, int]]:
        """(number, rows) of every batch or row group of a file."""
        path = self.files[number]
        try:
            if path.endswith(".parquet"):
                with pq.ParquetFile(path) as file:
                    names, metadata = file.schema_arrow.names, file.metadata
                    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
            else:
                schema, batches = _batches(path)
                names, rows = schema.names, [batch.num_rows for batch in batches]
        except (pa.ArrowException, OSError) as error:
            raise wrong(Path(path), f"it is damaged or of another kind ({str(error)[:120]})", self.layout) from error
        missing = [name for name in self.columns if name not in names]
        if missing:
            raise wrong(Path(path), f"it has no column {', '.join(missing)}, only {', '.join(names)}", self.layout)
        return list(enumerate(rows))


def small_columns(rows: Rows, names: Sequence[str]) -> pa.Table:
    """Some columns of all rows at once, for an index: those without pictures."""
    return pa.concat_tables([_whole(file, tuple(names)) for file in rows.files])


def _whole(path: str, names: tuple[str, ...]) -> pa.Table:
    if path.endswith(".parquet"):
        return pq.read_table(path, columns=list(names), partitioning=None)
    schema, batches = _batches(path)
    return pa.Table.from_batches(batches, schema).select(names)


def _files(path: Path, split: str, layout: str) -> list[Path]:
    need(path, layout)
    if path.is_file():
        return [path]
    if (path / "dataset_dict.json").is_file():
        path = need(path / split, layout)
    if (path / "state.json").is_file():
        return _saved(path, layout)
    for folder in (path / "data", path):
        found = sorted(folder.glob(f"{split}-*.parquet")) or sorted(folder.glob(f"{split}.parquet"))
        if found:
            return found
    raise wrong(path, f"it holds neither state.json nor {split}-*.parquet nor data/{split}-*.parquet", layout)


def _saved(path: Path, layout: str) -> list[Path]:
    state = document(path / "state.json", dict, layout)
    if state.get("_indices_data_files"):
        raise InputError(
            f"cannot read {path}", "it was saved with an index over its rows", "Save it after flatten_indices()"
        )
    try:
        names = [Path(entry["filename"]).name for entry in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise wrong(path / "state.json", "it does not list _data_files", layout) from error
    return [need(path / name, layout) for name in names]


# --- pieces, held per process ----------------------------------------------------------------------------------------


@lru_cache(maxsize=FILES_HELD)
def _batches(path: str) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """The batches of an Arrow file, over a memory map; `datasets` writes streams, others may write files."""
    source = pa.memory_map(path)
    try:
        reader = pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        whole = pa.ipc.open_file(source)
        return whole.schema, [whole.get_batch(number) for number in range(whole.num_record_batches)]
    return reader.schema, list(reader)


def _piece(path: str, number: int, columns: tuple[str, ...]) -> pa.Table | pa.RecordBatch:
    if path.endswith(".parquet"):
        return _group(path, number, columns)
    return _batches(path)[1][number].select(list(columns))


@lru_cache(maxsize=GROUPS_HELD)
def _group(path: str, number: int, columns: tuple[str, ...]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(number, columns=list(columns), use_threads=False)  # workers are many already


# --- parquet -> Arrow, once ------------------------------------------------------------------------------------------


def _unpacked(path: Path, columns: tuple[str, ...], folder: Path, layout: str) -> Path:
    """The Arrow twin of a parquet file, made where it is not there yet; an Arrow file is its own."""
    if path.suffix != ".parquet":
        return path
    stat = path.stat()
    key = json.dumps([str(path.resolve()), stat.st_size, stat.st_mtime_ns, columns])
    place = folder / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.arrow"
    if place.is_file():
        return place
    try:
        with pq.ParquetFile(path) as file, atomic(place) as unfinished:
            schema = pa.schema([file.schema_arrow.field(name) for name in columns])
            with pa.ipc.new_stream(str(unfinished), schema) as stream:
                for batch in file.iter_batches(batch_size=16, columns=list(columns)):
                    stream.write_batch(batch.select(list(columns)))
    except (pa.ArrowException, KeyError) as error:
        raise wrong(path, f"it cannot be unpacked ({str(error)[:120]})", layout) from error
    return place
