"""Paid answers, kept until the step that asked for them is committed: no crash makes anybody pay twice.

    shards/journal-00012.jsonl      one line per answer: crc32 of the JSON in 8 hex digits, a blank, ["KEY", "ANSWER"]

An answer counts once it is on the disk. All that arrive while the disk is busy share its next sync, so the rate of
answers does not depend on how slow a sync is. A line that a crash tore does not match its checksum and is cut off.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from insightedit.core.errors import OutputError
from insightedit.core.files import TEMPORARY, write_text

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
_Waiting = tuple[bytes, "asyncio.Future[None]"]


def path_of(root: Path, shard: int) -> Path:
    """Where a shard's journal lies."""
    return root / f"journal-{shard:05d}.jsonl"


def sweep(root: Path, is_settled: Callable[[int], bool]) -> None:
    """Remove journals of shards that need none any more: a run killed between a commit and the removal left them."""
    for path in root.glob("journal-*.jsonl"):
        number = re.fullmatch(r"journal-(\d+)\.jsonl", path.name)
        if number and is_settled(int(number[1])):
            path.unlink()
    for path in root.glob(f"journal-*.jsonl{TEMPORARY}"):
        path.unlink()


class Journal:
    """The paid answers of one shard. One writer: whoever holds the lock of the run's folder.

    Args:
        path: of the file; made if it is not there. Its whole lines are read, what follows them is cut off.

    Raises:
        OutputError: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[str, bytes] = {}
        self._waiting: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None
        # a thread of its own: no decoding of pictures may stand between an answer and the disk
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        try:
            if not path.exists():
                write_text(path, "")  # syncs the folder too: the name survives a power cut
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
            self._size = self._read()
        except OSError as error:
            raise self._unwritable(error) from error

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> bytes | None:
        """The answer that was paid for under `key`, or None."""
        return self._answers.get(key)

    async def put(self, key: str, answer: bytes) -> None:
        """Keep an answer; returns once it is on the disk. The last answer of a key counts.

        Raises:
            OutputError: the disk is full or gone; the answer is not kept.
        """
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        self._waiting.append((_line(key, answer), written))
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush())
        await written
        self._answers[key] = answer

    def close(self) -> None:
        """Wait for the write under way and let go of the file; what waits for the next one is not kept."""
        for _, written in self._waiting:
            written.cancel()
        if self._file >= 0:
            self._thread.shutdown(wait=True)
            os.close(self._file)
            self._file = -1

    def remove(self) -> None:
        """The answers are not needed any more: what was made of them is committed."""
        self.close()
        self.path.unlink(missing_ok=True)

    async def _flush(self) -> None:
        """Write and sync, for all that wait at that moment, until none does."""
        try:
            while self._waiting and self._file >= 0:
                group, self._waiting = self._waiting, []
                data = b"".join(line for line, _ in group)
                error: OutputError | None = None
                try:
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._append, data)
                except OSError as reason:
                    error = self._unwritable(reason)
                for _, written in group:
                    if written.done():  # whoever waited was cancelled
                        continue
                    if error:
                        written.set_exception(error)
                    else:
                        written.set_result(None)
        finally:
            self._flushing = None

    def _append(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
            _sync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)  # half a line must not run into the next
            raise
        self._size += len(data)

    def _read(self) -> int:
        """Take every line whose checksum holds; cut the file after the last. Its length."""
        data, end, at = self.path.read_bytes(), 0, 0
        for line in data.splitlines(keepends=True):
            at += len(line)
            found = _parsed(line)
            if found is not None:
                self._answers[found[0]] = found[1]
                end = at
        if end < len(data):
            os.ftruncate(self._file, end)
            _sync(self._file)
        return end

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"could not keep a paid answer in {self.path}",
            error.strerror or str(error),
            "Free some space; what is finished stays, and the same command continues",
        )


def _line(key: str, answer: bytes) -> bytes:
    """Any bytes survive: those that are no UTF-8 travel as lone surrogates, which JSON escapes."""
    text = json.dumps([key, answer.decode("utf-8", "surrogateescape")]).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> tuple[str, bytes] | None:
    """Key and answer of a whole line; None for a torn one."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    key, answer = json.loads(text)
    return key, answer.encode("utf-8", "surrogateescape")
