"""Folders and tables become jobs; whatever is wrong with a table is said, with its line, before work begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from insightedit.core.errors import InputError
from insightedit.editors.jobs import from_folder, from_table


def table(tmp_path: Path, text: str, name: str = "edits.csv") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_a_folder_is_every_picture_in_it_by_name(tmp_path):
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", "notes.txt", ".hidden.png", ".cache/d.png", "out/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    jobs = from_folder(tmp_path, " make it red ", 5, tmp_path / "out")
    assert [job.output for job in jobs] == ["a.png", "b.png", "deep/er/c.png"]
    assert {(job.instruction, job.seed) for job in jobs} == {("make it red", 5)}


def test_a_folder_whose_outputs_would_meet_or_replace_a_source_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="would replace a source"):
        from_folder(tmp_path, "make it red", 0, tmp_path)
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match=r"two edits are called a\.png"):
        from_folder(tmp_path, "make it red", 0, tmp_path / "out")


def test_an_empty_folder_and_a_blank_instruction_are_refused(tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        from_folder(tmp_path, "make it red", 0, tmp_path / "out")
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="no instruction"):
        from_folder(tmp_path, " ", 0, tmp_path / "out")


def test_csv_and_jsonl_of_the_same_rows_are_the_same_jobs(tmp_path):
    rows = [
        {"image": "a.jpg", "instruction": "make it red, please", "seed": "3", "output": "x/red.jpg"},
        {"image": "a.jpg", "instruction": 'say "hi"\nin two lines', "seed": "", "output": ""},
        {"image": "deep/b.png", "instruction": "把它变红", "seed": "", "output": ""},
    ]
    quoted = [",".join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows]
    one = from_table(table(tmp_path, "﻿image,instruction,seed,output\r\n" + "\r\n".join(quoted)), 9, tmp_path / "out")
    lines = "\n\n".join(json.dumps({key: value for key, value in row.items() if value}) for row in rows)
    other = from_table(table(tmp_path, lines, "edits.jsonl"), 9, tmp_path / "out")
    assert one == other
    assert [job.seed for job in one] == [3, 9, 9]
    assert one[0].output == "x/red.jpg" and one[0].image == tmp_path / "a.jpg"
    assert one[1].output.startswith("a-") and one[1].output.endswith(".png")


def test_adding_rows_renames_no_output_and_other_columns_change_nothing(tmp_path):
    few = from_table(table(tmp_path, "image,instruction\na.png,red\na.png,blue\n"), 0, tmp_path / "out")
    more = from_table(
        table(tmp_path, "id,image,instruction\n0,b.png,red\n1,a.png,red\n2,a.png,blue\n"), 0, tmp_path / "o"
    )
    assert [job.output for job in few] == [job.output for job in more][1:]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no column 'image'"),
        ("image,instruction\n", "no edits"),
        ("picture,instruction\na.png,red\n", "no column 'image'"),
        ("image,instruction,sead\na.png,red,1\n", "'seed' is"),
        ("image,instruction\na.png,red,blue\n", "line 2"),
        ("image,instruction\na.png\n", "line 2"),
        ('image,instruction\na.png,"red\n', "is no CSV"),
        ("image,instruction\na.png,red\nb.png,  \n", "line 3"),
        ("image,instruction\n,red\n", "no image"),
        ("image,instruction,seed\na.png,red,-1\n", "seed"),
        ("image,instruction,seed\na.png,red,1.5\n", "seed"),
        ("image,instruction,seed\na.png,red,99999999999999999999999\n", "seed"),
        ("image,instruction,output\na.png,red,../../evil.png\n", "outside"),
        ("image,instruction,output\na.png,red,/tmp/evil.png\n", "outside"),
        ("image,instruction,output\na.png,red,a.gif\n", "Known: .jpeg"),
        ("image,instruction,output\na.png,red,x.png\nb.png,red,X.PNG\n", "two edits"),
        ("image,instruction\na.png,red\na.png,red\n", "two edits"),
        ("image,instruction\na.png," + "x" * 10_001 + "\n", "too long"),
    ],
)
def test_a_table_that_cannot_be_done_is_refused_as_a_whole(tmp_path, text, part):
    with pytest.raises(InputError) as caught:
        from_table(table(tmp_path, text), 0, tmp_path / "out")
    assert part in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[1, 2]", "line 1 is no object"),
        ('{"image": "a.png"', "line 1 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON"),
        ('{"image": "a.png", "instruction": "red"}\n{"image": 3, "instruction": "red"}', "line 2"),
        ('{"image": "a.png", "instruction": ["red"]}', "no instruction"),
        ('{"image": "a.png", "instruction": "red", "seed": true}', "seed"),
        ('{"image": "a.png", "instruction": "red", "output": 3}', "output"),
    ],
)
def test_json_lines_that_cannot_be_done_are_refused(tmp_path, text, part):
    with pytest.raises(InputError) as caught:
        from_table(table(tmp_path, text, "edits.jsonl"), 0, tmp_path / "out")
    assert part in str(caught.value)


def test_a_table_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        from_table(tmp_path / "edits.csv", 0, tmp_path / "out")
    (tmp_path / "edits.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        from_table(tmp_path / "edits.csv", 0, tmp_path / "out")


def test_an_output_through_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "away").symlink_to(tmp_path)
    with pytest.raises(InputError, match="outside"):
        from_table(table(tmp_path, "image,instruction,output\na.png,red,away/x.png\n"), 0, tmp_path / "out")
