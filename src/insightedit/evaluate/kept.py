"""What was found once is not looked for again: lines of JSON under keys, appended as they come.

A line counts once it is whole; what a crash tore is cut off. One writer: whoever holds the lock of the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from insightedit.core.errors import OutputError


class Kept:
    """A file of lines, each an object with a `key`; the last line of a key counts.

    Args:
        path: made when the first line comes.
        durable: whether a line must survive a power cut before `put` returns: what was paid for must.

    Raises:
        OutputError: the file cannot be read or written.
    """

    def __init__(self, path: Path, durable: bool = False) -> None:
        self.path, self.durable = path, durable
        self._lines: dict[str, Mapping[str, Any]] = {}
        self._lock = Lock()  # answers come from several threads
        try:
            self._size = self._read()
        except OSError as error:
            raise self._unwritable(error) from error

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The line of a key, or None."""
        return self._lines.get(key)

    def put(self, key: str, line: Mapping[str, Any]) -> None:
        """Keep a line.

        Raises:
            OutputError: the disk is full or gone; the line is not kept.
        """
        whole = {"key": key, **line}
        data = json.dumps(whole, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            try:
                self._append(data)
            except OSError as error:
                raise self._unwritable(error) from error
            self._lines[key] = whole

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab", buffering=0) as handle:
            try:
                left = memoryview(data)
                while left:
                    left = left[handle.write(left) :]
                if self.durable:
                    os.fsync(handle.fileno())
            except OSError:
                os.truncate(self.path, self._size)  # half a line must not run into the next
                raise
        self._size += len(data)

    def _read(self) -> int:
        """Take every whole line and cut off what follows the last; the length of the rest."""
        if not self.path.exists():
            return 0
        data, end, at = self.path.read_bytes(), 0, 0
        for line in data.splitlines(keepends=True):
            at += len(line)
            found = _parsed(line)
            if found is not None:
                self._lines[found["key"]] = found
                end = at
        if end < len(data):
            os.truncate(self.path, end)
        return end

    def _unwritable(self, error: OSError) -> OutputError:
        mend = "Free some space; what is finished stays, and the same command continues"
        return OutputError(f"could not keep a result in {self.path}", error.strerror or str(error), mend)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The object of a whole line; None for a torn one, or one that is not ours."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if line.endswith(b"\n") and isinstance(found, dict) and isinstance(found.get("key"), str) else None
