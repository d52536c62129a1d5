"""Builders of tiny random pipelines, and damage to their files."""

from __future__ import annotations

from pathlib import Path

import torch


def clip_tokenizer():
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[], model_max_length=77)


def clip_text(tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()


def autoencoder(**more):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=4,
        sample_size=64,
        **more,
    ).eval()


def stable_diffusion(in_channels: int = 8, **parts):
    """A pipeline of the InstructPix2Pix family whose words and picture both matter (attention is amplified)."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionInstructPix2PixPipeline,
        UNet2DConditionModel,
    )

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        cross_attention_dim=32,
        attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if "attn2" in name:
                weight *= 8
    made = {
        "vae": autoencoder(),
        "text_encoder": clip_text(tokenizer),
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": EulerAncestralDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    pipe = StableDiffusionInstructPix2PixPipeline(**made | parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def without(file: Path, tensor: str) -> None:
    """Drop a tensor from a safetensors file."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    del tensors[tensor]
    save_file(tensors, file, {"format": "pt"})


def cut(file: Path) -> None:
    """Leave half of a file, as a broken download does."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flux_kontext():
    """FLUX Kontext with one double and one single block."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxKontextPipeline, FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(0)
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -2.0),
        *((letter, -3.0) for letter in "abcdefghijkl"),
    ]
    t5_tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=64)
    t5 = T5Config(vocab_size=len(t5_tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    tokenizer = clip_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    ).eval()
    return FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(t5).eval(),
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    )
