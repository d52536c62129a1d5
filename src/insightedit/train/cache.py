"""What frozen encoders said, kept on disk: one file of equal rows per kind, shared by processes and by runs.

A row is key, checksum, value; the key is a hash of what was encoded. Rows are appended under a lock and never changed.
A row that is damaged is not found, so it is made again and appended anew, and the last row of a key counts.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b, sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import nn

from insightedit.core.errors import InputError, OutputError

HEAD = 512  # bytes before the first row: JSON, padded
KEY, CHECK = 32, 16  # bytes
Encode = Callable[[torch.Tensor], torch.Tensor]


def fingerprint(module: nn.Module, *settings: object) -> str:
    """Of every weight of an encoder, and of whatever else decides what it says. Seconds for billions of bytes."""
    digest = sha256(repr(settings).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()[:24]


def key_of(picture: torch.Tensor) -> bytes:
    """Of one picture's values, (3, H, W)."""
    return sha256(f"{picture.dtype} {tuple(picture.shape)}".encode() + _bytes(picture)).digest()


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


class Shelf:
    """Tensors of one kind and shape in one file. Several processes may read and write it at once.

    Args:
        path: of the file; made with the first value.
        limit: bytes that the file may reach; beyond it nothing more is kept, which `full` tells.

    Raises:
        InputError: the file is no such file.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit, self.full = path, limit, False
        self.places: dict[bytes, int] = {}
        self.rows = np.zeros(0, np.uint8)
        self.shape, self.dtype = torch.Size(), torch.float32
        self._look()

    def get(self, key: bytes) -> torch.Tensor | None:
        """The value, or None where it is not there or damaged."""
        if key not in self.places:
            self._look()  # another process may have made it
        place = self.places.get(key)
        if place is None:
            return None
        row = self.rows[place]
        value = row["value"].tobytes()
        if row["check"].tobytes() != _check(key, value):
            del self.places[key]
            return None
        return torch.frombuffer(bytearray(value), dtype=self.dtype).view(self.shape)

    def put(self, keys: Sequence[bytes], values: torch.Tensor) -> None:
        """Append (n, ...) values, as far as the limit allows.

        Raises:
            OutputError: the file cannot be written.
        """
        raw = [_bytes(value) for value in values]
        rows = b"".join(key + _check(key, value) + value for key, value in zip(keys, raw, strict=True))
        with self._locked() as file:
            end = max(HEAD, file.seek(0, 2))
            end -= (end - HEAD) % (len(rows) // len(keys))  # a writer was killed in the middle of a row
            file.seek(0)
            file.write(_head(values))  # the same as before, or the first
            self.full = end + len(rows) > self.limit
            if not self.full:
                file.seek(end)
                file.write(rows)
                file.truncate()  # what was left of a cut row
        self._look()

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            with open(self.path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"cannot write {self.path}", why, "Free some space, or train without cache") from error

    def _look(self) -> None:
        """Take in whole rows that were appended since the last look."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < HEAD:
            return
        kind = self._kind()
        count = (size - HEAD) // kind.itemsize
        known = len(self.rows)
        if count > known:
            self.rows = np.memmap(self.path, kind, "r", HEAD, (count,))
            keys = self.rows["key"][known:]
            self.places.update((key.tobytes(), known + place) for place, key in enumerate(keys))

    def _kind(self) -> np.dtype[np.void]:
        """Of a row, from the file's head."""
        with open(self.path, "rb") as file:
            head = file.read(HEAD)
        try:
            told = json.loads(head)
            self.shape, self.dtype = torch.Size(told["shape"]), getattr(torch, told["dtype"])
            size = self.shape.numel() * self.dtype.itemsize
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"cannot read {self.path}", str(error)[:200], "Delete it: it is made again") from error
        return np.dtype([("key", f"V{KEY}"), ("check", f"V{CHECK}"), ("value", f"V{size}")])


def _check(key: bytes, value: bytes) -> bytes:
    return blake2b(key + value, digest_size=CHECK).digest()


def _head(values: torch.Tensor) -> bytes:
    told = {"shape": list(values.shape[1:]), "dtype": str(values.dtype).removeprefix("torch.")}
    return json.dumps(told).encode().ljust(HEAD)


class Kept:
    """An encoder that remembers.

    Args:
        folder: of the cache.
        kind: what is encoded, the name of its file.
        mark: `fingerprint` of the encoder: another encoder has another file.
        encode: pictures (n, 3, H, W) -> (n, ...).
        limit: bytes, of this kind.
    """

    def __init__(self, folder: Path, kind: str, mark: str, encode: Encode, limit: int) -> None:
        self.shelf, self.encode = Shelf(folder / f"{kind}-{mark}.rows", limit), encode
        self.found, self.made = 0, 0

    def __call__(self, pictures: torch.Tensor, device: torch.device) -> torch.Tensor:
        """(n, 3, H, W), in memory of the host -> (n, ...) on `device`; only what is not known is encoded."""
        keys = [key_of(picture) for picture in pictures]
        known = {key: self.shelf.get(key) for key in dict.fromkeys(keys)}
        missing = [key for key, value in known.items() if value is None]
        self.found, self.made = self.found + len(keys) - len(missing), self.made + len(missing)
        if missing:
            asked = pictures[[keys.index(key) for key in missing]].to(device)
            # One picture alone takes other kernels than several, which differ in the last bits: so it goes twice
            made = self.encode(asked if len(missing) > 1 else torch.cat([asked, asked]))[: len(missing)]
            known |= dict(zip(missing, made, strict=True))
            if not self.shelf.full:
                self.shelf.put(missing, made)
        return torch.stack([value.to(device) for key in keys if (value := known[key]) is not None])
