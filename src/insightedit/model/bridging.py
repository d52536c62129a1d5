"""Bridging: [MM] states -> what the UNet reads. Q-Former and BIM make the text stream, IAA the image stream.

B samples, r [MM] tokens, D the language model's width, T = 77 text and V = 4 visual tokens, C = 768 the UNet's context,
N patches of width W on a grid, h x w latents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.embeddings import ImageProjection
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamTwoWayTransformer

from insightedit.model.config import BimConfig, IaaConfig, QFormerConfig


@dataclass
class Nulls:
    """What stands in for a condition that is hidden."""

    text: torch.Tensor  # (1, T, C): CLIP's text states of the empty prompt
    image: torch.Tensor | None  # (1, V, C): a zero embedding through IAA's head


@dataclass
class Conditions:
    """What generation is conditioned on, all of it constant over the denoising steps."""

    text: torch.Tensor  # f_txt (B, T, C)
    residual: torch.Tensor  # v_t (B, 320, h, w)
    image: torch.Tensor | None = None  # f_img (B, V, C)
    embedding: torch.Tensor | None = None  # e_hat (B, dim): the predicted CLIP embedding of the target
    nulls: Nulls | None = None
    mask: torch.Tensor | None = None  # (B, s, s) logits: where the edit will be, if BIM has that head

    def each(self, times: int) -> Conditions:
        """Every sample's `times` times, side by side: (B, ...) -> (B * times, ...). Nulls are of all."""
        text, residual, image, embedding, mask = (
            None if one is None else one.repeat_interleave(times, dim=0)
            for one in (self.text, self.residual, self.image, self.embedding, self.mask)
        )
        assert text is not None and residual is not None
        return Conditions(text, residual, image, embedding, self.nulls, mask)


