"""One thread (tiny tensors only lose by more), no hub, and one small random pipeline for everybody."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from PIL import Image

from insightedit.model.pipeline import InsightEditPipeline, from_preset


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


def woken(pipeline: InsightEditPipeline) -> InsightEditPipeline:
    """Heads and V that start at zero get values: a silent branch hides faults."""
    torch.manual_seed(1)
    for module in (pipeline.bridge, pipeline.image_attention):
        for parameter in module.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def pipeline() -> InsightEditPipeline:
    return woken(from_preset("tiny", seed=0))


def photo(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def picture() -> Image.Image:
    return photo()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
