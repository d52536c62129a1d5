"""Files are whole or absent, and paths stay inside."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from insightedit.core import files
from insightedit.core.errors import InputError, OutputError
from insightedit.core.files import atomic, inside, read_json, sha256_of, shipped, write_json, write_text


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_under_its_name_and_nothing_else_does(tmp_path):
    target = tmp_path / "deep" / "er" / "a.txt"
    with atomic(target) as unfinished:
        unfinished.write_text("half")
        assert not target.exists()
        unfinished.write_text("whole")
    assert target.read_text() == "whole" and names(target.parent) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_no_new_one(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="mine"), atomic(target) as unfinished:
        unfinished.write_text("new")
        raise RuntimeError("mine")
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_an_output_error_with_a_mend_and_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        write_text(tmp_path / "a.txt", "x")
    assert "No space left on device" in str(caught.value) and "Free some space" in caught.value.mend
    assert names(tmp_path) == []


def test_a_file_that_outgrows_what_may_be_written_is_an_output_error(tmp_path):
    program = f"""
import resource
from pathlib import Path
from insightedit.core.errors import OutputError
from insightedit.core.files import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
write_text(Path({str(tmp_path)!r}) / "small.txt", "x" * 4096)
try:
    write_text(Path({str(tmp_path)!r}) / "large.txt", "x" * 4097)
except OutputError as error:
    print(error.why)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "File too large"
    assert names(tmp_path) == ["small.txt"]


def test_pyarrows_failure_to_write_is_an_output_error(tmp_path):
    def write() -> None:
        with atomic(tmp_path / "t.parquet") as unfinished:
            unfinished.mkdir()  # pyarrow cannot open it
            pq.write_table(pa.table({"a": [1]}), unfinished)

    with pytest.raises(OutputError):
        write()


def test_a_place_that_cannot_be_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file" / "a.txt", tmp_path / "file" / "deep" / "a.txt", tmp_path):
        with pytest.raises(OutputError, match="could not write"):
            write_text(target, "x")
    assert (tmp_path / "file").read_text() == "x"


def test_json_comes_back_as_it_was(tmp_path):
    value = {"z": [1, 2.5, None, True], "a": {"ö": "🧀"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert list(read_json(tmp_path / "a.json")) == ["z", "a"]


def test_json_that_an_editor_put_a_mark_before_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_broken_json_is_an_input_error_that_names_the_line(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": 2,\n}')
    with pytest.raises(InputError, match=r"a\.json is not valid JSON: line 3, column 1"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b""])
def test_hostile_json_is_an_input_error(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(InputError):
        read_json(tmp_path / "a.json")


def test_a_missing_file_or_a_folder_is_an_input_error(tmp_path):
    for path in (tmp_path / "no.json", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read_json(path)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize("way", ["../secret", "a/../../secret", "/etc/passwd", "link", "linked/secret", "/", ".."])
def test_no_path_leads_out_of_its_root(tmp_path, way):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(InputError, match="outside"):
        inside(root, way)


@pytest.mark.parametrize("way", ["a.jpg", "b/a.jpg", "b/../a.jpg", "./a.jpg", "..a/b..jpg", "a\\..\\..\\b", ""])
def test_paths_within_the_root_are_left_alone(tmp_path, way):
    assert inside(tmp_path, way) == (tmp_path / way).resolve()


def test_a_root_may_itself_be_a_link_and_a_name_may_be_nonsense(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "root", "a") == (tmp_path / "real" / "a").resolve()
    assert not inside(tmp_path, "a\0b").exists()


def test_what_ships_is_found_and_what_does_not_is_an_input_error():
    assert (shipped("configs/build") / "offline.yaml").is_file()
    with pytest.raises(InputError):
        shipped("configs/none.yaml")
