"""Files of strangers: what is not a checkpoint is said in one line, and nothing in them runs."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
import sys
import types

import pytest
import torch
from model.convert.layouts import save

from insightedit.core.errors import InputError
from insightedit.model.convert.read import need, read_folder, read_tensors, resolve

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(3)}


def equal(found) -> bool:
    return set(found) == set(STATE) and all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("name", ["x.bin", "x.ckpt", "x.safetensors"])
def test_tensors_come_back(name, tmp_path):
    assert equal(read_tensors(save(STATE, tmp_path / name)))


def test_an_old_style_pickle_is_read(tmp_path):
    torch.save(STATE, tmp_path / "x.bin", _use_new_zipfile_serialization=False)
    assert equal(read_tensors(tmp_path / "x.bin"))


def test_nested_dicts_are_joined(tmp_path):
    torch.save({"image_proj": {"w": torch.ones(1)}, "ip_adapter": {"1.k": torch.ones(1)}}, tmp_path / "x.bin")
    assert set(read_tensors(tmp_path / "x.bin")) == {"image_proj.w", "ip_adapter.1.k"}


def lightning_classes(monkeypatch):
    """Lightning is not installed: stand-ins at its names, so that a pickle names them as a real one does."""
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    kind = type("ModelCheckpoint", (), {"__module__": "pytorch_lightning.callbacks.model_checkpoint"})
    monkeypatch.setattr(sys.modules[kind.__module__], "ModelCheckpoint", kind, raising=False)
    return kind


@pytest.mark.parametrize("zipped", [True, False])
def test_a_lightning_file_gives_its_weights_without_lightning(zipped, monkeypatch, tmp_path):
    import numpy as np

    with monkeypatch.context() as patched:
        callback = lightning_classes(patched)
        told = {
            "epoch": 3,
            "state_dict": collections.OrderedDict(STATE),
            "callbacks": {callback: {"best": np.float64(0.5)}},
            "made": callback(),
            "hyper_parameters": argparse.Namespace(lr=1e-4),
            "counts": collections.defaultdict(int, a=1),
        }
        torch.save(told, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    assert "pytorch_lightning" not in sys.modules
    assert equal(read_tensors(tmp_path / "x.ckpt"))


class Trap:
    def __reduce__(self):
        return os.mkdir, (os.environ["TRAP"],)


class Shell:
    def __reduce__(self):
        return eval, ("__import__('os').mkdir(__import__('os').environ['TRAP'])",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("bait", "named"), [(Trap, "mkdir"), (Shell, "eval")])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(bait, named, zipped, monkeypatch, tmp_path):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    torch.save({"state_dict": {**STATE, "x": bait()}}, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=named):
        read_tensors(tmp_path / "x.ckpt")
    assert not (tmp_path / "sprung").exists()
    with open(tmp_path / "bait.pkl", "wb") as handle:
        pickle.dump(bait(), handle)
    with open(tmp_path / "bait.pkl", "rb") as handle:
        pickle.load(handle)  # noqa: S301  # the trap works: the test would notice
    assert (tmp_path / "sprung").exists()


def test_a_foreign_class_is_named(tmp_path):
    from fractions import Fraction

    torch.save({"state_dict": STATE, "x": Fraction(1, 2)}, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=r"fractions\.Fraction"):
        read_tensors(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "LFS pointer"),
        ("x.bin", b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        ("x.bin", b"", "empty"),
        ("x.bin", b"just some words, nothing else", "neither"),
        ("x.safetensors", b"\xff\xff\x00\x00\x00\x00\x00\x00{", "truncated or damaged"),
        ("x.bin", b"PK\x03\x04" + b"\0" * 600, "truncated or damaged"),
        ("x.bin", b"\x80\x02" + b"]q" * 50, "truncated or damaged"),
        ("x.ckpt_aa", b"PK\x03\x04" + b"\0" * 600, r"cat x\.ckpt_\* > x\.ckpt"),
    ],
)
def test_what_is_not_a_checkpoint_is_said(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_tensors(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_truncation_anywhere_is_an_input_error(suffix, tmp_path):
    whole = save({"a": torch.zeros(2000), "b": torch.ones(2000)}, tmp_path / f"x.{suffix}").read_bytes()
    for share in range(1, 20):
        (tmp_path / f"y.{suffix}").write_bytes(whole[: len(whole) * share // 20])
        with pytest.raises(InputError):
            read_tensors(tmp_path / f"y.{suffix}")


def test_missing_files_and_other_contents_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_tensors(tmp_path / "none.bin")
    torch.save([1, 2], tmp_path / "list.bin")
    with pytest.raises(InputError, match="holds a list"):
        read_tensors(tmp_path / "list.bin")
    torch.save({"a": 1}, tmp_path / "number.bin")
    with pytest.raises(InputError, match="'a' is a int"):
        read_tensors(tmp_path / "number.bin")


def test_shards_are_joined_and_a_lacking_one_is_named(tmp_path):
    for number, name in enumerate(STATE):
        save({name: STATE[name]}, tmp_path / f"model-{number}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a.weight": "model-0.safetensors", "a.bias": "model-1.safetensors"}}')
    found, sources = read_folder(tmp_path, "")
    assert equal(found) and len(sources) == 2
    save(STATE, tmp_path / "model-1.safetensors")
    with pytest.raises(InputError, match=r"in two shards: a\.weight"):
        read_folder(tmp_path, "")
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-1\.safetensors"):
        read_folder(tmp_path, "")


def test_an_index_may_not_point_outside_its_folder(tmp_path):
    (tmp_path / "in").mkdir()
    save(STATE, tmp_path / "x.bin")
    (tmp_path / "in" / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "../x.bin"}}')
    with pytest.raises(InputError, match="outside"):
        read_folder(tmp_path / "in", "")


def test_a_folder_without_weights_and_a_name_without_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no weights.*the layout"):
        read_folder(tmp_path, "the layout")
    with pytest.raises(InputError, match=r"config\.json is missing.*the layout"):
        need(tmp_path, "the layout", "config.json")
    with pytest.raises(InputError, match="not a folder"):
        resolve(tmp_path / "none")
    with pytest.raises(InputError, match="could not be fetched"):  # conftest keeps the hub offline
        resolve("nobody/nothing-at-all")
