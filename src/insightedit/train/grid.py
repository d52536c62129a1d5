"""A grid of edits from fixed examples, so that progress can be seen. Training does not notice: no chance is used up."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from insightedit.core.errors import ConfigError
from insightedit.core.files import atomic
from insightedit.core.seed import derive
from insightedit.datasets.example import EditExample
from insightedit.model.pipeline import InsightEditPipeline
from insightedit.train.config import TrainConfig
from insightedit.train.data import Source
from insightedit.train.frozen import edits
from insightedit.train.report import Report
from insightedit.train.stages import STAGES

GAP, TEXT = 4, 12  # px; height of a letter
LEAST, MOST = 128, 256  # px of a cell


class Grids:
    """A grid every `grid_every` updates, in `out`/grids/update-N.png and in the report.

    Args:
        config, source, pipeline, out: of the run.
        whole: whether this process holds all weights.

    Raises:
        ConfigError: grids are asked of a stage that paints nothing, or of a process with parts of the weights.
    """

    def __init__(
        self, config: TrainConfig, source: Source, pipeline: InsightEditPipeline, out: Path, whole: bool = True
    ) -> None:
        self.config, self.source, self.pipeline, self.folder = config, source, pipeline, out / "grids"
        self.stage, self.examples = STAGES[config.stage], list[EditExample]()
        if config.grid_every and "diffusion" not in self.stage.losses:
            raise ConfigError(f"no grids in stage {config.stage}", "it does not train the UNet", "Set grid_every=0")
        if config.grid_every and not whole:
            raise ConfigError("no grids where weights are cut into parts", "each process holds only some of them",
                              "Set grid_every=0, or train with DDP or ZeRO-2")  # fmt: skip

    def due(self, update: int) -> bool:
        """Whether a grid belongs after this update, counted from 1."""
        return bool(self.config.grid_every) and update % self.config.grid_every == 0

    def draw(
        self,
        update: int,
        named: Mapping[str, nn.Parameter],
        average: Mapping[str, torch.Tensor] | None,
        report: Report,
    ) -> float:
        """Draw with the averaged weights, if there are any -> seconds that it took."""
        began = perf_counter()
        self.examples = self.examples or fixed_examples(self.source, self.config.grid_count)
        with averaged(named, average):
            page = draw_grid(self.pipeline, self.examples, self.config, self.stage.image_stream)
        with atomic(self.folder / f"update-{update:08d}.png") as unfinished:
            page.save(unfinished, "PNG")
        report.picture(update, "edits", page)
        return perf_counter() - began


def fixed_examples(source: Source, count: int) -> list[EditExample]:
    """The first `count` edits of the mixture: the same at every call and in every run of one seed.

    Raises:
        InputError: the mixture holds too few.
    """
    return list(islice(edits(source), count))


def draw_grid(
    pipeline: InsightEditPipeline, examples: Sequence[EditExample], config: TrainConfig, image_branch: bool = True
) -> Image.Image:
    """Edit the sources with the pipeline as it stands -> the picture of `render`.

    The state of every generator, of training and evaluation mode, and of the progress bar is put back.
    """
    modules = [one for one in pipeline.components.values() if isinstance(one, nn.Module)]
    device = next(pipeline.unet.parameters()).device
    bar = getattr(pipeline, "_progress_bar_config", None)
    with _quiet(modules, device):
        pipeline.set_progress_bar_config(disable=True)
        drawn: Any = pipeline(
            [Image.fromarray(one.source) for one in examples],
            [one.instruction for one in examples],
            num_inference_steps=config.grid_steps,
            resolution=config.resolution,
            image_branch_scale=float(image_branch),
            generator=[torch.Generator(device).manual_seed(derive(config.seed, "grid", one.id)) for one in examples],
        )
    pipeline.set_progress_bar_config(**(bar or {}))
    return render(examples, drawn.images)


@contextmanager
def _quiet(modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Evaluation mode and generators of their own, for as long as the context lasts."""
    training = [(part, part.training) for module in modules for part in module.modules()]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        for module in modules:
            module.eval()
        try:
            yield
        finally:
            for part, was in training:
                part.training = was


@contextmanager
def averaged(named: Mapping[str, nn.Parameter], average: Mapping[str, torch.Tensor] | None) -> Iterator[None]:
    """The averaged weights in place of the trained ones, for as long as the context lasts; None changes nothing."""
    if average is None:
        yield
        return
    held = {name: parameter.detach().clone() for name, parameter in named.items()}
    try:
        _fill(named, average)
        yield
    finally:
        _fill(named, held)


@torch.no_grad()
def _fill(named: Mapping[str, nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    for name, parameter in named.items():
        parameter.copy_(values[name])


def render(examples: Sequence[EditExample], edited: Sequence[Image.Image]) -> Image.Image:
    """Rows of source | edit | target, the instruction below."""
    side = min(MOST, max(LEAST, *(max(image.size) for image in edited)))
    font = ImageFont.load_default(TEXT)
    wide = 3 * side + 4 * GAP
    lines = [textwrap.wrap(one.instruction, wide // (TEXT // 2 + 1)) for one in examples]
    height = sum(side + 2 * GAP + (TEXT + GAP) * len(said) for said in lines) + GAP
    page = Image.new("RGB", (wide, height), "white")
    pen, y = ImageDraw.Draw(page), GAP
    for one, image, said in zip(examples, edited, lines, strict=True):
        for column, cell in enumerate((Image.fromarray(one.source), image, Image.fromarray(one.target))):
            scale = side / max(cell.size)
            fitted = cell.resize((max(1, round(cell.width * scale)), max(1, round(cell.height * scale))))
            page.paste(fitted, (GAP + column * (side + GAP), y))
        y += side + GAP
        for line in said:
            pen.text((GAP, y), line, "black", font)
            y += TEXT + GAP
        y += GAP
    return page
