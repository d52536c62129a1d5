"""Lines that are kept: whole ones survive anything, torn ones count for nothing."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from insightedit.core.errors import OutputError
from insightedit.evaluate.kept import Kept


def test_a_line_is_there_again(tmp_path):
    Kept(tmp_path / "a" / "k.jsonl").put("one", {"value": 1, "words": "naïve\u2028 line \udc80"})
    again = Kept(tmp_path / "a" / "k.jsonl")
    assert "one" in again and len(again) == 1 and again.get("two") is None
    assert again.get("one") == {"key": "one", "value": 1, "words": "naïve\u2028 line \udc80"}


def test_the_last_line_of_a_key_counts(tmp_path):
    kept = Kept(tmp_path / "k.jsonl")
    kept.put("one", {"value": 1})
    kept.put("one", {"value": 2})
    assert Kept(tmp_path / "k.jsonl").get("one")["value"] == kept.get("one")["value"] == 2


@pytest.mark.parametrize("torn", [b'{"key": "two", "val', b'{"key": "two", "value": 2}', b"\xff\xfe", b"[1]\n"])
def test_a_torn_line_is_cut_off_and_the_next_is_whole(tmp_path, torn):
    path = tmp_path / "k.jsonl"
    Kept(path).put("one", {"value": 1})
    with path.open("ab") as file:
        file.write(torn)
    kept = Kept(path)
    assert "two" not in kept
    kept.put("three", {"value": 3})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["one", "three"]


def test_threads_share_it(tmp_path):
    kept = Kept(tmp_path / "k.jsonl", durable=True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: kept.put(str(number), {"value": number}), range(64)))
    assert len(Kept(tmp_path / "k.jsonl")) == 64


def test_half_a_line_is_taken_back_when_the_disk_is_full(tmp_path, monkeypatch):
    kept = Kept(tmp_path / "k.jsonl", durable=True)
    kept.put("one", {"value": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        kept.put("two", {"value": 2})
    monkeypatch.undo()
    assert "two" not in kept and len(Kept(tmp_path / "k.jsonl")) == 1
