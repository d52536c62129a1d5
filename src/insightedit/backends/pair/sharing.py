"""Self-attention of which one picture of a batch takes its map from another.

Prompt-to-Prompt (Hertz et al. 2022) edits by sharing attention maps; InstructPix2Pix (Brooks et al. 2023) shares those
of self-attention only. A map is softmax(q k^T), so taking over q and k and keeping one's own v is the same thing, and
leaves the fused kernel in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insightedit.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

SELF_ATTENTION = "attn1.processor"  # the first attention of each transformer block of Stable Diffusion


class SharedSelfAttention:
    """An attention processor of diffusers: row b attends by the map of row `source[b]`, over its own values."""

    def __init__(self) -> None:
        self.source: torch.Tensor | None = None  # (B,) int64; None: each row by its own map

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """B rows, S places, C width, H heads, D = C / H. (B, S, C) -> (B, S, C)"""
        import torch.nn.functional as F

        def heads(states: torch.Tensor) -> torch.Tensor:
            rows, places, _ = states.shape
            return states.view(rows, places, attn.heads, -1).transpose(1, 2)

        looking = hidden_states if self.source is None else hidden_states[self.source]  # (B, S, C)
        q, k, v = heads(attn.to_q(looking)), heads(attn.to_k(looking)), heads(attn.to_v(hidden_states))  # (B, H, S, D)
        seen = F.scaled_dot_product_attention(q, k, v)  # (B, H, S, D)
        merged: torch.Tensor = seen.transpose(1, 2).flatten(2)  # (B, S, C)
        for layer in attn.to_out:  # projection, dropout
            merged = layer(merged)
        return merged


def share_self_attention(unet: Any) -> SharedSelfAttention:
    """Put one processor into every self-attention of a UNet of Stable Diffusion; cross-attention stays as it was.

    Raises:
        ConfigError: the network has no such layers, so nothing could be shared.
    """
    shared = SharedSelfAttention()
    processors = {name: shared if name.endswith(SELF_ATTENTION) else own for name, own in unet.attn_processors.items()}
    if shared not in processors.values():
        why = f"{type(unet).__name__} has no layer named {SELF_ATTENTION}"
        raise ConfigError("cannot share self-attention", why, "Use a text-to-image model of Stable Diffusion")
    unet.set_attn_processor(processors)
    return shared
