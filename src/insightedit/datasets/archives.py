"""Members of zip and tar files by place: an index of offsets, and a read that opens nothing but the file itself.

Nothing is ever unpacked to disk, so no name inside an archive can lead anywhere.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from insightedit.core.errors import Unfit
from insightedit.datasets.layout import wrong

MAX_MEMBER = 64_000_000  # bytes, unpacked
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x1


def zip_members(path: Path, layout: str) -> Iterator[tuple[str, int, int]]:
    """(name, offset of the local header, bytes as packed) of every member.

    Raises:
        InputError: it is not a zip file, or is cut off.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                yield info.filename, info.header_offset, info.compress_size
    except (zipfile.BadZipFile, OSError) as error:
        raise wrong(path, f"it is not a whole zip file ({error})", layout) from error


def zip_read(path: Path, offset: int, size: int) -> bytes:
    """One member, from `zip_members`' numbers.

    Raises:
        Unfit: damaged_member, too_many_bytes.
    """
    with path.open("rb") as handle:
        handle.seek(offset)
        head = handle.read(30)
        if len(head) < 30 or head[:4] != b"PK\x03\x04":
            raise Unfit("damaged_member", f"{path.name} at {offset}", "the header of a zip member")
        flags, method = struct.unpack("<HH", head[6:10])
        names, extra = struct.unpack("<HH", head[26:30])
        handle.seek(names + extra, 1)
        packed = handle.read(min(size, MAX_MEMBER + 1))
    if flags & _ENCRYPTED or method not in (_STORED, _DEFLATED) or len(packed) < min(size, MAX_MEMBER):
        raise Unfit("damaged_member", f"{path.name} at {offset}: method {method}", "a stored or deflated zip member")
    data = packed if method == _STORED else _inflated(packed, path, offset)
    if len(data) > MAX_MEMBER:
        raise Unfit("too_many_bytes", f"{path.name} at {offset}", f"at most {MAX_MEMBER}")
    return data


def _inflated(packed: bytes, path: Path, offset: int) -> bytes:
    try:
        return zlib.decompressobj(-15).decompress(packed, MAX_MEMBER + 1)
    except zlib.error as error:
        raise Unfit("damaged_member", f"{path.name} at {offset}: {error}", "deflated data") from error


def tar_members(path: Path) -> tuple[list[tuple[str, int, int]], bool]:
    """(name, offset of the data, bytes) of every plain file of a tar, and whether the tar is whole.

    A killed download leaves a tar that ends in the middle of a member (img2dataset issue 289): the whole ones count.
    """
    members: list[tuple[str, int, int]] = []
    length, end = path.stat().st_size, 0
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                size = member.size if member.isreg() else 0
                if member.offset_data + size > length:
                    return members, False
                if member.isreg():
                    members.append((member.name, member.offset_data, size))
                end = member.offset_data + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    except tarfile.TarError:
        return members, False
    with path.open("rb") as handle:  # `tarfile` takes the end of the file for the end of the archive; a zero block is
        handle.seek(end)
        return members, handle.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def tar_read(path: Path, offset: int, size: int) -> bytes:
    """One member, from `tar_members`' numbers.

    Raises:
        Unfit: too_many_bytes, damaged_member.
    """
    if size > MAX_MEMBER:
        raise Unfit("too_many_bytes", f"{path.name} at {offset}: {size}", f"at most {MAX_MEMBER}")
    with path.open("rb") as handle:
        handle.seek(offset)
        data = handle.read(size)
    if len(data) < size:
        raise Unfit("damaged_member", f"{path.name} at {offset}", f"{size} bytes")
    return data
