"""An update of ours against one of a plain loop that works as SmartEdit's training does, on the same network and data.

The plain loop pads every text to 256 tokens beside the picture's 256, makes logits at every position, trains both
embedding matrices whole and puts their old rows back before each forward, encodes source, target and their CLIP views
anew in every update, and sends talks about a picture through the UNet as black pictures. Losses and optimiser are ours.

Sizes keep the proportions of the 7B model roughly: the matrices of the vocabulary are a few percent of the language
model, and that takes most of the time. Updates alternate between the loops in one process; memory is measured in
processes of their own, where the share of time that ours waits for data is measured too.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.process import measured
from insightedit.datasets.example import EditExample, TalkExample
from insightedit.datasets.mixture import Draw
from insightedit.model.assembly import Parts
from insightedit.model.config import (
    BimConfig,
    IaaConfig,
    InsightEditConfig,
    LanguageConfig,
    QFormerConfig,
    UNetConfig,
    VaeConfig,
    VisionConfig,
)
from insightedit.model.editor import EditBatch, InsightEdit, draw, image_alignment
from insightedit.model.generation import DropRates
from insightedit.model.pipeline import InsightEditPipeline, from_config
from insightedit.model.tokens import IGNORE, TokenBatch
from insightedit.train.batch import Batcher, Layout
from insightedit.train.config import TrainConfig
from insightedit.train.data import Read, batches
from insightedit.train.frozen import ImageEncoder
from insightedit.train.loop import Run
from insightedit.train.optim import adamw, open_groups
from insightedit.train.stages import STAGES

MID = InsightEditConfig(
    language=LanguageConfig(width=384, layers=8, heads=6, ffn=1032, vocabulary=2048, max_positions=1024),
    vision=VisionConfig(width=192, layers=6, heads=3, ffn=768),
    qformer=QFormerConfig(layers=2, width=256, heads=4, ffn=1024),
    bim=BimConfig(heads=4, ffn=512),
    iaa=IaaConfig(dim=256, width=256, layers=1, heads=4, ffn=1024),
    unet=UNetConfig(channels=(32, 64, 128, 128), resnets=1, heads=4, context=256),
    vae=VaeConfig(channels=(16, 16, 32, 32), resnets=1, groups=16),
)
SIDE, BATCH, PICTURES, TALKS = 256, 4, 28, 7  # px; samples; distinct ones, of which every seventh is a talk
TEXT = 256  # tokens that the plain loop pads every text to
EPOCH = PICTURES // BATCH  # updates until the caches hold everything
BLOCKS = 11
WAITED = 30  # updates that the share of waiting is measured over


@dataclass
class Pictures:
    """Endless: smooth random pictures, edits and talks."""

    def at(self, place: int) -> Draw:
        number = place % PICTURES
        random = np.random.default_rng(number)
        rough = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        source = np.kron(rough, np.ones((SIDE // 8, SIDE // 8, 1), np.uint8))
        if number % TALKS == 0:
            talk = TalkExample(f"talk-{number}", "talks", source, (("what is in the picture", "a red cube"),))
            return Draw("talks", number, talk)
        words = f"replace the {('red', 'blue', 'green')[number % 3]} cube to the left of it with a small sphere"
        return Draw("edits", number, EditExample(f"edit-{number}", "edits", "edit", source, 255 - source, words))


def encoder(folder: Path) -> str:
    """A vision encoder with random weights in place of ViT-H."""
    torch.manual_seed(0)
    sizes = CLIPVisionConfig(hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4,
                             image_size=224, patch_size=14, projection_dim=MID.iaa.dim if MID.iaa else 0)  # fmt: skip
    CLIPVisionModelWithProjection(sizes).save_pretrained(folder)
    return str(folder)


def config(named: str, cache: str = "", **changes: Any) -> TrainConfig:
    plain = {"stage": "joint", "start": "tiny", "updates": 10_000, "batch": BATCH, "resolution": SIDE}
    ways = {"goals": {"image_encoder": named}, "cache": {"folder": cache, "features": True}}
    return TrainConfig(**(plain | ways | changes))


class Plain:
    """The plain loop.

    Args:
        pipeline: whose parts are trained.
        config: of the run, for rates and seed.
        encoder: of the targets.
    """

    def __init__(self, pipeline: InsightEditPipeline, config: TrainConfig, encoder: str) -> None:
        one, self.config, self.stage = pipeline, config, STAGES[config.stage]
        self.editor = InsightEdit(
            Parts(one.comprehension, one.bridge, one.image_attention, one.unet, one.vae), self.stage.image_stream
        )
        groups = open_groups(self.editor, self.stage)
        mllm = self.mllm = one.comprehension
        base = mllm.language_model
        self.table = nn.Parameter(torch.cat([base.model.embed_tokens.weight.detach(), mllm.new_input.detach()]))
        self.head = nn.Parameter(torch.cat([base.lm_head.weight.detach(), mllm.new_output.detach()]))
        self.old = [matrix.detach()[: MID.language.vocabulary].clone() for matrix in (self.table, self.head)]
        groups["new_rows"] = [self.table, self.head]
        self.learning = [p for parameters in groups.values() for p in parameters]
        self.optimiser = adamw(groups, config.optim)
        self.encoder = ImageEncoder(encoder, torch.device("cpu"))
        self.editor.train()
        one.vae.eval()
        mllm.vision.eval()

    def update(self, number: int, parts: list[Read]) -> float:
        """One batch -> its loss."""
        loss = self.loss(whole(parts[0].tensors), number)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learning, self.config.optim.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.item()

    def loss(self, batch: EditBatch, number: int) -> torch.Tensor:
        """Language, image and diffusion."""
        self.restore()
        mllm, bridge = self.mllm, self.editor.bridge
        assert batch.vision is not None
        v = mllm.see(batch.vision)  # (B, N, W)
        states = self.read(batch.tokens, v)  # (B, L, D)
        logits = F.linear(states, self.head).float()  # (B, L, vocabulary)
        labels = batch.tokens.labels[:, 1:].flatten()
        language = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels, ignore_index=IGNORE)
        h = states.new_zeros(len(states), mllm.sizes.mm_tokens, states.shape[2])  # (B, r, D), zero for talks
        h = h.index_put((batch.editing.nonzero()[:, 0],),
                        mllm.mm_states(states[batch.editing], batch.tokens.pick(batch.editing)))  # fmt: skip
        conditions = bridge(h, v, (SIDE // MID.vae.factor, SIDE // MID.vae.factor))
        assert bridge.iaa is not None and conditions.embedding is not None
        goal = self.encoder(batch.target)[batch.editing]
        image = image_alignment(conditions.embedding[batch.editing], goal, bridge.iaa.loss, bridge.iaa.variance)
        places = range(number * BATCH, number * BATCH + len(states))
        chance = draw(self.config.seed, places, (4, SIDE // MID.vae.factor, SIDE // MID.vae.factor), DropRates())
        return language + image + self.editor.diffusion_error(batch, chance, conditions).mean()

    @torch.no_grad()
    def restore(self) -> None:
        """Old rows do not learn: put them back."""
        for matrix, old in zip((self.table, self.head), self.old, strict=True):
            matrix[: len(old)] = old

    def read(self, tokens: TokenBatch, v: torch.Tensor) -> torch.Tensor:
        """As `Comprehension.forward`, with one whole table."""
        rows = F.embedding(tokens.ids, self.table)  # (B, L, D)
        image = self.mllm.projector(v)  # (B, N, D)
        places = tokens.image_start[:, None] + torch.arange(image.shape[1])  # (B, N)
        inputs = rows.scatter(1, places[..., None].expand_as(image), image)
        return self.mllm.language_model.model(inputs_embeds=inputs, attention_mask=tokens.mask, use_cache=False)[0]


def whole(batch: EditBatch) -> EditBatch:
    """All texts padded to one length; talks get black pictures."""
    tokens, length = batch.tokens, TEXT + MID.vision.grid**2
    more = length - tokens.ids.shape[1]
    padded = TokenBatch(F.pad(tokens.ids, (0, more)), F.pad(tokens.mask, (0, more)),
                        F.pad(tokens.labels, (0, more), value=IGNORE), tokens.image_start)  # fmt: skip
    black = torch.full((len(batch.editing), 3, SIDE, SIDE), -1.0)
    source, target = black.clone(), black.clone()
    source[batch.editing], target[batch.editing] = batch.source, batch.target
    return replace(batch, tokens=padded, source=source, target=target)


def ours(named: str, out: Path, cache: str = "", **changes: Any) -> Run:
    run = Run(config(named, cache, **changes), Pictures(), out, from_config(MID))
    run._mode()
    return run


def reading(pipeline: InsightEditPipeline) -> Iterator[Read]:
    """The batches of a run, in this process."""
    batcher = Batcher(pipeline.tokenizer, Layout.of(pipeline.comprehension, SIDE), config("").seed)
    return batches(Pictures(), batcher, range(10_000), 0, 1, BATCH, 0)


Move = Callable[[int], float]  # number of an update -> seconds


def moves(named: str, folder: Path) -> dict[str, Move]:
    """The loops by name."""
    kept, bare = ours(named, folder / "kept", str(folder / "cache")), ours(named, folder / "bare")
    plain = Plain(from_config(MID), config(named), named)

    def timed(act: Callable[[int, list[Read]], Any]) -> Move:
        data = reading(kept.pipeline)

        def move(number: int) -> float:
            parts = [next(data)]
            began = time.perf_counter()
            act(number, parts)
            return time.perf_counter() - began

        return move

    acts = {"ours, caches full": kept._update, "ours, no cache": bare._update, "plain": plain.update}
    return {name: timed(act) for name, act in acts.items()}


def compare(named: str, folder: Path) -> dict[str, list[float]]:
    """Seconds of updates in turns, after the caches are full and every loop has run."""
    loops = moves(named, folder)
    numbers = {name: count() for name in loops}
    for name, move in loops.items():
        for _ in range(EPOCH if "full" in name else 1):
            move(next(numbers[name]))
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for block in range(BLOCKS):
        for name in list(loops)[:: 1 if block % 2 else -1]:  # first and last in turns
            seconds[name].append(loops[name](next(numbers[name])))
    return seconds


def memory(which: str, named: str, folder: Path) -> None:
    """One side alone, for `measured`: an epoch, and another."""
    if which == "ours":
        run = ours(named, folder / "memory", str(folder / "memory_cache"))
        act, pipeline = run._update, run.pipeline
    else:
        pipeline = from_config(MID)
        act = Plain(pipeline, config(named), named).update  # type: ignore[assignment]
    for number, part in zip(range(2 * EPOCH), reading(pipeline), strict=False):
        act(number, [part])
    print(json.dumps({"which": which, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def waiting(named: str, folder: Path) -> None:
    """The share of time that a whole run waits for one process that reads; caches full."""
    more = {"updates": WAITED, "log_every": WAITED, "save_every": WAITED, "workers": 1}
    ours(named, folder / "waiting", str(folder / "cache"), **more).train()
    print((folder / "waiting" / "log.jsonl").read_text().splitlines()[-1])


def main() -> None:
    threads = torch.get_num_threads()
    print(f"\n## An update of training, {SIDE} px (`training`, {threads} threads, fp32, batch {BATCH})\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        named = encoder(folder / "encoder")
        seconds = compare(named, folder)
        peak = {which: measured("benchmarks.training", which, named, folder)["rss_mb"] for which in ("ours", "plain")}
        told = measured("benchmarks.training", "waiting", named, folder)
    print("| loop | seconds an update, median | plain / it, median of blocks | quartiles |")
    print("|---|---|---|---|")
    for name, taken in seconds.items():
        ratios = [plain / it for plain, it in zip(seconds["plain"], taken, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"| {name} | {statistics.median(taken):.3f} | {middle:.2f}x | {low:.2f} to {high:.2f} |")
    print(f"\nPeak memory: ours {peak['ours']:.0f} MB, plain {peak['plain']:.0f} MB: "
          f"{peak['ours'] / peak['plain']:.2f}x. Waiting for data, one process reading: "
          f"{100 * told['wait_share']:.1f} % of {WAITED} updates.")  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "waiting":
        waiting(sys.argv[2], Path(sys.argv[3]))
    else:
        memory(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
