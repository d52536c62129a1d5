"""Small CLIP encoders on disk, in the layouts of IP-Adapter and Stable Diffusion."""

from pathlib import Path

import torch
from tiny_pipelines import clip_text, clip_tokenizer
from train_toys import CONFIG
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection


def image_encoder(folder: Path, dim: int = CONFIG.iaa.dim, seed: int = 0) -> str:
    """IP-Adapter's image_encoder folder, 32 px."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, image_size=32, patch_size=16, projection_dim=dim))
    model.save_pretrained(folder)
    return str(folder)


def text_encoder(folder: Path) -> str:
    """A Stable Diffusion folder: text_encoder/ and tokenizer/."""
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    clip_text(tokenizer).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    return str(folder)
