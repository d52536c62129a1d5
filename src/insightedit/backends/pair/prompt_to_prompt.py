"""Prompt-to-Prompt sampling as InstructPix2Pix made its pairs (Brooks et al. 2023, section 3.1.2 and its appendix).

Both pictures of a pair start from the same noise and get the same ancestral noise at every step. For the first tau of
the steps the second also attends by the first one's self-attention maps, so it keeps the layout and changes what the
words changed. tau and the guidance scale are drawn anew for every sample: which values suit differs from edit to edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from insightedit.backends.batching import BatchSize, each_of
from insightedit.backends.pair.sharing import SharedSelfAttention, share_self_attention
from insightedit.core.config import Knobs
from insightedit.core.device import free_memory, quiet, where
from insightedit.core.errors import BackendError
from insightedit.core.fingerprint import engine
from insightedit.core.seed import derive
from insightedit.core.weights import find, find_pipeline, load_pipeline, loading, whole

if TYPE_CHECKING:
    import torch


SMALLER = "If memory is short, lower side or dtype"


class PromptToPromptKnobs(Knobs):
    """How pairs are sampled; the defaults are the published ones.

    `model` is a folder or hub id of a text-to-image Stable Diffusion, `vae` one of an autoencoder that replaces its own
    (None keeps it). `share` bounds tau, the share of the steps whose self-attention is shared; `guidance` bounds the
    scale of classifier-free guidance. `batch_size` counts pairs: a pair is four rows of the UNet.
    """

    model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    revision: str | None = None
    vae: str | None = "stabilityai/sd-vae-ft-mse"
    vae_revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    side: int = Field(default=512, ge=64, multiple_of=8)
    steps: int = Field(default=100, ge=2, le=1000)
    batch_size: int = Field(default=4, ge=1)
    samples: int = Field(default=100, ge=1)  # per triple
    share: tuple[float, float] = (0.1, 0.9)
    guidance: tuple[float, float] = (7.5, 15.0)

    @field_validator("share", "guidance")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= bounds[0] <= bounds[1]:
            raise ValueError("bounds are [least, most], neither below 0")
        return bounds

    @field_validator("share")
    @classmethod
    def _a_share(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[1] > 1:
            raise ValueError("tau is a share of the steps, 1 at most")
        return bounds


@dataclass(frozen=True)
class Draw:
    """What makes one sample of a triple differ from the others."""

    sample: int  # its number
    seed: int  # of x_T and of the ancestral noise
    tau: float  # share of the steps with shared self-attention
    guidance: float


def draws(run_seed: int, triple_id: str, knobs: PromptToPromptKnobs) -> list[Draw]:
    """The samples of a triple; each depends on run, triple and number alone, however they are batched."""
    found = []
    for sample in range(knobs.samples):
        seed = derive(run_seed, "prompt_to_prompt", triple_id, sample)
        rng = np.random.default_rng(seed)
        found.append(Draw(sample, seed, float(rng.uniform(*knobs.share)), float(rng.uniform(*knobs.guidance))))
    return found


class PromptToPrompt:
    """Two prompts -> pairs of pictures. Making one is cheap and it pickles; `setup` loads.

    Args:
        knobs: see `PromptToPromptKnobs`; None for its defaults.
    """

    def __init__(self, knobs: PromptToPromptKnobs | None = None) -> None:
        self.knobs = knobs or PromptToPromptKnobs()
        self._fits = BatchSize(self.knobs.batch_size)  # what memory turned out to hold
        self._pipe: Any = None
        self._shared: SharedSelfAttention | None = None

    def setup(self) -> None:
        """Load the pipeline, once; a second call does nothing.

        Raises:
            ConfigError: a device or dtype that this machine does not have, or a model of another kind.
            InputError: weights cannot be had, or are partial: what is missing is named.
            BackendError: torch or diffusers is not installed.
        """
        if self._pipe is None:
            device, dtype = where(self.knobs.device, self.knobs.dtype)
            pipe = _load(self.knobs, device, dtype)
            self._shared = share_self_attention(pipe.unet)
            self._pipe = pipe

    def release(self) -> None:
        """Let the weights go and free the device's memory; the next `pairs` loads them again."""
        if self._pipe is not None:
            self._pipe = self._shared = None
            free_memory()

    def engine(self) -> str:
        """Which weights, for provenance: "model@revision-or-hash", and the autoencoder's after a "+". Loads nothing.

        Raises:
            InputError: weights cannot be had.
        """
        from diffusers import StableDiffusionPipeline

        knobs = self.knobs
        model = find_pipeline(knobs.model, knobs.revision, StableDiffusionPipeline)
        vae = f"+{engine(knobs.vae, find(knobs.vae, knobs.vae_revision))}" if knobs.vae else ""
        return f"{engine(knobs.model, model)}{vae}"

    def pairs(self, caption: str, edited: str, draws: Sequence[Draw]) -> np.ndarray:
        """Sample a pair for each draw. Out of memory halves the batch; only a pair that does not fit alone fails.

        Args:
            caption: what the first pictures show.
            edited: what the second show.
            draws: of any number.

        Returns:
            uint8 RGB (N, 2, side, side, 3), before and after. The first picture is the same whatever `edited` says.

        Raises:
            BackendError: a pair could not be sampled, for want of memory or by a fault of the network.
            InputError, ConfigError: as `setup`.
        """
        import torch

        self.setup()
        side = self.knobs.side
        with torch.inference_mode():
            text = self._encoded(caption, edited)
            made = each_of(
                "cannot sample a pair", draws, self._fits, lambda few: list(self._sampled(text, few)), SMALLER
            )
        return np.stack(made) if made else np.zeros((0, 2, side, side, 3), np.uint8)

    def _encoded(self, caption: str, edited: str) -> torch.Tensor:
        """(2, 2, T, C): without words and with them, for the first picture and for the second."""
        import torch

        with quiet():  # it warns of long captions, whose end CLIP cannot read
            said, nothing = self._pipe.encode_prompt([caption, edited], self._pipe.device, 1, True)  # 2 x (2, T, C)
        return torch.stack([nothing, said])

    def _sampled(self, text: torch.Tensor, few: Sequence[Draw]) -> np.ndarray:
        """uint8 (N, 2, H, W, 3). Rows of a batch: (2 with or without words, N samples, 2 pictures), flattened."""
        import torch

        pipe, side, steps = self._pipe, self.knobs.side, self.knobs.steps
        # two generators of one seed: both pictures of a pair see the same noise, at the start and at every step
        noise = [torch.Generator().manual_seed(draw.seed) for draw in few for _ in range(2)]
        context = text[:, None].expand(-1, len(few), -1, -1, -1).flatten(0, 2)  # (4N, T, C)
        scale = torch.tensor([draw.guidance for draw in few for _ in range(2)], device=pipe.device)
        scale = scale.to(text.dtype).view(-1, 1, 1, 1)  # (2N, 1, 1, 1)
        pipe.scheduler.set_timesteps(steps, device=pipe.device)
        channels = pipe.unet.config.in_channels
        latents = pipe.prepare_latents(2 * len(few), channels, side, side, text.dtype, pipe.device, noise)
        try:
            for step, t in enumerate(pipe.scheduler.timesteps):
                self._share([draw.tau > step / (steps - 1) for draw in few])
                rows = pipe.scheduler.scale_model_input(torch.cat([latents, latents]), t)  # (4N, 4, h, w)
                bare, worded = pipe.unet(rows, t, encoder_hidden_states=context).sample.chunk(2)  # 2 x (2N, 4, h, w)
                eps = bare + scale * (worded - bare)
                latents = pipe.scheduler.step(eps, t, latents, generator=noise, return_dict=False)[0]
        finally:
            self._share([])
        pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample  # (2N, 3, H, W), -1..1
        if not torch.isfinite(pixels).all():
            why = f"its output is not finite in {text.dtype}"
            raise BackendError("the network gave no picture", why, "Use dtype bfloat16 or float32")
        pictures: np.ndarray = pipe.image_processor.postprocess(pixels, output_type="np")  # (2N, H, W, 3), 0..1
        return (pictures * 255).round().astype(np.uint8).reshape(len(few), 2, side, side, 3)

    def _share(self, shares: Sequence[bool]) -> None:
        """For each sample: does the second picture now attend by the first one's maps?"""
        import torch

        assert self._shared is not None
        if not any(shares):
            self._shared.source = None
            return
        rows = torch.arange(4 * len(shares)).view(2, len(shares), 2)
        rows[..., 1] -= torch.tensor(shares).long()  # the first picture of a pair lies right before the second
        self._shared.source = rows.flatten().to(self._pipe.device)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pipe": None, "_shared": None}  # to a worker go the knobs; it loads its own


def _load(knobs: PromptToPromptKnobs, device: torch.device, dtype: torch.dtype) -> Any:
    """The stock pipeline with the sampler and the autoencoder of the recipe."""
    from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionPipeline

    folder = find_pipeline(knobs.model, knobs.revision, StableDiffusionPipeline)
    with quiet():
        pipe = load_pipeline(StableDiffusionPipeline, folder, dtype)
        if knobs.vae:
            place = find(knobs.vae, knobs.vae_revision)
            mend = "Give a folder in the layout of stabilityai/sd-vae-ft-mse, or vae: null for the model's own"
            with loading(f"the autoencoder {place}", mend):
                pipe.register_modules(vae=whole(AutoencoderKL, place, dtype=dtype))
        pipe.register_modules(scheduler=EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config))
        pipe.vae.enable_slicing()  # decoding at once would need more memory than sampling
        return pipe.to(device)
