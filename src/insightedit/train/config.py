"""The settings of a training run: frozen, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.datasets.mixture import MixtureKnobs

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Loss = Literal["language", "caption", "image", "diffusion", "answer", "mask"]  # the last two of rendered scenes alone


class OptimKnobs(Knobs):
    """AdamW and its schedule. `rates` maps a group of the model to its learning rate, "default" all others.

    `kind` "muon" moves matrices by Muon instead (see `train.muon`): fewer updates where a model starts from nothing.
    """

    kind: Literal["adamw", "muon"] = "adamw"
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


class GoalKnobs(Knobs):
    """Frozen encoders that say what is to be learned, as folders or hub ids; see `train.frozen`."""

    image_encoder: str = ""  # CLIP's, with projection: IAA's goal is what it makes of the target
    text_encoder: str = ""  # CLIP's, with its tokenizer: the first stage's goal; it also sets the null text
    variance: Annotated[int, Field(ge=0)] = 0  # targets to measure `iaa.variance` over before the first update; 0: none


class CacheKnobs(Knobs):
    """What frozen encoders said, kept on disk; see `train.cache`."""

    folder: str = ""  # "" keeps nothing
    limit_gb: Rate = 100.0  # of each kind: moments, embeddings, features
    features: bool = False  # also the vision encoder's, 0.5 MB a picture in bf16: for small sets


class PartsKnobs(Knobs):
    """Folders whose trained weights take the place of a preset's random ones; both, or none. See `train.start`."""

    language: str = ""  # of `insightedit convert llava`
    diffusion: str = ""  # diffusers', InstructPix2Pix' or its kin's: UNet and VAE are taken


class TrainConfig(Knobs):
    """One stage of training.

    `start` is a preset (random weights), or the folder of a pipeline. `batch` counts samples of one process and one
    backward pass; an update sees batch x accumulation x processes.
    """

    stage: Literal["comprehend", "align", "image_align", "joint"]
    start: str
    parts: PartsKnobs = PartsKnobs()
    updates: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    accumulation: Annotated[int, Field(ge=1)] = 1
    seed: int = 42
    resolution: Annotated[int, Field(ge=16)] = 256  # px of the square that pictures are squashed to
    precision: Literal["no", "bf16", "fp16"] = "no"
    checkpointing: bool = False  # of activations, in UNet and language model
    optim: OptimKnobs = OptimKnobs()
    losses: dict[Loss, float] = {}  # weights over the stage's own
    groups: tuple[str, ...] = ()  # of the model that learn beside the stage's own
    frozen: tuple[str, ...] = ()  # of the stage's own that do not
    draws: Annotated[int, Field(ge=1)] = 1  # of noise and timestep per edit, which is understood once for all of them
    timesteps: Literal["uniform", "high"] = "uniform"  # "high": more often noisy ones
    region: Annotated[float, Field(ge=0)] = 0.0  # how much more an error counts where the edit is; 0: as the paper
    drops: DropKnobs = DropKnobs()
    ema: Share = 0.0  # decay of the average of trained weights; 0 keeps none
    data: MixtureKnobs = MixtureKnobs.model_construct(datasets={})  # none: whoever builds a `Run` gives the source
    workers: Annotated[int, Field(ge=0)] = 0  # processes that read data
    log_every: Annotated[int, Field(ge=1)] = 10
    save_every: Annotated[int, Field(ge=1)] = 1000
    keep: Annotated[int, Field(ge=1)] = 3  # checkpoints
    goals: GoalKnobs = GoalKnobs()
    cache: CacheKnobs = CacheKnobs()
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()  # beside log.jsonl
    grid_every: Annotated[int, Field(ge=0)] = 0  # updates between two grids of edits; 0: none
    grid_count: Annotated[int, Field(ge=1)] = 4
    grid_steps: Annotated[int, Field(ge=1)] = 20  # of denoising
    diverged: Annotated[float, Field(gt=1)] = 20.0  # times the running mean of the loss: then the run stops
