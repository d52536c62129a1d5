"""Small or stand-in networks that metrics look through, in the layouts of the published ones."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tiny_pipelines import clip_tokenizer

from insightedit.metrics.lpips import FILES, Net
from insightedit.metrics.trunks import TRUNKS

SIDE = 32  # px of CLIP's and DINO's square
LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@lru_cache
def seeded_trunk(net: Net) -> dict[str, torch.Tensor]:
    """The stand-in trunk of tests/golden/eval: He-normal weights of one stream, in the order of their names."""
    rng, weights = np.random.RandomState(0), {}
    shapes = {name: tuple(weight.shape) for name, weight in TRUNKS[net].build().named_parameters()}
    for name, shape in sorted(shapes.items()):
        if name.endswith("bias"):
            weights[name] = torch.full(shape, 0.01)
        else:
            drawn = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            weights[name] = torch.from_numpy(drawn.astype(np.float32))
    return weights


def trunk_folder(folder: Path, *nets: Net) -> Path:
    """Stand-in trunks as files of safetensors, named as the published ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for net in nets:
        named = {f"features.{name}": weight for name, weight in seeded_trunk(net).items()}
        named["classifier.1.weight"] = torch.zeros(3, 3)  # published files hold one, and nothing reads it
        save_file(named, (folder / FILES[net]).with_suffix(".safetensors"))
    return folder


def clip_folder(folder: Path) -> Path:
    """As openai/clip-vit-large-patch14, amplified so that inputs matter."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = clip_tokenizer()
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**LAYERS, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(text_config=text, vision_config={**LAYERS, "image_size": SIDE, "patch_size": 8}, projection_dim=16)
    )
    amplified(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    CLIPImageProcessorPil(**sizes).save_pretrained(folder)
    return folder


def dino_folder(folder: Path) -> Path:
    """As facebook/dino-vits16, the pooler that nothing reads included."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    amplified(ViTModel(ViTConfig(**LAYERS, image_size=SIDE, patch_size=8))).save_pretrained(folder)
    return folder


def amplified(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embedding" in name or "att" in name:
                weight *= 8
    return model.eval()
