"""This project's own datasets, read back: both directions, only what was kept."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from published import publish_small

from insightedit.core.errors import InputError
from insightedit.datasets.published import Published, PublishedKnobs


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    publish_small(out, 4)
    return out / "dataset"


def rows(dataset, split="train") -> list[dict]:
    files = sorted((dataset / "data").glob(f"{split}-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def reader(dataset, **knobs) -> Published:
    return Published(PublishedKnobs(path=dataset, **knobs))


def decoded(image: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image["bytes"])))


def test_both_directions_with_their_own_instructions(dataset, lawful):
    one = reader(dataset)
    lawful(one)
    truth = {row["edit_id"]: row for row in rows(dataset)}
    seen = set()
    for part in one.parts:
        task, kind = part.label.split("/")
        for number in range(part.start, part.start + part.count):
            example = one.example(number, 0)
            edit_id, way = example.id.split("-")
            row = truth[edit_id]
            assert row[f"keep_{way}"] and example.task == task
            column = f"instr_{way}_{'simple' if kind == 'simple' else 'advanced'}"
            assert example.instruction in row[column]
            source, edited = (decoded(row[name]) for name in ("source_image", "edited_image"))
            sides = (source, edited) if way == "fwd" else (edited, source)
            assert np.array_equal(example.source, sides[0]) and np.array_equal(example.target, sides[1])
            assert np.array_equal(example.mask, decoded(row["mask"]) > 127)
            assert task == ({"fwd": "remove", "rev": "add"}[way] if row["task"] == "remove_add" else "replace")
            seen.add((edit_id, way, kind))
    wanted = {(row["edit_id"], way, kind) for row in truth.values() for way in ("fwd", "rev") if row[f"keep_{way}"]
              for kind in ("simple", "reasoning")}  # fmt: skip
    assert seen == wanted


def test_draws_are_shared_by_kind_and_task(dataset):
    shares = {part.label: part.share for part in reader(dataset, reasoning=0.25).parts}
    assert shares == {f"{task}/{kind}": pytest.approx(share / 3) for task in ("remove", "add", "replace")
                      for kind, share in (("simple", 0.75), ("reasoning", 0.25))}  # fmt: skip


def test_splits_directions_quality_and_arrow(dataset, tmp_path, same):
    one = reader(dataset)
    assert {example.id for example in (one.example(n, 0) for n in range(len(one)))} <= {
        f"{row['edit_id']}-{way}" for row in rows(dataset) for way in ("fwd", "rev")
    }
    forward = reader(dataset, directions=["fwd"])
    assert {part.label.split("/")[0] for part in forward.parts} == {"remove", "replace"}
    quality = [row["quality"] for row in rows(dataset)]
    bar = sorted(quality)[len(quality) // 2]
    assert reader(dataset, min_quality=bar).left_out["low_quality"] == sum(value < bar for value in quality)
    unpacked = reader(dataset, arrow=tmp_path)
    assert all(same(one.example(n, 3), unpacked.example(n, 3)) for n in range(len(one)))


def test_a_direction_that_was_not_kept_is_left_out_and_counted(dataset, tmp_path):
    table = pa.concat_tables(pq.read_table(file) for file in sorted((dataset / "data").glob("train-*.parquet")))
    keep = [number > 1 for number in range(len(table))]
    table = table.set_column(table.schema.get_field_index("keep_rev"), "keep_rev", pa.array(keep))
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet", row_group_size=2)
    one = reader(tmp_path)
    assert one.left_out == {"not_kept_rev": 2}
    ids = {one.example(number, 0).id for number in range(len(one))}
    first = {f"{row}-rev" for row in table["edit_id"].to_pylist()[:2]}
    assert not ids & first and {f"{row}-fwd" for row in table["edit_id"].to_pylist()} <= ids


def test_another_split_and_another_folder_are_refused(dataset, tmp_path):
    for path, split in ((dataset, "nothing"), (tmp_path, "train")):
        with pytest.raises(InputError, match="Expected layout: the dataset/ folder of `insightedit build`"):
            reader(path, split=split)
