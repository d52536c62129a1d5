"""Blended Latent Diffusion (Avrahami et al., SIGGRAPH 2023): a text-to-image network edits, the rest is put back.

diffusers' inpainting pipeline blends in this way when its UNet reads 4 channels: after each step the latents outside
the hole are the source's, noised to that step. The authors start at a quarter of the schedule, which is strength 0.75.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from insightedit.backends.paint.painter import Canvas
from insightedit.backends.paint.stock import PipelinePainter, PipelineSettings, need_channels
from insightedit.core.errors import ConfigError
from insightedit.core.image import to_uint8

if TYPE_CHECKING:
    import torch


class BlendedSettings(PipelineSettings):
    """The authors' code: 512 px, DDIM, 50 steps, guidance 7.5, blending from 25 % on.

    `decoder_steps` tunes a copy of the decoder on each picture (75 in the paper) so that its background comes out as
    the source; `decoder_rate` is Adam's, `decoder_keep` the weight of the background's error. Off by default: outside
    the hole the stitched photograph is the source anyway, so tuning only helps the colours at the rim.
    """

    model: str | None = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    variant: str | None = "fp16"
    strength: float = Field(default=0.75, gt=0, le=1)
    decoder_steps: int = Field(default=0, ge=0, le=1000)
    decoder_rate: float = Field(default=1e-4, gt=0, le=1)
    decoder_keep: float = Field(default=100.0, ge=0)


class BlendedLatentDiffusion(PipelinePainter):
    """Needs no inpainting weights: any Stable Diffusion 1 or 2."""

    name = "blended"
    Settings = BlendedSettings
    pipeline_name = "StableDiffusionInpaintPipeline"
    settings: BlendedSettings

    def _pipe(self, dtype: torch.dtype) -> Any:
        from diffusers import DDIMScheduler

        if self.settings.decoder_steps and self.settings.offload != "none":
            why = "the tuned copy of the decoder stays on the device"
            raise ConfigError("cannot tune the decoder with offload", why, "Set offload=none or decoder_steps=0")
        pipe = super()._pipe(dtype)
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
        return pipe

    def _fits(self, pipe: Any) -> None:
        need_channels(pipe, 4, "Use painter 'sd_inpaint' for a UNet that reads the hole")

    def _painted(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        painted = super()._painted(canvases)
        if not self.settings.decoder_steps:
            return painted
        return [self._tuned(image, canvas) for image, canvas in zip(painted, canvases, strict=True)]

    def _tuned(self, painted: np.ndarray, canvas: Canvas) -> np.ndarray:
        import torch

        settings = self.settings
        edited, source = (_signed(image).to(self._device) for image in (painted, canvas.image))
        hole = torch.from_numpy(canvas.hole)[None, None].float().to(self._device)  # (1, 1, H, W)
        out = reconstructed(
            self.pipe.vae, edited, source, hole, settings.decoder_steps, settings.decoder_rate, settings.decoder_keep
        )
        return to_uint8((out[0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1).cpu().numpy())


def _signed(image: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1  # (1, 3, H, W) in [-1, 1]


def reconstructed(
    vae: Any,
    edited: torch.Tensor,
    source: torch.Tensor,
    hole: torch.Tensor,
    steps: int,
    rate: float,
    keep: float,
) -> torch.Tensor:
    """The edited picture from a decoder tuned to keep the background, Blended Latent Diffusion section 4.2.

    Args:
        vae: an AutoencoderKL; a float32 copy of it is tuned, it stays as it is.
        edited, source: (1, 3, H, W) in [-1, 1].
        hole: (1, 1, H, W), 1 where edited.
        steps, rate: of Adam.
        keep: weight of the background's squared error against the hole's.

    Returns:
        (1, 3, H, W), float32.
    """
    import torch

    tuned = copy.deepcopy(vae).float().requires_grad_(False)
    tuned.decoder.requires_grad_(True)
    with torch.no_grad():
        latent = tuned.encode(edited).latent_dist.mode()  # (1, 4, H / 8, W / 8)
    descent = torch.optim.Adam(tuned.decoder.parameters(), lr=rate)
    with torch.enable_grad():
        for _ in range(steps):
            seen = tuned.decode(latent).sample  # (1, 3, H, W)
            inside, outside = (seen - edited) * hole, (seen - source) * (1 - hole)
            loss = inside.square().mean() + keep * outside.square().mean()
            descent.zero_grad()
            loss.backward()
            descent.step()
    with torch.no_grad():
        decoded: torch.Tensor = tuned.decode(latent).sample
    return decoded
