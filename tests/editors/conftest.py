"""Tiny pipelines with random weights, saved in the public layouts and loaded by the real loading code."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pipelines import stable_diffusion


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 (70, 100, 3): smooth, no symmetry, sides that no rule keeps."""
    rows, columns = np.mgrid[0:70, 0:100]
    return np.stack([columns * 2 + rows, 255 - rows * 3, (rows * columns) // 30], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def ip2p(tmp_path_factory) -> Path:
    """A folder as timbrooks/instruct-pix2pix has it. Read it, do not write into it."""
    folder = tmp_path_factory.mktemp("weights") / "ip2p"
    stable_diffusion().save_pretrained(folder)
    return folder
