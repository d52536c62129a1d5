"""The settings of a training run: frozen, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from insightedit.core.config import Knobs

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class OptimKnobs(Knobs):
    """AdamW and its schedule. `rates` maps a group of the model to its learning rate, "default" all others."""

    rates: dict[str, Rate] = {"default": 1e-5}
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Rate = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Rate = 1.0  # of the gradient's norm
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 0  # updates, linear from zero
    floor: Share = 0.1  # where cosine ends, in the peak rate


class DropKnobs(Knobs):
    """How often conditions are hidden, see `model.generation.DropRates`."""

    text: Share = 0.05
    both: Share = 0.05
    image: Share = 0.05
    branch: Share = 0.05


class TrainConfig(Knobs):
    """One stage of training.

    `start` is a preset (random weights), or the folder of a pipeline. `batch` counts samples of one process and one
    backward pass; an update sees batch x accumulation x processes.
    """

    stage: Literal["align", "image_align", "joint"]
    start: str
    updates: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    accumulation: Annotated[int, Field(ge=1)] = 1
    seed: int = 42
    resolution: Annotated[int, Field(ge=16)] = 256  # px of the square that pictures are squashed to
    precision: Literal["no", "bf16", "fp16"] = "no"
    checkpointing: bool = False  # of activations, in UNet and language model
    optim: OptimKnobs = OptimKnobs()
    losses: dict[str, float] = {}  # weights over the stage's own
    drops: DropKnobs = DropKnobs()
    ema: Share = 0.0  # decay of the average of trained weights; 0 keeps none
    workers: Annotated[int, Field(ge=0)] = 0  # processes that read data
    log_every: Annotated[int, Field(ge=1)] = 10
    save_every: Annotated[int, Field(ge=1)] = 1000
    keep: Annotated[int, Field(ge=1)] = 3  # checkpoints
    diverged: Annotated[float, Field(gt=1)] = 20.0  # times the running mean of the loss: then the run stops
