"""Networks of back ends run tiny and random here, on one thread, and ask no hub."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported

import sys

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    if torch := sys.modules.get("torch"):  # half of these tests do without
        torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
