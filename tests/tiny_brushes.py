"""Tiny random BrushNet and PowerPaint checkpoints, written as their authors publish them."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tiny_pipelines import autoencoder, clip_text, clip_tokenizer

from insightedit.backends.paint.brushnet import BranchConfig, BrushNet
from insightedit.backends.paint.painter import Canvas

WORDS = ("P_ctxt", "P_shape", "P_obj")
SIZES = {
    "block_out_channels": [8, 16],
    "norm_num_groups": 4,
    "layers_per_block": 2,
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
}
KINDS = {
    "brushnet": {
        "down_block_types": ["DownBlock2D"] * 2,
        "mid_block_type": "MidBlock2D",
        "up_block_types": ["UpBlock2D"] * 2,
    },
    "powerpaint2": {
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    },
}
FOREIGN = {  # keys of the published config.json that a branch does not need
    "_class_name": "BrushNetModel",
    "_diffusers_version": "0.27.0.dev0",
    "brushnet_conditioning_channel_order": "rgb",
    "conditioning_embedding_out_channels": [16, 32, 96, 256],
    "only_cross_attention": False,
    "global_pool_conditions": False,
    "addition_embed_type": None,
    "addition_embed_type_num_heads": 64,
}


@torch.no_grad()
def fill(network: torch.nn.Module, salt: str) -> torch.nn.Module:
    """Weights drawn from their names, as the fixtures of tests/golden were."""
    for name, tensor in network.state_dict().items():
        draw = torch.randn(
            tensor.shape, generator=torch.Generator().manual_seed(zlib.crc32((salt + name).encode()) & 0x7FFFFFFF)
        )
        if tensor.dim() > 1:
            tensor.copy_(draw / math.sqrt(tensor[0].numel()))
        else:
            tensor.copy_(0.1 * draw + name.endswith(("weight", "gamma")))
    return network


def canvas(seed: int = 1, prompt: str = "a dog", task: str = "replace", shift: int = 0, negative: str = "") -> Canvas:
    """32 x 48 px with a hole in the middle; `shift` changes what is around it."""
    rows, columns = np.mgrid[0:32, 0:48]
    image = np.stack([columns * 4 + shift, 255 - rows * 6, rows + columns], -1).astype(np.uint8)
    hole = np.zeros((32, 48), bool)
    hole[8:24, 16:32] = True
    return Canvas(image, hole, prompt, negative, task, seed)


def unet(in_channels: int = 4, **changes) -> UNet2DConditionModel:
    torch.manual_seed(0)
    kinds = {name: kind for name, kind in KINDS["powerpaint2"].items() if name != "mid_block_type"}
    sizes = {"sample_size": 8, "in_channels": in_channels, "out_channels": 4}
    return UNet2DConditionModel(**sizes | SIZES | kinds | changes).eval()


def branch(kind: str, **changes) -> BrushNet:
    return BrushNet(BranchConfig.of(KINDS[kind] | SIZES | changes, Path("here"))).eval()


def write_branch(network: BrushNet, folder: Path, config: dict | None) -> None:
    """A branch as published: config.json (None: left out, as PowerPaint does) and its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    if config is not None:
        (folder / "config.json").write_text(json.dumps(FOREIGN | config))


def write_base(folder: Path, in_channels: int = 4) -> None:
    """A Stable Diffusion of diffusers' layout whose words matter (attention is amplified)."""
    torch.manual_seed(1)
    tokens = clip_tokenizer()
    network = unet(in_channels)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "attn2" in name:
                weight *= 8
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    parts = {
        "unet": network,
        "vae": autoencoder(),
        "text_encoder": clip_text(tokens),
        "tokenizer": tokens,
        "scheduler": DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **schedule),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name)


def wrapped_text_encoder(base: Path) -> dict[str, torch.Tensor]:
    """The text encoder of a base as mmagic wraps it, with three random tables."""
    draw = torch.Generator().manual_seed(3)
    plain = load_file(base / "text_encoder" / "model.safetensors")
    tensors = {"text_model." + name.removeprefix("text_model."): value for name, value in plain.items()}
    table = "text_model.embeddings.token_embedding."
    tensors[table + "wrapped.weight"] = tensors.pop(table + "weight")
    for word in WORDS:
        tensors[f"{table}trainable_embeddings.{word}"] = torch.randn(10, 32, generator=draw)
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return tensors


def write_powerpaint_v1(folder: Path, base: Path) -> None:
    """JunhaoZhuang/PowerPaint-v1: two files, no configuration."""
    (folder / "unet").mkdir(parents=True)
    (folder / "text_encoder").mkdir()
    weights = load_file(base / "unet" / "diffusion_pytorch_model.safetensors")
    save_file({name: value * 1.1 for name, value in weights.items()}, folder / "unet" / "unet.safetensors")
    save_file(wrapped_text_encoder(base), folder / "text_encoder" / "text_encoder.safetensors")


def write_powerpaint_v2(folder: Path) -> None:
    """JunhaoZhuang/PowerPaint-v2-1: no config.json beside the branch, and a UNet file of an odd name in its base."""
    base = folder / "realisticVisionV60B1_v51VAE"
    write_base(base)
    (base / "unet" / "diffusion_pytorch_model.safetensors").rename(
        base / "unet" / "diffusion_pytorch_model-002.safetensors"
    )
    network = branch("powerpaint2")
    fill(network, "powerpaint2.")
    write_branch(network, folder / "PowerPaint_Brushnet", None)
    torch.save(wrapped_text_encoder(base), folder / "PowerPaint_Brushnet" / "pytorch_model.bin")
