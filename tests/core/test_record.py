"""Every record goes to Arrow and back as itself."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, ValidationError

from insightedit.construct import work
from insightedit.core import record
from insightedit.core.record import Edit, Object, Photo, Record, Reject, arrow_schema, from_table, to_table


def _records(module: types.ModuleType) -> list[type[Record]]:
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Record)]
    return [kind for kind in kinds if kind is not Record and kind.__module__ == module.__name__]


RECORDS = [*_records(record), *_records(work)]


def example(kind: Any, rng: np.random.Generator, fullness: float) -> Any:
    """A value of an annotation; the share `fullness` of what may be absent is there."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        if args[1] == pa.float64():
            return float(rng.normal())
        return int(rng.integers(0, 2**63, dtype=np.uint64)) * 2 + 1 if args[1] == pa.uint64() else int(rng.integers(99))
    if origin in (typing.Union, types.UnionType):
        return example(args[0], rng, fullness) if rng.random() < fullness else None
    if origin is Literal:
        return str(rng.choice(args))
    if origin is list:
        return (
            [example(args[0], rng, fullness) for _ in range(int(rng.integers(1, 4)))] if rng.random() < fullness else []
        )
    if origin is dict:
        return {f"key {n}": example(args[1], rng, fullness) for n in range(2)} if rng.random() < fullness else {}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{name: example(hints[name], rng, fullness) for name in kind.model_fields})
    samples = {str: "käse 🧀", int: 2**40, float: 0.1, bool: bool(rng.integers(2)), bytes: b"\0\xff"}
    return samples[kind]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("fullness", [0.0, 0.5, 1.0])
def test_records_come_back_from_a_parquet_file_as_they_were(kind, fullness, tmp_path):
    rng = np.random.default_rng(0)
    originals = [example(kind, rng, fullness) for _ in range(5)]
    pq.write_table(to_table(originals, kind), tmp_path / "t.parquet")
    assert from_table(pq.read_table(tmp_path / "t.parquet"), kind) == originals


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_an_empty_table_still_has_all_its_types(kind):
    table = to_table([], kind)
    assert table.schema == arrow_schema(kind) and from_table(table, kind) == []
    assert table.schema.names == list(kind.model_fields)
    assert not any(pa.types.is_null(field.type) for field in table.schema)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_column_that_is_all_null_keeps_its_type(kind):
    rng = np.random.default_rng(0)
    assert to_table([example(kind, rng, 0.0)], kind).schema == to_table([example(kind, rng, 1.0)], kind).schema


def test_columns_that_were_not_read_keep_their_defaults():
    photo = example(Photo, np.random.default_rng(0), 1.0)
    read = from_table(to_table([photo], Photo).drop_columns(["notes", "caption"]), Photo)
    assert read == [photo.but(notes=[], caption="")]


def test_heavy_fields_can_be_left_out_of_a_schema():
    assert set(arrow_schema(work.Painting).names) - set(arrow_schema(work.Painting, work.Painting.heavy).names) == {
        "pictures"
    }


def test_a_null_list_is_read_as_the_default():
    reject = to_table([Reject(step="a", reason="b")], Reject)
    nulled = reject.set_column(reject.schema.get_field_index("uri"), "uri", pa.array([None], pa.string()))
    assert from_table(nulled, Reject) == [Reject(step="a", reason="b")]


def test_records_cannot_be_changed_in_place_and_know_their_fields():
    reject = Reject(step="a", reason="b")
    with pytest.raises(ValidationError):
        reject.reason = "c"
    with pytest.raises(ValidationError):
        Reject(step="a", reason="b", reasn="c")
    assert reject.but(reason="c").reason == "c" and reject.reason == "b"


def test_numbers_have_the_width_that_they_need():
    assert arrow_schema(Photo).field("phash").type == pa.uint64()
    assert arrow_schema(Photo).field("width").type == pa.int32()
    assert arrow_schema(Object).field("mask_score").type == pa.float64()
    assert arrow_schema(Edit).field("seed").type == pa.int64()
    assert arrow_schema(Edit).field("hints").type == pa.map_(pa.string(), pa.float64())
