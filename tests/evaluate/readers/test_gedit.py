"""GEdit-Bench as the Hugging Face table: languages apart, pictures read from their cells."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from insightedit.core.errors import InputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.sample import shown, status

KINDS = ("color_alter", "subject-add")


@pytest.fixture
def tree(tmp_path, art):
    rows = [
        {
            "task_type": KINDS[number % 2], "key": f"k{number}", "instruction": f"{language} {number}",
            "instruction_language": language, "input_image": {"bytes": b"", "path": None},
            "input_image_raw": {"bytes": art.png(number), "path": "x.png"}, "Intersection_exist": number % 3 == 0,
        }
        for number in range(6)
        for language in ("en", "cn")
    ]  # fmt: skip
    rows[2]["instruction"] = " "
    rows[4]["input_image_raw"] = None
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "train-00000-of-00001.parquet", row_group_size=5)
    return tmp_path


def test_each_language_is_a_benchmark(tree, art):
    for language in ("en", "cn"):
        found = open_benchmark(f"gedit-{language}", tree, partial=True)
        assert [one.id for one in found.samples] == [f"k{number}" for number in range(6)]
        assert found.samples[3].instruction == f"{language} 3"
        assert found.samples[3].output == f"fullset/subject-add/{language}/k3.png"
        assert (shown(found.samples[3]).source == art.pixels(3)).all()
        assert {group.name: len(found.members(group)) for group in found.groups} == {"fullset": 6, "intersection": 2}
        assert not any(group.weight_by_size for group in found.groups)


def test_faults_of_one_row(tree):
    words = [
        fault.status if (fault := status(one)) else "" for one in open_benchmark("gedit-en", tree, partial=True).samples
    ]
    assert words == ["", "no_instruction", "unreadable", "", "", ""]


def test_a_sample_travels_to_a_worker(tree):
    one = open_benchmark("gedit-en", tree, partial=True).samples[5]
    assert pickle.loads(pickle.dumps(one)).asked() == one.asked()  # noqa: S301


def test_another_table_is_named_with_the_layout(tree):
    table = pq.read_table(tree / "data").drop_columns(["Intersection_exist"])
    pq.write_table(table, tree / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(
        InputError, match=r"it has no column Intersection_exist.*Expected layout: stepfun-ai/GEdit-Bench"
    ):
        open_benchmark("gedit-en", tree)
