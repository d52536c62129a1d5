"""Builders of tiny random inpainting pipelines; they are saved in the public layouts, and loaded as users' are."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_pipelines import autoencoder, clip_text, clip_tokenizer, stable_diffusion

DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def loud(network, names: tuple[str, ...] = ("attn",), factor: float = 8):
    """A random network hides what it is told: its attention is amplified, so that words and holes matter."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if any(part in name for part in names):
                weight *= factor
    return network


def scheduler():
    from diffusers import DDIMScheduler

    return DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **DIFFUSION)


def inpainting(channels: int):
    """StableDiffusionInpaintPipeline, of 9 channels (inpainting weights) or 4 (any text-to-image weights)."""
    from diffusers import StableDiffusionInpaintPipeline

    parts = stable_diffusion(channels, scheduler=scheduler()).components
    return StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)


def sdxl():
    from diffusers import StableDiffusionXLInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    second = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=9,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        cross_attention_dim=64,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
        transformer_layers_per_block=(1, 1),
    )
    return StableDiffusionXLInpaintPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(tokenizer),
        text_encoder_2=CLIPTextModelWithProjection(second).eval(),
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        unet=loud(unet).eval(),
        scheduler=scheduler(),
        add_watermarker=False,
    )


def flux_fill():
    """Reads 4 x 4 latent, 4 x 4 masked-latent and 256 mask channels; so its `in_channels` is 288."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline, FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(0)
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -2.0),
        *((one, -3.0) for one in "abcdefghijklmnopqrst"),
    ]
    words = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=64)
    t5 = T5Config(vocab_size=len(words), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16 + 16 + 256,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    tokenizer = clip_tokenizer()
    return FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(t5).eval(),
        tokenizer_2=words,
        transformer=loud(transformer, ("norm", "context_embedder", "time_text_embed")).eval(),
    )


QWEN_WORDS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def _qwen_reader():
    """Its tokenizer and a small Qwen2.5-VL that knows it."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = {letter: place for place, letter in enumerate(bytes_to_unicode().values())}
    tokenizer = Qwen2Tokenizer(vocab=letters, merges=[], model_max_length=2048)
    tokenizer.add_tokens(list(QWEN_WORDS), special_tokens=True)
    ids = dict(zip(QWEN_WORDS, tokenizer.convert_tokens_to_ids(list(QWEN_WORDS)), strict=True))
    small = {"hidden_size": 32, "intermediate_size": 64}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    text = small | {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": rope,
        "max_position_embeddings": 4096,
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=small | {"depth": 2, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [1]},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    return tokenizer, Qwen2_5_VLForConditionalGeneration(config).eval()


def save_qwen_edit(folder: Path) -> None:
    """As Qwen/Qwen-Image-Edit lies on the hub: its index names a processor that cannot be built without torchvision."""
    import json

    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImageEditInpaintPipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2VLImageProcessorPil

    torch.manual_seed(0)
    tokenizer, reader = _qwen_reader()
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 6, 6),
    )
    QwenImageEditInpaintPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=reader,
        tokenizer=tokenizer,
        processor=None,
        transformer=loud(transformer, ("norm", "mod", "txt_in")).eval(),
    ).save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 16).save_pretrained(folder / "processor")
    index = json.loads((folder / "model_index.json").read_text())
    index["processor"] = ["transformers", "Qwen2VLProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))
