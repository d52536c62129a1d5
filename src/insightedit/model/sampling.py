"""Sampling: the same UNet, with everything that does not change over the steps computed on the first one and kept.

Kept are the keys and values of both streams, and the source half of the first convolution together with the spatial
residual; the time embedding is made for one row instead of all. The stock `UNet2DConditionModel.forward` runs unchanged
around them, so offload hooks still work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import nn

from insightedit.model.bridging import Conditions
from insightedit.model.generation import ImageAttention, decoupled, denoise

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # noisy latents (3 B, 4, h, w), t -> eps of that shape


class KeptAttention:
    """Cross-attention over two streams whose keys and values are made once (IP-Adapter's sum, before `to_out`)."""

    def __init__(self, conditions: Conditions, stream: tuple[nn.Linear, nn.Linear] | None, scale: float) -> None:
        self.conditions, self.stream, self.scale = conditions, stream, scale
        self.text: tuple[torch.Tensor, torch.Tensor] | None = None
        self.image: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, attn: Attention, hidden_states: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        """Pixels (3 B, h w, width) -> the same shape."""
        if self.text is None:
            self._keep(attn)
        query = _heads(attn.to_q(hidden_states), attn.heads)  # (3 B, heads, h w, d)
        out = F.scaled_dot_product_attention(query, *self.text)  # type: ignore[misc]
        if self.image is not None:
            out += F.scaled_dot_product_attention(query, *self.image)
        out = out.transpose(1, 2).flatten(2)  # (3 B, h w, width)
        return attn.to_out[0](out)  # its dropout rests in sampling

    def _keep(self, attn: Attention) -> None:
        text = self.conditions.text.to(attn.to_k.weight.dtype)
        self.text = _heads(attn.to_k(text), attn.heads), _heads(attn.to_v(text), attn.heads)  # (3 B, heads, T, d)
        if self.stream is not None and self.conditions.image is not None and self.scale:
            image = self.conditions.image.to(text.dtype)
            k, v = (project(image) for project in self.stream)  # (3 B, V, width)
            self.image = _heads(k, attn.heads), _heads(self.scale * v, attn.heads)  # (3 B, heads, V, d)


def _heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous()  # (B, n, width) -> (B, heads, n, d)


class KeptConvIn(nn.Module):
    """The first convolution: only the noisy half is convolved at each step, the rest is one constant."""

    def __init__(self, conv: nn.Conv2d, source: torch.Tensor, residual: torch.Tensor) -> None:
        super().__init__()
        self.conv, self.source, self.residual = conv, source, residual
        self.constant: torch.Tensor | None = None

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Noisy latents (3 B, 4, h, w) -> (3 B, 320, h, w)."""
        noisy, still = self.conv.weight.split([latents.shape[1], self.source.shape[1]], dim=1)
        if self.constant is None:
            constant = F.conv2d(self.source.to(still.dtype), still, self.conv.bias, padding=self.conv.padding)
            self.constant = constant + self.residual.to(still.dtype)  # (3 B, 320, h, w)
        return F.conv2d(latents, noisy, padding=self.conv.padding) + self.constant


class KeptTime(nn.Module):
    """The time embedding of each step, made once for all rows of the batch."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, sinusoid: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Equal rows (3 B, 320) -> equal rows (3 B, 1280): one goes through the layers."""
        return self.embedding(sinusoid[:1], condition).expand(len(sinusoid), -1)


@contextmanager
def keeping(
    unet: UNet2DConditionModel,
    source: torch.Tensor,
    conditions: Conditions,
    attention: ImageAttention | None = None,
    scale: float = 1.0,
) -> Iterator[Predict]:
    """A prediction that computes constants once; the UNet is as it was when the context ends.

    Args:
        source: (3 B, 4, h, w), and `conditions` of as many rows: see `generation.guidance_rows`.
        attention, scale: the image stream and its weight.
    """
    before = unet.attn_processors, unet.conv_in, unet.time_embedding
    streams = iter(attention.projections() if attention is not None else ())
    kept = {
        name: KeptAttention(conditions, next(streams, None), scale) if "attn2" in name else old
        for name, old in before[0].items()
    }
    unet.set_attn_processor(kept)
    unet.conv_in = KeptConvIn(unet.conv_in, source, conditions.residual)
    unet.time_embedding = KeptTime(unet.time_embedding)
    try:
        yield lambda noisy, t: unet(noisy, t, encoder_hidden_states=conditions.text).sample
    finally:
        unet.set_attn_processor(dict(before[0]))
        unet.conv_in, unet.time_embedding = before[1:]


@contextmanager
def plain(
    unet: UNet2DConditionModel,
    source: torch.Tensor,
    conditions: Conditions,
    attention: ImageAttention | None = None,
    scale: float = 1.0,
) -> Iterator[Predict]:
    """The same prediction with nothing kept: diffusers' own processors, everything anew in every step. For tests."""
    with decoupled(unet, attention, scale):
        yield lambda noisy, t: denoise(unet, noisy, source, t, conditions)
