"""Samples of noise, and loaders of them that worker processes can import; no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from insightedit.core.errors import InputError
from insightedit.metrics.sample import Sample


def drawn(seed: int) -> Sample:
    """Noise of another size for each seed, a mask and all texts."""
    rng = np.random.default_rng(seed)
    height, width = 40 + seed, 61 + 3 * seed
    source, edited, target = rng.integers(0, 256, (3, height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[5 : 20 + seed, 10:40] = 255
    words = {"clip_text": "a red ball", "caption_source": "a cat", "caption_target": "a blue dog"}
    return Sample(source, edited, target, mask, **words)


@dataclass(frozen=True)
class Draw:
    """A loader; some fail."""

    seed: int
    fault: str = ""

    def __call__(self) -> Sample:
        if self.fault == "unreadable":
            raise InputError("cannot read 7.png", "it is cut short", "Fetch it again")
        if self.fault == "dies":
            os._exit(9)
        sample = drawn(self.seed)
        return replace(sample, edited=None) if self.fault == "missing" else sample
