"""A side branch beside a stock UNet of diffusers: what it reads, and how its residuals are added, by hooks.

Neither UNet nor pipeline is forked, so any pipeline and scheduler does. B batch, C width, T text tokens; h, w are the
latents' sides (an eighth of the picture's).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from insightedit.backends.paint.brushnet import BrushNet


def condition_of(vae: Any, image: Tensor, hole: Tensor, generators: list[torch.Generator]) -> Tensor:
    """What the branch reads, as it was trained: the hole is black (not grey), the mask says what is kept.

    The published pipelines draw the latent anew for each half of the guidance, from the global generator; here it is
    drawn once, from the seed.

    Args:
        vae: diffusers' AutoencoderKL.
        image: (B, 3, 8 h, 8 w) in [-1, 1].
        hole: (B, 1, 8 h, 8 w) bool.
        generators: one for each picture.

    Returns:
        (B, 5, h, w): the latent of the picture without its hole, and 1 where it is kept (nearest).
    """
    seen = image.masked_fill(hole, -1)  # (B, 3, 8 h, 8 w)
    latent = vae.encode(seen.to(vae.dtype)).latent_dist.sample(generators) * vae.config.scaling_factor  # (B, 4, h, w)
    kept = F.interpolate((~hole).to(latent.dtype), size=latent.shape[-2:])  # (B, 1, h, w)
    return torch.cat([latent, kept], 1)


@contextmanager
def beside(
    unet: Any, branch: BrushNet, condition: Tensor, text: Tensor | None = None, scale: float = 1.0
) -> Iterator[None]:
    """While this is open, every call of `unet` runs the branch and adds its residuals.

    The residual of conv_in joins the main path only: the first skip stays clean, as it was in training.

    Args:
        unet: diffusers' UNet2DConditionModel.
        branch: its branch, where the UNet computes.
        condition: (B, 5, h, w); repeated for the halves of guidance.
        text: (B, T, C), or (2 B, T, C) with the negative half first; None for a branch without cross-attention.
        scale: strength of the branch.
    """
    adding = _Adding(branch, condition, text, scale)
    hooks: list[Any] = []
    try:
        hooks.append(unet.register_forward_pre_hook(adding.run, with_kwargs=True))
        hooks.append(unet.down_blocks[0].register_forward_pre_hook(adding.enter, with_kwargs=True))
        hooks += [place.register_forward_hook(adding.add) for place in _places(unet)]
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _places(unet: Any) -> list[nn.Module]:
    """The modules of a UNet whose outputs are added to, in the order in which they run."""
    down = [part for block in unet.down_blocks for part in (*_layers(block), *(block.downsamplers or ()))]
    up = [part for block in unet.up_blocks for part in (*_layers(block), *(block.upsamplers or ()))]
    return [*down, unet.mid_block, *up]


def _layers(block: Any) -> Any:
    return getattr(block, "attentions", block.resnets)  # a layer ends with its attention where it has one


class _Adding:
    """Carries the residuals of one call of the UNet to the places that they are added to."""

    def __init__(self, branch: BrushNet, condition: Tensor, text: Tensor | None, scale: float) -> None:
        self.branch, self.condition, self.text, self.scale = branch, condition, text, scale
        self.left: Iterator[Tensor] = iter(())

    def run(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sample = args[0] if args else kwargs["sample"]
        timestep = args[1] if len(args) > 1 else kwargs["timestep"]
        condition = self.condition.repeat(len(sample) // len(self.condition), 1, 1, 1).to(sample.dtype)
        text = None if self.text is None else self.text[-len(sample) :].to(sample.dtype)  # unguided: the positive half
        down, middle, up = self.branch(sample, timestep, condition, text, self.scale)
        self.left = iter([*down, middle, *up])

    def enter(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs | {"hidden_states": kwargs["hidden_states"] + next(self.left)}

    def add(self, place: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        residual = next(self.left)
        return (out[0] + residual, *out[1:]) if isinstance(out, tuple) else out + residual
