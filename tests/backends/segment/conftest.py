"""Tiny segmenting networks, loaded by the real loading code."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_segmenters import as_in_2023, detector, sam, sam2, sam3

from insightedit.backends.segment.detect import Detector, DetectorKnobs
from insightedit.backends.segment.sam import Sam, SamKnobs


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 (64, 96, 3): smooth, no symmetry."""
    rows, columns = np.mgrid[0:64, 0:96]
    return np.stack([columns * 2 + rows, 255 - rows * 3, (rows * columns) // 30], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> dict[str, Path]:
    """Folders by kind. Read them, do not write into them."""
    root = tmp_path_factory.mktemp("weights")
    return {
        "grounding-dino": detector(root / "grounding-dino"),
        "mm-grounding-dino": detector(root / "mm-grounding-dino", "mm-grounding-dino"),
        "2023": as_in_2023(detector(root / "2023")),
        "sam": sam(root / "sam"),
        "sam2": sam2(root / "sam2"),
        "sam3": sam3(root / "sam3"),
    }


@pytest.fixture(scope="session")
def loaded(weights) -> Callable[[str], Detector | Sam]:
    """A detector or SAM by kind, set up once for all tests. Ask it, do not change it."""

    @cache
    def ready(kind: str) -> Detector | Sam:
        folder = str(weights[kind])
        made = (
            Sam(SamKnobs(model=folder), "cpu")
            if kind.startswith("sam")
            else Detector(DetectorKnobs(model=folder), "cpu")
        )
        made.setup()
        return made

    return ready
