"""Paid answers survive whatever happens to the process, and cost few syncs."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from insightedit.core.errors import OutputError
from insightedit.flow import journal as module
from insightedit.flow.journal import Journal

ANSWERS = {
    "plain": b'{"caption": "a dog"}',
    "lines": b"one\ntwo\r\nthree\x0b",
    "empty": b"",
    "ключ": "ответ 🐕".encode(),
    "no utf-8": bytes(range(256)),
    "half a character": "🐕".encode()[:3] + b"\xed\xa0\xbd\xed\xb0\x95",
}


def put_all(journal: Journal, answers: dict[str, bytes]) -> None:
    async def together():
        await asyncio.gather(*(journal.put(key, answer) for key, answer in answers.items()))

    asyncio.run(together())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shards" / "journal-00003.jsonl"


def reopened(path) -> Journal:
    journal = Journal(path)
    journal.close()
    return journal


def test_any_bytes_come_back_at_once_and_after_a_restart(path):
    journal = Journal(path)
    put_all(journal, ANSWERS)
    journal.close()
    for kept in (journal, reopened(path)):
        assert {key: kept.get(key) for key in ANSWERS} == ANSWERS
        assert kept.get("another") is None and len(kept) == len(ANSWERS)


def test_a_line_is_a_checksum_and_json_in_ascii(path):
    journal = Journal(path)
    put_all(journal, {"key": "ответ\n".encode()})
    journal.close()
    checksum, _, text = path.read_bytes().partition(b" ")
    import json
    import zlib

    assert int(checksum, 16) == zlib.crc32(text[:-1]) and text.endswith(b"\n") and text.isascii()
    assert json.loads(text) == ["key", "ответ\n"]


def test_the_last_answer_of_a_key_counts(path):
    journal = Journal(path)
    for answer in (b"first", b"second"):
        put_all(journal, {"key": answer})
    journal.close()
    assert journal.get("key") == reopened(path).get("key") == b"second"


def test_a_file_torn_anywhere_keeps_its_whole_lines_and_takes_new_ones(path, monkeypatch):
    monkeypatch.setattr(module, "_sync", lambda _: None)  # hundreds of opens: the disk is not what is tested
    journal = Journal(path)
    put_all(journal, {"a": b"1", "b": b"22", "c": b"333"})
    journal.close()
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        torn = Journal(path)
        lines = sum(end <= cut for end in ends)
        assert len(torn) == lines and path.stat().st_size == ([0, *ends][lines]), f"cut at {cut}"
        put_all(torn, {"d": b"4444"})
        torn.close()
        kept = reopened(path)
        assert (len(kept), kept.get("d")) == (lines + 1, b"4444"), f"cut at {cut}"


@pytest.mark.parametrize("noise", [b"\x00" * 40, b"00000000 []\n", b"zzzz\n\n\n", b'00000000 ["a", "forged"]\n'])
def test_what_does_not_match_its_checksum_is_no_answer_and_hides_none_after_it(path, noise):
    journal = Journal(path)
    put_all(journal, {"a": b"1"})
    journal.close()
    good = path.read_bytes()
    path.write_bytes(good + noise + (b"" if noise.endswith(b"\n") else b"\n") + module._line("b", b"2"))
    kept = reopened(path)
    assert (kept.get("a"), kept.get("b"), len(kept)) == (b"1", b"2", 2)
    path.write_bytes(good + noise)
    assert len(reopened(path)) == 1 and path.read_bytes() == good


def test_all_that_wait_share_one_sync_and_nobody_returns_before_it(path, monkeypatch):
    syncs, synced = [], threading.Event()
    real = module._sync

    def slow(file):
        time.sleep(0.05)
        real(file)
        syncs.append(path.read_bytes().count(b"\n"))
        synced.set()

    monkeypatch.setattr(module, "_sync", slow)
    journal = Journal(path)

    async def put(number):
        await journal.put(f"key {number}", b"answer")
        assert synced.is_set() and journal.get(f"key {number}") == b"answer"
        assert module._line(f"key {number}", b"answer") in path.read_bytes()

    async def together():
        await asyncio.gather(*(put(number) for number in range(500)))

    asyncio.run(together())
    journal.close()
    assert len(syncs) <= 2 and syncs[-1] == 500  # one for the first to come, one for all who came meanwhile


def test_an_answer_is_not_there_before_it_is_on_the_disk(path, monkeypatch):
    async def look():
        journal = Journal(path)
        putting = asyncio.ensure_future(journal.put("key", b"answer"))
        await asyncio.sleep(0)
        before = journal.get("key")
        await putting
        journal.close()
        return before, journal.get("key")

    assert asyncio.run(look()) == (None, b"answer")


@pytest.mark.parametrize("fails", ["write", "sync"])
def test_a_full_disk_says_so_leaves_no_half_line_and_later_answers_are_kept(path, monkeypatch, fails):
    journal = Journal(path)
    put_all(journal, {"a": b"1"})
    before, real_write = path.read_bytes(), module.os.write

    def half(file, data):
        real_write(file, bytes(data)[: len(data) // 2])
        raise OSError(28, "No space left on device")

    def no_sync(_):
        raise OSError(5, "Input/output error")

    if fails == "write":
        monkeypatch.setattr(module.os, "write", half)
    else:
        monkeypatch.setattr(module, "_sync", no_sync)
    with pytest.raises(OutputError, match=r"journal-00003.jsonl: (No space left on device|Input/output error)"):
        put_all(journal, {"b": b"2"})
    monkeypatch.undo()
    assert path.read_bytes() == before and journal.get("b") is None
    put_all(journal, {"c": b"3"})
    journal.close()
    assert [reopened(path).get(key) for key in "abc"] == [b"1", None, b"3"]


def test_one_who_stops_waiting_takes_no_answer_from_the_others(path):
    async def cancelled():
        journal = Journal(path)
        putting = [asyncio.ensure_future(journal.put(str(number), b"x")) for number in range(9)]
        await asyncio.sleep(0)
        putting[4].cancel()
        await asyncio.gather(*putting, return_exceptions=True)
        journal.close()

    asyncio.run(cancelled())
    kept = reopened(path)
    assert all(kept.get(str(number)) == b"x" for number in range(9) if number != 4)


def test_a_closed_journal_can_be_closed_again_and_a_removed_one_is_gone(path):
    journal = Journal(path)
    journal.close()
    journal.close()
    Journal(path).remove()
    assert not path.exists()


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        Journal(tmp_path / "file" / "journal-00000.jsonl")
