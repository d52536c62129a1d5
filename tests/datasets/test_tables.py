"""Hugging Face rows by number, as the `datasets` package itself writes and reads them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from insightedit.core.errors import InputError
from insightedit.datasets.tables import Rows, small_columns

os.environ["HF_HUB_OFFLINE"] = "1"
datasets = pytest.importorskip("datasets")

COLUMNS = ("img_id", "instruction", "source_img")


@pytest.fixture(scope="module")
def table(art):
    rows = [
        {"img_id": str(number), "instruction": f"do {number}", "source_img": {"bytes": art.png(number), "path": None}}
        for number in range(23)
    ]
    features = datasets.Features(
        {"img_id": datasets.Value("string"), "instruction": datasets.Value("string"), "source_img": datasets.Image()}
    )
    return datasets.Dataset.from_list(rows, features=features)


def plain(table) -> list[dict]:
    return table.cast_column("source_img", datasets.Image(decode=False)).to_list()


def read(rows: Rows) -> list[dict]:
    return [rows[number] for number in range(len(rows))]


def test_save_to_disk_in_several_shards(tmp_path, table):
    table.save_to_disk(tmp_path / "one")
    table.save_to_disk(tmp_path / "three", num_shards=3)
    for name in ("one", "three"):
        rows = Rows(tmp_path / name, "train", COLUMNS, "any")
        assert read(pickle.loads(pickle.dumps(rows))) == plain(table)  # noqa: S301
    assert len(rows.files) == 3
    assert small_columns(rows, ["img_id"])["img_id"].to_pylist() == table["img_id"][:]


def test_a_dataset_dict_and_a_shuffled_dataset(tmp_path, table):
    mixed = table.shuffle(seed=3)
    datasets.DatasetDict({"train": mixed, "dev": table.select(range(4))}).save_to_disk(tmp_path / "both")
    assert read(Rows(tmp_path / "both", "train", COLUMNS, "any")) == plain(mixed)
    assert len(Rows(tmp_path / "both", "dev", COLUMNS, "any")) == 4
    with pytest.raises(InputError, match="no such file or folder"):
        Rows(tmp_path / "both", "test", COLUMNS, "any")


@pytest.mark.parametrize("below", ["data", "."])
def test_parquet_as_it_is_and_unpacked_once(tmp_path, table, below):
    (tmp_path / "set" / below).mkdir(parents=True)
    for number in range(2):
        part = table.select(range(number * 12, min(23, number * 12 + 12)))
        part.to_parquet(tmp_path / "set" / below / f"train-{number:05d}-of-00002.parquet", batch_size=5)
    rows = Rows(tmp_path / "set", "train", COLUMNS, "any")
    assert len(rows._places) > 2, "several row groups"
    assert read(rows) == plain(table)
    unpacked = Rows(tmp_path / "set", "train", COLUMNS, "any", tmp_path / "arrow")
    assert read(unpacked) == plain(table)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "arrow").iterdir()}
    assert len(times) == 2 and all(path.suffix == ".arrow" for path in times)
    Rows(tmp_path / "set", "train", COLUMNS, "any", tmp_path / "arrow")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "arrow").iterdir()} == times


def test_an_arrow_file_of_the_other_kind(tmp_path, table):
    path = tmp_path / "rows.arrow"
    whole = table.data.table.select(COLUMNS)
    with pa.ipc.new_file(str(path), whole.schema) as file:
        file.write_table(whole)
    assert read(Rows(path, "train", COLUMNS, "any")) == plain(table)


def test_what_is_missing_or_damaged_is_named_with_the_layout(tmp_path, table):
    layout = "data/train-*.parquet"
    with pytest.raises(InputError, match=r"neither state\.json.*Expected layout: data/train"):
        Rows(tmp_path, "train", COLUMNS, layout)
    with pytest.raises(InputError, match="no such file"):
        Rows(tmp_path / "none", "train", COLUMNS, layout)
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(pa.table({"img_id": ["1"], "other": [2]}), path)
    with pytest.raises(InputError, match="no column instruction, source_img"):
        Rows(tmp_path, "train", COLUMNS, layout)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"train-00000-of-00001\.parquet.*damaged"):
        Rows(tmp_path, "train", COLUMNS, layout)
    table.save_to_disk(tmp_path / "saved")
    file = next((tmp_path / "saved").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(InputError, match="damaged"):
        Rows(tmp_path / "saved", "train", COLUMNS, layout)
    file.unlink()
    with pytest.raises(InputError, match="no such file"):
        Rows(tmp_path / "saved", "train", COLUMNS, layout)


def test_an_index_outside_is_refused(tmp_path, table):
    table.save_to_disk(tmp_path / "one")
    rows = Rows(Path(tmp_path / "one"), "train", COLUMNS, "any")
    for number in (-1, 23):
        with pytest.raises(IndexError):
            rows[number]
