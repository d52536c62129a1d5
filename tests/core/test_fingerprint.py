"""Hashes of files and folders: content, not place; large files by size and time."""

from __future__ import annotations

import os
import shutil

from insightedit.core import fingerprint
from insightedit.core.fingerprint import digest, of_folder


def test_a_digest_tells_parts_apart():
    assert digest(1, "a") == digest(1, "a") and len(digest()) == 16
    assert len({digest(1, "a"), digest("a", 1), digest([1, "a"]), digest(1, "a", None)}) == 4


def test_a_folder_is_its_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("{}")
    (tmp_path / "a" / ".hidden").write_text("of a file manager")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert of_folder(tmp_path / "a") == of_folder(tmp_path / "b")
    (tmp_path / "b" / ".hidden").write_text("changed")
    os.utime(tmp_path / "b" / "config.json", (1, 1))
    assert of_folder(tmp_path / "a") == of_folder(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text("[]")
    assert of_folder(tmp_path / "a") != of_folder(tmp_path / "b")
    (tmp_path / "b" / "config.json").rename(tmp_path / "b" / "index.json")
    (tmp_path / "b" / "index.json").write_text("{}")
    assert of_folder(tmp_path / "a") != of_folder(tmp_path / "b")


def test_a_large_file_is_its_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "READ_WHOLE", 3)
    (tmp_path / "weights").write_text("12345")
    before = of_folder(tmp_path)
    assert of_folder(tmp_path) == before
    os.utime(tmp_path / "weights", ns=(5, 5))
    assert of_folder(tmp_path) != before


def test_an_engine_names_its_weights_and_not_where_they_lay(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert fingerprint.engine(f"{folder}/", folder) == f"mine@{of_folder(folder)}"
    assert fingerprint.engine("owner/name", folder) == f"owner/name@{of_folder(folder)}"
