"""Toy datasets behind the mixture's protocol, and small encoders that stand in for CLIP."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from insightedit.datasets.example import CaptionExample, EditExample, TalkExample
from insightedit.datasets.mixture import Draw, Skip
from insightedit.model.editor import EditBatch
from insightedit.model.presets import tiny
from insightedit.train.config import TrainConfig

CONFIG = tiny()


@dataclass
class Toys:
    """Endless: place -> an edit of coloured noise; every `talks`-th is a talk; `period` places repeat."""

    period: int = 10_000
    talks: int = 0
    captions: bool = False

    def at(self, place):
        number = place % self.period
        random = np.random.default_rng(number)
        source = random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        words = ["invert it", "make it red", "remove the cube"][number % 3]
        if self.captions:
            example = CaptionExample(f"caption-{number}", "toys", f"a {['red', 'blue'][number % 2]} cube")
        elif self.talks and number % self.talks == 0:
            example = TalkExample(f"talk-{number}", "toys", source, (("what is it", "a cube"),))
        else:
            mask = np.arange(64)[:, None] < np.full(64, 20 + number % 3 * 10)
            example = EditExample(
                f"edit-{number}", "toys", "edit", source, 255 - source, words, mask, ("make", "", "red")
            )
        bad = (Skip("toys", 99, "truncated", "half a file"),) if place == 1 else ()
        return Draw("toys", number, example, bad)


def goals(batch: EditBatch) -> EditBatch:
    """Fixed random projections of the targets' means, and of the words' ids."""
    if batch.vision is None:
        table = torch.randn(3000, CONFIG.qformer.width, generator=torch.Generator().manual_seed(1))
        states = table[batch.tokens.ids[:, -CONFIG.qformer.queries - 40 : -40]]
        return replace(batch, caption=states)
    if not len(batch.target):
        return batch
    projection = torch.randn(3, CONFIG.iaa.dim, generator=torch.Generator().manual_seed(2))
    return replace(batch, embedding=batch.target.mean((2, 3)) @ projection)


def settings(stage="joint", **changes) -> TrainConfig:
    plain = {
        "stage": stage,
        "start": "tiny",
        "updates": 4,
        "batch": 2,
        "resolution": 64,
        "save_every": 2,
        "log_every": 1,
    }
    return TrainConfig(**(plain | {"optim": {"rates": {"default": 1e-3}}} | changes))
