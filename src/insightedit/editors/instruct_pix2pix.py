"""InstructPix2Pix (Brooks et al., CVPR 2023) and MagicBrush (Zhang et al., NeurIPS 2023): one network, two weights.

Defaults are those of the authors' `edit_cli.py`: 100 Euler-ancestral steps, text 7.5, image 1.5, longer side about 512.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.core.errors import InputError
from insightedit.core.image import to_uint8
from insightedit.core.weights import load_pipeline
from insightedit.editors import sizes
from insightedit.editors.diffusion import DiffusionEditor, DiffusionSettings, Resolution, Scale

if TYPE_CHECKING:
    import torch


class InstructPix2PixSettings(DiffusionSettings):
    """diffusers drops all guidance where the text scale is 1 or less or the image scale below 1: both are refused."""

    model: str | None = "timbrooks/instruct-pix2pix"
    steps: Annotated[int, Field(ge=1, le=1000)] = 100
    text_guidance_scale: Annotated[Scale, Field(gt=1)] = 7.5
    image_guidance_scale: Annotated[Scale, Field(ge=1)] = 1.5
    resolution: Resolution = 512  # px of the longer side


class InstructPix2Pix(DiffusionEditor):
    """Stable Diffusion 1.5 with the picture's latents as four more input channels.

    The picture is scaled to cover the working size and its middle is cut out (`ImageOps.fit`; it loses at most 63 px of
    the working size); the result is scaled to the input's size, so its content may sit a little wider than in the
    source, as in the published comparisons. The safety checker is not loaded.
    """

    name = "instruct_pix2pix"
    size_rule = "longer side about 512 px, sides multiples of 64 (fit), result resized"
    Settings = InstructPix2PixSettings
    settings: InstructPix2PixSettings

    def _load(self, dtype: torch.dtype) -> Any:
        from diffusers import EulerAncestralDiscreteScheduler

        folder = self._folder()
        pipe = load_pipeline(self._pipeline(), folder, dtype)
        seen, wanted = pipe.unet.config.in_channels, 2 * pipe.vae.config.latent_channels
        if seen != wanted:
            why = f"its UNet takes {seen} channels, not {wanted}: noisy latents and the picture's"
            raise InputError(f"{folder} edits nothing", why, "Give weights of the InstructPix2Pix family")
        if not isinstance(pipe.scheduler, EulerAncestralDiscreteScheduler):  # ports come with other ones
            pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
        return pipe

    def _pipeline(self) -> type[Any]:
        from diffusers import StableDiffusionInstructPix2PixPipeline

        return StableDiffusionInstructPix2PixPipeline

    def _scales(self) -> tuple[float, float]:
        """(text, image) as the stock sampling loop wants them."""
        return self.settings.text_guidance_scale, self.settings.image_guidance_scale

    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        text, source = self._scales()
        size = sizes.instruct_pix2pix(sizes.size_of(image), self.settings.resolution)
        pixels = self.pipe(
            prompt=instruction,
            image=Image.fromarray(sizes.fit(image, size)),
            num_inference_steps=self.settings.steps,
            guidance_scale=text,
            image_guidance_scale=source,
            generator=self._generator(seed),
            output_type="np",
            callback_on_step_end=self._told,
        ).images[0]  # (h, w, 3) in [0, 1]
        return self._back(to_uint8(pixels), sizes.size_of(image))

    def _back(self, edited: np.ndarray, size: sizes.Size) -> np.ndarray:
        return sizes.resize(edited, size)


class MagicBrushSettings(InstructPix2PixSettings):
    """As InstructPix2Pix; the weights are the diffusers port of `MagicBrush-epoch-52-step-4999`."""

    model: str | None = "vinesmsuic/magicbrush-jul7"


class MagicBrush(InstructPix2Pix):
    """InstructPix2Pix fine-tuned on 8,807 edits made by people."""

    name = "magicbrush"
    Settings = MagicBrushSettings
