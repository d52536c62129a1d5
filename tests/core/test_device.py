"""Weights are found where they are, named by what they hold, and put where they shall run."""

from __future__ import annotations

import os

import pytest

from insightedit.core.device import place, where
from insightedit.core.errors import ConfigError, InputError
from insightedit.core.fingerprint import identity
from insightedit.core.weights import fetched, find, find_pipeline


def test_a_folder_is_found_as_it_is(tmp_path):
    assert find(str(tmp_path)) == tmp_path
    assert find_pipeline(str(tmp_path), None, object) == tmp_path


def test_what_is_neither_folder_nor_id_is_refused(tmp_path):
    (tmp_path / "one.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="single file"):
        find(str(tmp_path / "one.safetensors"))
    with pytest.raises(InputError, match="no folder here and no hub id"):
        find(str(tmp_path / "absent"))


def test_an_id_that_cannot_be_had_says_why_on_one_line():
    def download() -> str:
        raise OSError("no\nroute")

    with pytest.raises(InputError, match=r"cannot get a/b: no route\. Check the name"):
        fetched("a/b", download)


def test_pickles_are_not_asked_of_the_hub(monkeypatch):
    import huggingface_hub

    asked = {}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda model, **how: asked.update(how) or "there")
    assert str(find("owner/name", "v1")) == "there"
    assert asked["revision"] == "v1"
    assert not any(pattern.endswith((".bin", ".pt", "*")) for pattern in asked["allow_patterns"])


def test_identity_is_the_commit_of_a_snapshot_and_else_the_contents(tmp_path):
    snapshot = tmp_path / "snapshots" / ("0123456789" * 4)
    snapshot.mkdir(parents=True)
    assert identity(snapshot) == snapshot.name
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "a.json").write_text("{}")
    before = identity(folder)
    os.utime(folder / "a.json", (0, 0))
    assert identity(folder) == before
    (folder / "a.json").write_text("{ }")
    assert identity(folder) != before
    assert len(identity(folder / "a.json")) == 16


def test_devices_and_numbers_are_refused_by_name():
    import torch

    assert where("cpu", "auto") == (torch.device("cpu"), torch.float32)
    assert where("cpu", "bfloat16")[1] == torch.bfloat16
    with pytest.raises(ConfigError, match=r"no device 'cuda:9'|no device 'xla'"):
        where("cuda:9" if not torch.cuda.is_available() else "xla", "auto")
    with pytest.raises(ConfigError, match="no device 'gpu'"):
        where("gpu", "auto")
    with pytest.raises(ConfigError, match="no dtype 'int8'"):
        where("cpu", "int8")


def test_there_is_nothing_to_offload_from_the_cpu():
    import torch

    with pytest.raises(ConfigError, match="cannot offload"):
        place(object(), torch.device("cpu"), "model")