class QFormer(nn.Module):
    """BLIP-2's Q-Former: learned queries that attend to the [MM] states in every second layer."""

    def __init__(self, config: QFormerConfig, language_width: int) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.randn(1, config.queries, config.width) * 0.02)  # (1, T, C)
        self.transformer = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.ffn,
                encoder_hidden_size=language_width,
                cross_attention_frequency=config.cross_every,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                layer_norm_eps=1e-12,
                use_qformer_text_input=False,
            )
        )

    def forward(self, h: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, r, D) -> q' (B, T, C), in CLIP's text space. `mask` (B, r) leaves states out."""
        queries = self.query_tokens.expand(len(h), -1, -1)
        return self.transformer(queries, encoder_hidden_states=h, encoder_attention_mask=mask)[0]


class BIM(nn.Module):
    """Bidirectional interaction: text attends to image features and they to it (SmartEdit; SAM's two-way transformer).

    Both heads start at zero: a fresh BIM leaves text and UNet as they are.
    """

    positions: torch.Tensor  # (2, W / 2), a random projection that is part of the checkpoint

    def __init__(self, config: BimConfig, vision_width: int, context: int, channels: int) -> None:
        super().__init__()
        self.text_scale = config.text_scale
        self.modulate_head = nn.Linear(context, vision_width)
        sam = SamMaskDecoderConfig(
            hidden_size=vision_width,
            num_attention_heads=config.heads,
            mlp_dim=config.ffn,
            num_hidden_layers=config.depth,
            attention_downsample_rate=2,
            hidden_act="relu",
            layer_norm_eps=1e-5,
        )
        sam._attn_implementation = "sdpa"  # a model would set it; a part that stands alone must say it
        self.transformer = SamTwoWayTransformer(sam)
        self.register_buffer("positions", torch.randn(2, vision_width // 2))
        self.text_head = nn.Linear(vision_width, context)
        self.residual_head = nn.Conv2d(vision_width, channels, kernel_size=1)
        self.mask_head = nn.Linear(vision_width, 1) if config.mask else None
        for parameter in (*self.text_head.parameters(), *self.residual_head.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, v: torch.Tensor, q: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """`v` (B, N, W) on a square grid, q' (B, T, C), latent size (h, w) -> f_txt (B, T, C), v_t (B, 320, h, w).

        The picture was squashed to the vision encoder's square as a whole, so its grid covers the latents of any aspect
        ratio, corner on corner.
        """
        text, spatial = self.meet(v, q)
        return text, self.residual(spatial, size)

    def meet(self, v: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`v` (B, N, W), q' (B, T, C) -> f_txt (B, T, C) and the image stream (B, W, s, s) that met the text."""
        side = math.isqrt(v.shape[1])
        image = v.to(q.dtype).transpose(1, 2).unflatten(2, (side, side))  # (B, W, s, s)
        text, seen = self.interact(image, self.modulate_head(q))  # (B, T, W), (B, s * s, W)
        return q + self.text_scale * self.text_head(text), seen.transpose(1, 2).unflatten(2, (side, side))

    def residual(self, spatial: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """The image stream (B, W, s, s) -> v_t (B, 320, h, w)."""
        # The 1 x 1 convolution commutes with the interpolation and is cheaper before it
        return F.interpolate(self.residual_head(spatial), size, mode="bilinear", align_corners=False)

    def mask(self, spatial: torch.Tensor) -> torch.Tensor | None:
        """The image stream (B, W, s, s) -> logits (B, s, s) of where the edit will be, if there is that head."""
        return None if self.mask_head is None else self.mask_head(spatial.movedim(1, -1))[..., 0]

    def interact(self, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (B, W, s, s) and text (B, T, W) -> text (B, T, W) and image (B, s * s, W) after the transformer."""
        places = fourier_positions(self.positions, image.shape[2], image.shape[3])  # (W, s, s)
        queries, keys = self.transformer(
            point_embeddings=text[:, None],
            image_embeddings=image,
            image_positional_embeddings=places[None].to(image.dtype),
            attention_similarity=None,
        )
        return queries[:, 0], keys[:, 0]


def fourier_positions(projection: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Random Fourier features of pixel centres (Tancik et al. 2020; SAM): projection (2, F) -> (2 F, height, width)."""
    y = (torch.arange(height, device=projection.device) + 0.5) / height
    x = (torch.arange(width, device=projection.device) + 0.5) / width
    places = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)  # (height, width, 2), x first
    angles = 2 * math.pi * ((2 * places - 1).to(projection.dtype) @ projection)  # (height, width, F)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).permute(2, 0, 1)


class AttentionMapper(nn.Module):
    """A learned query among the [MM] states, two transformer layers, read out at the query. The form is our choice.

    It must pool r states into one vector; attention keeps their roles apart, and the first LayerNorm tames the outlier
    channels of a LLaMA.
    """

    def __init__(self, config: IaaConfig, language_width: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(language_width)
        self.project_in = nn.Linear(language_width, config.width)
        self.query = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.layers = nn.ModuleList(  # pre-LN: x + attention(LN(x)), x + feed-forward(LN(x))
            BasicTransformerBlock(
                config.width,
                config.heads,
                config.width // config.heads,
                activation_fn="gelu",
                attention_bias=True,
                ff_inner_dim=config.ffn,
            )
            for _ in range(config.layers)
        )
        self.norm_out = nn.LayerNorm(config.width)
        self.project_out = nn.Linear(config.width, config.dim)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(B, r, D) -> (B, dim)."""
        states = self.project_in(self.norm_in(h))  # (B, r, width)
        states = torch.cat([self.query.expand(len(h), -1, -1), states], dim=1)  # (B, 1 + r, width)
        for layer in self.layers:
            states = layer(states)
        return self.project_out(self.norm_out(states[:, 0]))


class MlpMapper(nn.Module):
    """The mean of the [MM] states through two layers: a sixth of the parameters, no order among the states."""

    def __init__(self, config: IaaConfig, language_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(language_width),
            nn.Linear(language_width, config.width),
            nn.GELU(),
            nn.Linear(config.width, config.dim),
        )

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(B, r, D) -> (B, dim)."""
        return self.layers(h.mean(1))


MAPPERS = {"attention": AttentionMapper, "mlp": MlpMapper}


class IAA(nn.Module):
    """Image alignment adapter: Mapper -> Linear -> LayerNorm (InsightEdit); the last two are IP-Adapter's head."""

    def __init__(self, config: IaaConfig, language_width: int, context: int) -> None:
        super().__init__()
        self.loss, self.variance = config.loss, config.variance
        self.mapper = MAPPERS[config.mapper](config, language_width)
        self.projection = ImageProjection(config.dim, context, config.tokens)

    def forward(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, r, D) -> e_hat (B, dim), f_img (B, V, C)."""
        embedding = self.mapper(h)
        return embedding, self.projection(embedding)


class Bridge(ModelMixin, ConfigMixin):
    """Q-Former, BIM and IAA, and the two constants that guidance needs.

    Args:
        language_width, vision_width, context, channels: D, W, C and the width of the UNet's first convolution.
        qformer_config, bim_config, iaa_config: fields of their configurations; without `iaa_config` there is no image
            branch (SmartEdit).
    """

    config_name = "config.json"
    _keep_in_fp32_modules = ["qformer", "bim", "iaa"]  # the reference runs them in fp32 beside a half-precision UNet
    null_text: torch.Tensor  # (1, T, C): CLIP's text states of the empty prompt

    @register_to_config
    def __init__(
        self,
        language_width: int = 4096,
        vision_width: int = 1024,
        context: int = 768,
        channels: int = 320,
        qformer_config: dict[str, Any] | None = None,
        bim_config: dict[str, Any] | None = None,
        iaa_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        sizes = QFormerConfig(**(qformer_config or {}))
        self.interaction = BimConfig(**(bim_config or {}))
        self.qformer = QFormer(sizes, language_width)
        self.bim = BIM(self.interaction, vision_width, context, channels)
        self.iaa = None if iaa_config is None else IAA(IaaConfig(**iaa_config), language_width, context)
        self.register_buffer("null_text", torch.zeros(1, sizes.queries, context))

    def forward(self, h: torch.Tensor, v: torch.Tensor, size: tuple[int, int]) -> Conditions:
        """[MM] states (B, r, D), image features (B, N, W), latent size (h, w) -> the conditions of generation."""
        h = h.to(self.qformer.query_tokens.dtype)  # fp32 also beside a half-precision language model
        text, spatial = self.bim.meet(v, self.qformer(h))  # (B, T, C), (B, W, s, s)
        residual, mask = self.bim.residual(spatial, size), self.bim.mask(spatial)
        if self.iaa is None:
            return Conditions(text, residual, nulls=Nulls(self.null_text, None), mask=mask)
        embedding, image = self.iaa(h)  # (B, dim), (B, V, C)
        nothing = self.iaa.projection(torch.zeros_like(embedding[:1]))  # (1, V, C); not zero tokens, as in IP-Adapter
        return Conditions(text, residual, image, embedding, Nulls(self.null_text, nothing), mask)
