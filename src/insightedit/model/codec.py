"""Between pictures and what the UNet denoises: Stable Diffusion's autoencoder, or for small models pixels themselves.

`PixelCodec` answers to the calls of diffusers' `AutoencoderKL` that the pipeline and training make, so one switch in
the configuration (`vae`) chooses; nothing else knows which it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config


@dataclass
class Exact:
    """A distribution without chance. `mean` (B, C, h, w)."""

    mean: torch.Tensor

    @property
    def std(self) -> torch.Tensor:
        """Zero."""
        return torch.zeros_like(self.mean)

    def mode(self) -> torch.Tensor:
        """The only value."""
        return self.mean


@dataclass
class Encoded:
    """As diffusers' `AutoencoderKLOutput`."""

    latent_dist: Exact


class PixelCodec(ModelMixin, ConfigMixin):
    """Space to depth: (B, 3, H, W) in [-1, 1] <-> (B, 3 factor^2, H / factor, W / factor), exactly; no weights.

    Args:
        factor: px along a side of one cell.
        scaling_factor: 1: source and target stay on one scale.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, factor: int = 4, scaling_factor: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.zeros(1))  # diffusers asks a component for its dtype and device

    def encode(self, pixels: torch.Tensor, **_: Any) -> Encoded:
        """Pictures -> cells."""
        return Encoded(Exact(F.pixel_unshuffle(pixels, self.config.factor)))

    def decode(self, cells: torch.Tensor, return_dict: bool = False, **_: Any) -> tuple[torch.Tensor]:
        """Cells -> pictures, in a tuple as diffusers' with `return_dict=False`."""
        return (F.pixel_shuffle(cells, self.config.factor),)


Codec: TypeAlias = AutoencoderKL | PixelCodec


def factor_of(codec: Codec) -> int:
    """Pixels along a side of one latent."""
    if isinstance(codec, PixelCodec):
        return int(codec.config.factor)
    return int(2 ** (len(codec.config.block_out_channels) - 1))
