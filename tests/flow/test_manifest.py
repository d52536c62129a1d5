"""What is done is done, and nothing else is."""

from __future__ import annotations

import json

import pytest
from toys import Number

from insightedit.core.errors import OutputError
from insightedit.core.record import Reject
from insightedit.flow import manifest as module
from insightedit.flow.manifest import Manifest

FOUND = [("a", Number(value=1, blob=b"x")), ("b", Number(value=2, blob=b"y"))]
REJECTS = [Reject(step="times", reason="odd", photo_id="c", seen="3", wanted="even")]


@pytest.fixture
def manifest(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.commit(3, "times", "mark", FOUND, REJECTS, Number, 1.25)
    return manifest


def test_a_commit_reads_back(manifest):
    done = manifest.done(3, "times", "mark")
    assert (done.keys, done.rejects, done.came_in, done.cpu_s) == (["a", "b"], REJECTS, 3, 1.25)
    assert manifest.read(3, "times", "mark", Number, heavy=True) == [value for _, value in FOUND]


def test_heavy_fields_are_read_only_when_asked_for(manifest):
    assert manifest.read(3, "times", "mark", Number, heavy=False) == [Number(value=1), Number(value=2)]


def test_nothing_else_is_done(manifest):
    for shard, step, mark in ((4, "times", "mark"), (3, "plus", "mark"), (3, "times", "other")):
        assert manifest.done(shard, step, mark) is None


def test_a_shard_that_kept_nothing_is_done_too(tmp_path):
    Manifest(tmp_path).commit(0, "times", "mark", [], REJECTS, Number, 0.0)
    assert Manifest(tmp_path).done(0, "times", "mark").keys == []
    assert Manifest(tmp_path).read(0, "times", "mark", Number, heavy=True) == []


def test_data_without_a_commit_record_do_not_count(manifest):
    next(manifest.root.glob("*/*.done.json")).unlink()
    assert manifest.done(3, "times", "mark") is None


def test_a_commit_record_without_data_does_not_count(manifest):
    next(manifest.root.glob("*/*.parquet")).unlink()
    assert manifest.done(3, "times", "mark") is None


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_a_touched_file_is_noticed(manifest, change):
    path = next(manifest.root.glob("*/*.parquet"))
    path.write_bytes(change(path.read_bytes()))
    assert manifest.done(3, "times", "mark") is None


@pytest.mark.parametrize("text", ["", '{"keys": ["a"', "{}", "[]", '{"keys": [], "bytes": "many"}', "\x00" * 40])
def test_a_commit_record_that_is_not_whole_does_not_count(manifest, text):
    next(manifest.root.glob("*/*.done.json")).write_text(text)
    assert manifest.done(3, "times", "mark") is None


@pytest.mark.parametrize("call", range(6))
def test_a_kill_before_any_write_or_rename_leaves_the_step_undone_or_done(tmp_path, monkeypatch, call):
    """Every system call of a commit fails in turn, as it would look to the next run after a kill there."""
    import insightedit.core.files as files

    seen = []

    def counted(real):
        def wrapper(*args):
            seen.append(real.__name__)
            if len(seen) == call + 1:
                raise KeyboardInterrupt
            return real(*args)

        return wrapper

    for name in ("fsync", "replace"):
        monkeypatch.setattr(files.os, name, counted(getattr(files.os, name)))
    with pytest.raises(KeyboardInterrupt):
        Manifest(tmp_path).commit(0, "times", "mark", FOUND, REJECTS, Number, 0.0)
    monkeypatch.undo()
    done = Manifest(tmp_path).done(0, "times", "mark")
    assert (done is not None) == (call == 5)  # the last call syncs the folder: everything is in place by then
    Manifest(tmp_path).commit(0, "times", "mark", FOUND, REJECTS, Number, 0.0)
    assert Manifest(tmp_path).read(0, "times", "mark", Number, heavy=True) == [value for _, value in FOUND]


def test_what_a_killed_run_left_is_swept_and_what_it_finished_is_not(manifest):
    leftover = manifest.root / "00003" / "plus-mark.parquet.unfinished"
    leftover.write_bytes(b"half")
    manifest.sweep()
    assert not leftover.exists() and manifest.done(3, "times", "mark") is not None


def test_a_full_disk_says_so_and_commits_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.pq, "write_table", full)
    with pytest.raises(OutputError, match="No space left on device"):
        Manifest(tmp_path).commit(0, "times", "mark", FOUND, [], Number, 0.0)
    assert list(tmp_path.rglob("*.*")) == []


def test_a_commit_record_is_plain_json(manifest):
    record = json.loads(next(manifest.root.glob("*/*.done.json")).read_text())
    assert record["came_in"] == len(record["keys"]) + len(record["rejects"])
