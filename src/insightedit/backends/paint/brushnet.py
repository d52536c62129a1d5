"""BrushNet's side branch (Ju et al. 2024, arXiv 2403.06976), and the same with cross-attention as PowerPaint v2 has it.

The branch reads the picture without its hole; `side_branch` adds what it finds to a stock UNet of diffusers.
B batch, C width, T text tokens; h, w are the latents' sides (an eighth of the picture's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.unets.unet_2d_blocks import (
    UNetMidBlock2D,
    UNetMidBlock2DCrossAttn,
    get_down_block,
    get_up_block,
)
from torch import Tensor, nn

from insightedit.backends.paint.checkpoint import built, read, weights_in
from insightedit.core.errors import InputError
from insightedit.core.files import read_json

STEM = "diffusion_pytorch_model"
ATTENDS = "UNetMidBlock2DCrossAttn"
KINDS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "mid_block_type": ("MidBlock2D", ATTENDS),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
OFF = {  # published settings; another value would ask for arithmetic that is not here
    "addition_embed_type": None,
    "brushnet_conditioning_channel_order": "rgb",
    "class_embed_type": None,
    "encoder_hid_dim_type": None,
    "global_pool_conditions": False,
    "mid_block_scale_factor": 1,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "resnet_time_scale_shift": "default",
    "upcast_attention": False,
}


@dataclass(frozen=True)
class BranchConfig:
    """What the published config.json says, in its words; the defaults are BrushNet's for Stable Diffusion 1.5.

    `conditioning_channels` are 4 of the masked picture's latent and 1 of what is kept. `attention_head_dim` counts the
    heads where `num_attention_heads` is None: diffusers' historical naming.
    """

    in_channels: int = 4
    conditioning_channels: int = 5
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    down_block_types: tuple[str, ...] = ("DownBlock2D",) * 4
    mid_block_type: str = "MidBlock2D"
    up_block_types: tuple[str, ...] = ("UpBlock2D",) * 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    downsample_padding: int = 1
    act_fn: str = "silu"
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int = 768
    attention_head_dim: int | tuple[int, ...] = 8
    num_attention_heads: int | tuple[int, ...] | None = None
    transformer_layers_per_block: int = 1
    use_linear_projection: bool = False

    @property
    def levels(self) -> int:
        return len(self.block_out_channels)

    @property
    def heads(self) -> tuple[int, ...]:
        """Attention heads of each level."""
        heads = self.num_attention_heads or self.attention_head_dim
        return heads if isinstance(heads, tuple) else (heads,) * self.levels

    @property
    def attends(self) -> bool:
        """Whether the branch reads text of its own, as PowerPaint's does and BrushNet's does not."""
        return any("CrossAttn" in kind for kind in (*self.down_block_types, self.mid_block_type, *self.up_block_types))

    @classmethod
    def of(cls, published: Mapping[str, Any], origin: Path) -> BranchConfig:
        """From a config.json.

        Raises:
            InputError: it asks for what this branch does not have (a block, or SDXL's second text), naming it.
        """
        for key, off in OFF.items():
            if published.get(key, off) != off:
                raise _refused(origin, f"{key} = {published[key]!r}, only {off!r} is known here")
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {key: published[key] for key in known & set(published)}
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        config = cls(**values)
        for key, kinds in KINDS.items():
            found = getattr(config, key)
            named = (found,) if isinstance(found, str) else found
            if foreign := [kind for kind in named if kind not in kinds]:
                raise _refused(origin, f"{key} names {foreign[0]}; known are {', '.join(kinds)}")
            if not isinstance(found, str) and len(named) != config.levels:
                raise _refused(origin, f"{key} names {len(named)} blocks for {config.levels} widths")
        return config

    @classmethod
    def beside(cls, unet: Mapping[str, Any], origin: Path) -> BranchConfig:
        """PowerPaint's branch for a UNet: its shape and cross-attention (the public folder has no config.json).

        Raises:
            InputError: as `of`.
        """
        return cls.of({**unet, "mid_block_type": ATTENDS}, origin)


def _refused(origin: Path, why: str) -> InputError:
    return InputError(
        f"{origin} is no branch for Stable Diffusion 1.5", why, "Choose a BrushNet or PowerPaint v2 folder"
    )


class Residuals(NamedTuple):
    """What is added to a UNet, each to the running hidden state of the place that it is named after."""

    down: list[Tensor]  # conv_in, then every layer and downsampler
    middle: Tensor
    up: list[Tensor]  # every layer and upsampler


class BrushNet(nn.Module):
    """The branch; parameter names are those of the public checkpoints."""

    def __init__(self, config: BranchConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.block_out_channels
        self.conv_in_condition = nn.Conv2d(config.in_channels + config.conditioning_channels, widths[0], 3, padding=1)
        self.time_proj = Timesteps(widths[0], config.flip_sin_to_cos, config.freq_shift)
        self.time_embedding = TimestepEmbedding(widths[0], 4 * widths[0], act_fn=config.act_fn)
        self.down_blocks = nn.ModuleList(_down(config, level) for level in range(config.levels))
        self.mid_block = _middle(config)
        self.up_blocks = nn.ModuleList(_up(config, level) for level in range(config.levels))
        layers, last = config.layers_per_block, config.levels - 1
        down = [widths[0]] + [width for i, width in enumerate(widths) for _ in range(layers + (i < last))]
        up = [width for i, width in enumerate(widths[::-1]) for _ in range(layers + 1 + (i < last))]
        self.brushnet_down_blocks = nn.ModuleList(_zero(width) for width in down)
        self.brushnet_mid_block = _zero(widths[-1])
        self.brushnet_up_blocks = nn.ModuleList(_zero(width) for width in up)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        condition: Tensor,
        text: Tensor | None = None,
        scale: float = 1.0,
    ) -> Residuals:
        """The residuals of one denoising step.

        Args:
            sample: noisy latents (B, 4, h, w).
            timestep: one for all, or (B,).
            condition: (B, 5, h, w), see `condition_of`.
            text: (B, T, C), the branch's own words; None for a branch without cross-attention.
            scale: strength of the branch; 0 leaves the UNet alone.
        """
        times = torch.as_tensor(timestep, device=sample.device).expand(len(sample))  # (B,)
        time = self.time_embedding(self.time_proj(times).to(sample.dtype))  # (B, 4 C)
        state = self.conv_in_condition(torch.cat([sample, condition], 1))  # (B, 9, h, w) -> (B, C, h, w)
        skips = [state]
        for block in self.down_blocks:
            state, more = block(state, time, **_words(block, text))
            skips += more
        down = [conv(skip) * scale for conv, skip in zip(self.brushnet_down_blocks, skips, strict=True)]
        state = self.mid_block(state, time, **_words(self.mid_block, text))
        middle = self.brushnet_mid_block(state) * scale
        states = self._climb(state, time, skips, text)
        return Residuals(
            down, middle, [conv(s) * scale for conv, s in zip(self.brushnet_up_blocks, states, strict=True)]
        )

    def _climb(self, state: Tensor, time: Tensor, skips: list[Tensor], text: Tensor | None) -> list[Tensor]:
        """The hidden states on the way up; diffusers' up blocks return only their last."""
        states = []
        block: Any
        for block in self.up_blocks:
            for place, resnet in enumerate(block.resnets):
                state = resnet(torch.cat([state, skips.pop()], 1), time)
                if words := _words(block, text):
                    state = block.attentions[place](state, **words, return_dict=False)[0]
                states.append(state)
            if block.upsamplers:
                state = block.upsamplers[0](state, output_size=skips[-1].shape[2:])  # odd sides come back odd
                states.append(state)
        return states


def _words(block: Any, text: Tensor | None) -> dict[str, Tensor | None]:
    return {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}


def _zero(width: int) -> nn.Conv2d:
    """A 1 x 1 convolution that starts as nothing, so that a fresh branch changes nothing."""
    conv = nn.Conv2d(width, width, 1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _shared(config: BranchConfig) -> dict[str, Any]:
    return {
        "temb_channels": 4 * config.block_out_channels[0],
        "resnet_eps": config.norm_eps,
        "resnet_act_fn": config.act_fn,
        "resnet_groups": config.norm_num_groups,
        "cross_attention_dim": config.cross_attention_dim,
        "transformer_layers_per_block": config.transformer_layers_per_block,
        "use_linear_projection": config.use_linear_projection,
    }


def _down(config: BranchConfig, level: int) -> Any:
    widths = config.block_out_channels
    return get_down_block(
        config.down_block_types[level],
        num_layers=config.layers_per_block,
        in_channels=widths[max(level - 1, 0)],
        out_channels=widths[level],
        add_downsample=level < config.levels - 1,
        downsample_padding=config.downsample_padding,
        num_attention_heads=config.heads[level],
        attention_head_dim=config.heads[level],
        **_shared(config),
    )


def _middle(config: BranchConfig) -> Any:
    shared = _shared(config) | {"in_channels": config.block_out_channels[-1]}
    if config.mid_block_type == ATTENDS:
        return UNetMidBlock2DCrossAttn(num_attention_heads=config.heads[-1], **shared)
    plain = {key: value for key, value in shared.items() if key.startswith(("in_", "temb_", "resnet_"))}
    return UNetMidBlock2D(num_layers=1, add_attention=False, **plain)  # two resnets; get_mid_block would make one


def _up(config: BranchConfig, level: int) -> Any:
    widths = config.block_out_channels[::-1]
    return get_up_block(
        config.up_block_types[level],
        num_layers=config.layers_per_block + 1,
        in_channels=widths[min(level + 1, config.levels - 1)],
        out_channels=widths[level],
        prev_output_channel=widths[max(level - 1, 0)],
        add_upsample=level < config.levels - 1,
        resolution_idx=level,
        num_attention_heads=config.heads[::-1][level],
        attention_head_dim=config.heads[::-1][level],
        **_shared(config),
    )


def load_branch(folder: Path, unet: Any, reads: bool, dtype: torch.dtype) -> BrushNet:
    """The branch of a public folder (config.json and diffusion_pytorch_model.safetensors) for a UNet.

    Without a config.json it is taken for PowerPaint's, whose shape is the UNet's.

    Args:
        folder: of BrushNet (`segmentation_mask_brushnet_ckpt`, `random_mask_brushnet_ckpt`) or `PowerPaint_Brushnet`.
        unet: diffusers' UNet2DConditionModel that it shall stand beside.
        reads: whether it shall have words of its own: PowerPaint's does, BrushNet's does not.
        dtype: of its weights.

    Raises:
        InputError: weights are missing, foreign or damaged, or the branch is for another UNet.
    """
    config = _config(folder, unet, reads)
    for key in ("in_channels", "block_out_channels", "layers_per_block"):
        ours, theirs = getattr(config, key), unet.config[key]
        if ours != (tuple(theirs) if isinstance(theirs, list) else theirs):
            why = f"{key} is {ours} in the branch and {theirs} in the UNet"
            raise InputError(f"{folder} does not fit its base", why, "Use Stable Diffusion 1.5 (no inpainting model)")
    path = weights_in(folder, STEM)
    return built(lambda: BrushNet(config), read(path), path, dtype)


def _config(folder: Path, unet: Any, reads: bool) -> BranchConfig:
    about = folder / "config.json"
    if about.is_file():
        config = BranchConfig.of(read_json(about), about)
    elif reads:
        config = BranchConfig.beside(unet.config, folder)
    else:
        raise InputError(f"{folder} is no branch of BrushNet", "it has no config.json", "Download the folder, whole")
    if config.attends != reads:
        found, wanted = ("PowerPaint v2", "BrushNet") if config.attends else ("BrushNet", "PowerPaint v2")
        mend = "Choose that painter, or another folder"
        raise InputError(f"{folder} is no branch of {wanted}", f"it is one of {found}", mend)
    return config
