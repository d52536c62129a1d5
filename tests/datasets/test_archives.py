"""Members by place: what the index names is what is read; damage and bombs are unfit."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets import archives

DATA = {"a/one.txt": b"one" * 500, "b/two.bin": np.random.default_rng(0).bytes(900), "empty": b""}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_members_are_read_by_offset(tmp_path, method):
    path = tmp_path / "shard-00.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in DATA.items():
            archive.writestr(name, data)
    found = {name: archives.zip_read(path, *place) for name, *place in archives.zip_members(path, "zips")}
    assert found == DATA


def test_a_zip_of_a_stream_is_read_too(tmp_path):
    """Written without seeking, its local headers know no sizes."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.data += data
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", DATA["a/one.txt"])
    path = tmp_path / "s.zip"
    path.write_bytes(stream.data)
    assert [archives.zip_read(path, *place) for _, *place in archives.zip_members(path, "zips")] == [DATA["a/one.txt"]]


def test_a_zip_bomb_stops_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER", 10_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(5_000_000))
    (place,) = archives.zip_members(path, "zips")
    with pytest.raises(Unfit, match="too_many_bytes"):
        archives.zip_read(path, *place[1:])


def test_damaged_zips_say_so(tmp_path):
    path = tmp_path / "shard-00.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", DATA["a/one.txt"])
    (place,) = archives.zip_members(path, "zips")
    whole = path.read_bytes()
    path.write_bytes(whole[:31] + b"\xff" * 8 + whole[39:])
    with pytest.raises(Unfit, match="damaged_member"):
        archives.zip_read(path, *place[1:])
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"shard-00\.zip.*Expected layout: zips"):
        list(archives.zip_members(path, "zips"))


def test_tar_members_are_read_by_offset_and_a_cut_tar_keeps_its_whole_ones(tmp_path):
    path = tmp_path / "00000.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in DATA.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    members, is_whole = archives.tar_members(path)
    assert is_whole and {name: archives.tar_read(path, *place) for name, *place in members} == DATA
    second = members[1]
    path.write_bytes(path.read_bytes()[: second[1] + 100])
    members, is_whole = archives.tar_members(path)
    assert not is_whole and [name for name, *_ in members] == ["a/one.txt"]
    with pytest.raises(Unfit, match="damaged_member"):
        archives.tar_read(path, *second[1:])
