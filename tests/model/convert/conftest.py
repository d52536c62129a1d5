"""Tiny public checkpoints, written once. Tests copy what they change."""

from __future__ import annotations

import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # a hub id in a test fails at once instead of asking the network

import torch
from model.convert.layouts import clip_folder, llava_original, smartedit_parts, stock_pipeline, tiny_smartedit


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def stock():
    """InstructPix2Pix in memory; read only."""
    return stock_pipeline()


@pytest.fixture(scope="session")
def stock_folder(stock, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock") / "ip2p"
    stock.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llava(tmp_path_factory):
    """(folder, its tensors, its vision tower) of a LLaVA-1.1 with 512 + 3 rows."""
    root = tmp_path_factory.mktemp("llava")
    tower = clip_folder(root / "clip")
    return root / "llava-1.1", llava_original(root / "llava-1.1", root / "clip", rows=515), tower


@pytest.fixture(scope="session")
def smartedit(llava):
    """The model that the SmartEdit files of the tests are written from; read only."""
    return smartedit_parts(llava[1], llava[2])


@pytest.fixture
def small_preset(monkeypatch):
    """`--preset tiny-smartedit`."""
    from insightedit.model.presets import PRESETS

    monkeypatch.setitem(PRESETS, "tiny-smartedit", tiny_smartedit)
    return "tiny-smartedit"
