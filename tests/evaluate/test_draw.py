"""Drawing an evaluation set: balanced, spread over photographs, and nothing of it left to train on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from published import publish_small

from insightedit.core.errors import ConfigError, InputError, OutputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.draw import FAMILY, draw
from insightedit.evaluate.sample import shown, status


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    publish_small(out, 16)
    return out


def rows_of(dataset):
    return [
        row
        for path in sorted((dataset / "dataset" / "data").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def test_kinds_are_equal_and_every_sample_can_be_used(dataset, tmp_path):
    drawn = draw(dataset, tmp_path / "set", 12)
    found = open_benchmark(str(tmp_path / "set"))
    assert (
        Counter(one.category for one in found.samples)
        == drawn.categories
        == dict.fromkeys(("removal", "addition", "replacement"), 4)
    )
    assert not any(map(status, found.samples))
    assert [group.name for group in found.groups] == ["all", "removal", "addition", "replacement"]
    assert len({one.id.rsplit("-", 1)[0] for one in found.samples}) == 12  # no row twice


def test_the_pictures_are_those_of_the_rows(dataset, tmp_path):
    draw(dataset, tmp_path / "set", 6)
    rows = {row["edit_id"]: row for row in rows_of(dataset)}
    for one in open_benchmark(str(tmp_path / "set")).samples:
        edit, way = one.id.rsplit("-", 1)
        row, seen = rows[edit], shown(one)
        sides = ("source_image", "edited_image") if way == "fwd" else ("edited_image", "source_image")
        assert [one.source.read(), one.target.read()] == [row[side]["bytes"] for side in sides]
        assert one.instruction in row[f"instr_{way}_advanced"] and row[f"keep_{way}"]
        assert one.category == {"fwd": "removal", "rev": "addition"}[way] or row["task"] == "replace"
        assert (one.clip_text is None) == (one.category == "removal")
        outside = seen.mask == 0
        assert np.abs(seen.source.astype(int) - seen.target)[outside].mean() < 4  # JPEG of a noisy picture
        assert one.meta["license"] == "CC BY 4.0"


def test_nothing_of_the_set_is_left_to_train_on(dataset, tmp_path):
    drawn = draw(dataset, tmp_path / "set", 12)
    exclude = json.loads((tmp_path / "set" / "exclude.json").read_text())
    rows = rows_of(dataset)
    rest = [row for row in rows if row["edit_id"] not in exclude["edit_ids"]]
    taken = [row for row in rows if row["edit_id"] in exclude["edit_ids"]]
    assert rest and len(taken) == sum(drawn.excluded.values()) and len(rest) == sum(drawn.left.values())
    for key in FAMILY:
        assert not {row[key] for row in rest} & {row[key] for row in taken}, key
    pictures = {part for row in taken for part in (row["source_sha256"], row["edited_sha256"])}
    assert not pictures & {part for row in rest for part in (row["source_sha256"], row["edited_sha256"])}
    drawn_from = {one.session for one in open_benchmark(str(tmp_path / "set")).samples}
    assert drawn_from == set(exclude["image_ids"])


def test_splits_that_training_does_not_see_come_first(dataset, tmp_path):
    drawn = draw(dataset, tmp_path / "small", 3)
    assert set(drawn.splits) <= {"test", "validation"} and not drawn.excluded["train"]
    only = draw(dataset, tmp_path / "train", 3, splits=["train"])
    assert set(only.splits) == {"train"} and only.excluded["train"] and only.left["train"]
    with pytest.raises(InputError, match=r"no split 'tset'.*it has"):
        draw(dataset, tmp_path / "none", 3, splits=["tset"])


def test_photographs_are_spread_before_one_comes_twice(dataset, tmp_path):
    drawn = draw(dataset, tmp_path / "set", 6, splits=["train"])
    there = len({row["image_id"] for row in rows_of(dataset) if row["split"] == "train"})
    assert drawn.photographs == min(6, there)


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_an_equal_seed_gives_equal_bytes_and_an_older_set_is_replaced(dataset, tmp_path):
    draw(dataset, tmp_path / "one", 9)
    draw(dataset, tmp_path / "two", 12)
    draw(dataset / "dataset", tmp_path / "two", 9)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    draw(dataset, tmp_path / "two", 9, seed=1)
    assert contents(tmp_path / "one") != contents(tmp_path / "two")


def test_too_many_are_refused_with_what_is_there(dataset, tmp_path):
    with pytest.raises(InputError, match=r"300 samples cannot be drawn evenly.*removal.*Use --count \d+ or less"):
        draw(dataset, tmp_path / "set", 300)
    assert not (tmp_path / "set").exists()


def test_nothing_of_others_is_replaced(dataset, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        draw(dataset, tmp_path, 3)
    with pytest.raises(ConfigError, match="name"):
        draw(dataset, tmp_path / "set", 3, name="no name")
    with pytest.raises(InputError, match=r"Expected layout: the dataset/ folder"):
        draw(tmp_path, tmp_path / "set", 3)
