"""The names of Stable Diffusion 1.x in CompVis' code (LDM) for the names that diffusers gives the same tensors.

A diffusers model on the meta device lists its tensors, and each name has one counterpart in the file; the numbering of
the blocks follows from the layers per block. Sources: CompVis `ldm/modules/diffusionmodules/{openaimodel,model}.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

UNET, VAE, TEXT, EMA = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.", "model_ema."

# Buffers of `LatentDiffusion` and `LitEma`: the noise schedule, which the scheduler's configuration holds, and counters
SCHEDULE = frozenset(
    """betas alphas_cumprod alphas_cumprod_prev sqrt_alphas_cumprod sqrt_one_minus_alphas_cumprod
    log_one_minus_alphas_cumprod sqrt_recip_alphas_cumprod sqrt_recipm1_alphas_cumprod posterior_variance
    posterior_log_variance_clipped posterior_mean_coef1 posterior_mean_coef2 scale_factor
    model_ema.decay model_ema.num_updates
    cond_stage_model.transformer.text_model.embeddings.position_ids""".split()
)

UNET_EDGES = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_names(names: Iterable[str], layers: int) -> dict[str, str]:
    """Name in diffusers' `UNet2DConditionModel` -> name in the file.

    Args:
        names: of the model's state dict.
        layers: `layers_per_block`.
    """
    names = list(names)
    attentive = {name.split(".")[1] for name in names if re.match(r"up_blocks\.\d+\.attentions", name)}
    return {name: UNET + _unet_name(name, layers + 1, attentive) for name in names}


def _unet_name(name: str, per: int, attentive: set[str]) -> str:
    """`per`: entries of `input_blocks` for each level (its layers and a downsampler)."""
    if match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
        side, kind, tail = match[1], match[3], match[5]
        place = int(match[2]) * per + int(match[4]) + (side == "down")  # input_blocks.0 is the first convolution
        block = "input_blocks" if side == "down" else "output_blocks"
        return f"{block}.{place}.{int(kind == 'attentions')}.{_unet_tail(kind, tail)}"
    if match := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", name):
        return f"input_blocks.{(int(match[1]) + 1) * per}.0.op.{match[2]}"
    if match := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)", name):
        slot = 2 if match[1] in attentive else 1  # after the attention, where there is one
        return f"output_blocks.{int(match[1]) * per + per - 1}.{slot}.conv.{match[2]}"
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        place = 1 if match[1] == "attentions" else 2 * int(match[2])
        return f"middle_block.{place}.{_unet_tail(match[1], match[3])}"
    head, _, last = name.rpartition(".")
    return f"{UNET_EDGES[head]}.{last}"


def _unet_tail(kind: str, tail: str) -> str:
    if kind == "attentions":
        return tail  # transformer blocks have the same names in both
    head, _, last = tail.partition(".")
    return f"{UNET_RESNET[head]}.{last}"


def vae_names(names: Iterable[str], levels: int) -> dict[str, str]:
    """Name in diffusers' `AutoencoderKL` -> name in the file, whose decoder counts its levels from the other end."""
    return {name: VAE + _vae_name(name, levels) for name in names}


def _vae_name(name: str, levels: int) -> str:
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d+)\.(?:resnets\.(\d+)|upsamplers\.0)",
        lambda m: f"up.{levels - 1 - int(m[1])}." + (f"block.{m[2]}" if m[2] else "upsample"),
        name,
    )
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if match := re.fullmatch(r"(.+)mid_block\.attentions\.0\.(.+)\.(weight|bias)", name):
        return f"{match[1]}mid.attn_1.{VAE_ATTENTION[match[2]]}.{match[3]}"
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def text_names(names: Iterable[str]) -> dict[str, str]:
    """Name in `CLIPTextModel` -> name in the file; transformers >= 5.6 leaves `text_model.` out in memory."""
    return {name: f"{TEXT}text_model.{name.removeprefix('text_model.')}" for name in names}


def ema_name(name: str) -> str:
    """The running average's name of a UNet tensor: `LitEma` takes the dots out, which a buffer's name may not have."""
    return EMA + name.removeprefix("model.").replace(".", "")
