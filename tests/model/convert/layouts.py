"""Tiny checkpoints in the public layouts, written from models with random weights. Names are spelt here a second time,
by plain replacement, so that the key maps under test are not their own witness."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from insightedit.model.assembly import Parts, assemble
from insightedit.model.config import (
    BimConfig,
    InsightEditConfig,
    LanguageConfig,
    LoraConfig,
    QFormerConfig,
    UNetConfig,
    VaeConfig,
    VisionConfig,
)
from insightedit.model.toy_tokenizer import toy_tokenizer

LLM = "model.base_model.model."
SEEN = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
SAID = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


def tiny_smartedit() -> InsightEditConfig:
    """SmartEdit's shape at test size: one Linear as projector, no image branch, 77 queries like CLIP's tokens."""
    return InsightEditConfig(
        language=LanguageConfig(width=64, layers=2, heads=4, ffn=128, vocabulary=512, max_positions=512),
        vision=VisionConfig(width=32, layers=3, heads=2, ffn=64, patch=16, size=64),
        lora=LoraConfig(rank=4, alpha=8),
        qformer=QFormerConfig(layers=2, width=32, heads=4, ffn=64, queries=77),
        bim=BimConfig(heads=2, ffn=64),
        iaa=None,
        unet=UNetConfig(channels=(32, 64), resnets=1, heads=4, context=32, groups=8),
        vae=VaeConfig(channels=(8, 8, 16, 16), resnets=1, groups=4),
        resolution=64,
        square=True,
    )


@torch.no_grad()
def stirred(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Every parameter random, also those that start at zero; kept small so that nothing overflows."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        spread = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.1
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread + (parameter.dim() == 1) * 0.5)
    return module.eval()


# ------------------------------------------------------------------------------------------------ Stable Diffusion
def clip_tokenizer() -> CLIPTokenizer:
    letters = list(bytes_to_unicode().values())
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: place for place, piece in enumerate(pieces)}, merges=[], model_max_length=77)


def stock_pipeline(seed: int = 0) -> StableDiffusionInstructPix2PixPipeline:
    """InstructPix2Pix with random weights, text width 32."""
    tokenizer = clip_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=8, out_channels=4, layers_per_block=2, block_out_channels=(8, 16),
        norm_num_groups=4, cross_attention_dim=32, attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4,
        block_out_channels=(8, 8, 16, 16), norm_num_groups=4, sample_size=64, scaling_factor=0.18215,
    )  # fmt: skip
    return StableDiffusionInstructPix2PixPipeline(
        unet=stirred(unet, seed),
        vae=stirred(vae, seed + 1),
        text_encoder=stirred(CLIPTextModel(text), seed + 2),
        tokenizer=tokenizer,
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


# ------------------------------------------------------------------------------------------------ LLaVA
def clip_folder(folder: Path, seed: int = 3) -> CLIPVisionModel:
    config = CLIPVisionConfig(**SEEN, image_size=64, patch_size=16, projection_dim=16)
    model = stirred(CLIPVisionModel(config), seed)
    model.save_pretrained(folder)
    return model


def llava_original(folder: Path, vision: Path, rows: int, seed: int = 4, safetensors: bool = False) -> dict:
    """LLaVA-1.1's own layout: two shards with an index, the projector inside the language model's names."""
    config = LlamaConfig(**SAID, vocab_size=rows, max_position_embeddings=512, rms_norm_eps=1e-6)
    state = dict(stirred(LlamaForCausalLM(config), seed).state_dict())
    generator = torch.Generator().manual_seed(seed)
    state["model.mm_projector.weight"] = torch.randn(64, 32, generator=generator) * 0.2
    state["model.mm_projector.bias"] = torch.randn(64, generator=generator) * 0.1
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    folder.mkdir(parents=True)
    told = {**SAID, "vocab_size": rows, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "hidden_act": "silu"}
    told |= {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], "mm_vision_select_layer": -2}
    told |= {"mm_vision_tower": str(vision), "mm_hidden_size": 32, "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(told))
    names, placed = sorted(state), {}
    for number, half in enumerate((names[::2], names[1::2]), start=1):
        shard = f"{'model' if safetensors else 'pytorch_model'}-{number:05}-of-00002"
        shard += ".safetensors" if safetensors else ".bin"
        save({name: state[name].contiguous() for name in half}, folder / shard)
        placed |= dict.fromkeys(half, shard)
    stem = "model.safetensors" if safetensors else "pytorch_model.bin"
    (folder / f"{stem}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    toy_tokenizer(512).save_pretrained(folder)
    return state


def llava_hf(folder: Path, rows: int = 32064, seed: int = 5) -> LlavaForConditionalGeneration:
    """llava-hf/llava-1.5: vision tower inside, two-layer projector, rows padded to a multiple of 64."""
    text = LlamaConfig(**SAID, vocab_size=rows, max_position_embeddings=512, rms_norm_eps=1e-5)
    seen = CLIPVisionConfig(**SEEN, image_size=64, patch_size=16, projection_dim=16)
    config = LlavaConfig(vision_config=seen, text_config=text, image_token_index=32000, image_seq_length=16)
    model = stirred(LlavaForConditionalGeneration(config), seed)
    model.save_pretrained(folder)
    toy_tokenizer(512).save_pretrained(folder)
    return model


# ------------------------------------------------------------------------------------------------ SmartEdit
def smartedit_parts(llava: dict, vision: CLIPVisionModel, seed: int = 6) -> Parts:
    """A model as SmartEdit's training leaves it: LLaVA's frozen weights, all else random."""
    config = tiny_smartedit()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = assemble(config)
    stirred(parts.bridge, seed), stirred(parts.unet, seed + 1)
    mllm, rows = stirred(parts.comprehension, seed + 2), config.language.vocabulary
    mllm.vision.load_state_dict(vision.state_dict())
    own = {name: tensor for name, tensor in llava.items() if "mm_projector" not in name and "inv_freq" not in name}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        own[name] = own[name][:rows]
    for name in list(own):
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            own[name.replace("proj.weight", "proj.base_layer.weight")] = own.pop(name)
    lora = {name: tensor for name, tensor in mllm.language_model.state_dict().items() if "lora_" in name}
    mllm.language_model.load_state_dict(own | lora)
    mllm.projector.load_state_dict({name: llava[f"model.mm_projector.{name}"] for name in ("weight", "bias")})
    return parts


def smartedit_files(parts: Parts) -> dict[str, dict[str, torch.Tensor]]:
    """The four files of a release. Rows of the base vocabulary drift in them, which the reference's loader mends."""
    mllm, bridge = parts.comprehension, parts.bridge
    llm = {}
    for name, tensor in mllm.language_model.model.state_dict().items():
        llm[LLM + name.replace(".base_layer", "")] = tensor  # peft 0.4's names
    layers = mllm.sizes.layers
    llm |= {f"{LLM}layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(8) for layer in range(layers)}
    llm[LLM + "embed_tokens.weight"] = torch.cat([mllm.language_model.model.embed_tokens.weight + 9, mllm.new_input])
    gathered = {
        "lm_head.weight": torch.cat([mllm.language_model.lm_head.weight - 9, mllm.new_output]),
        "mm_projector.weight": mllm.projector.weight,
        "mm_projector.bias": mllm.projector.bias,
        "sd_query_tokens": bridge.qformer.query_tokens,
        "sd_qformer.embeddings.position_ids": torch.arange(512)[None],
        LLM + "embed_tokens.weight": llm[LLM + "embed_tokens.weight"],
    }
    for name, tensor in bridge.qformer.transformer.state_dict().items():
        name = name.replace("attention.attention.", "attention.self.").replace("layernorm.", "embeddings.LayerNorm.")
        gathered["sd_qformer." + name] = tensor
    bim = {"pe_layer.positional_encoding_gaussian_matrix": bridge.bim.positions}
    for name, tensor in bridge.bim.transformer.state_dict().items():
        bim["modulate_transformer." + name.replace("layer_norm_final", "norm_final").replace("layer_norm", "norm")] = (
            tensor
        )
    heads = {"modulate_head": "modulate_head", "dimension_reduction_head_zeroconv": "residual_head"}
    heads["dimension_reduction_head_qformer_out"] = "text_head"
    for reference, clean in heads.items():
        for name, tensor in getattr(bridge.bim, clean).state_dict().items():
            bim[f"{reference}.{name}"] = tensor
    return {
        "LLM-15000/adapter_model.bin": llm,
        "embeddings_qformer/checkpoint-15000_embeddings_qformer.bin": gathered,
        "unet-15000/adapter_model.bin": {"unet." + name: tensor for name, tensor in parts.unet.state_dict().items()},
        "modulate-15000/adapter_model.bin": bim,
    }


def write_smartedit(folder: Path, files: dict[str, dict[str, torch.Tensor]], rank: int = 4, alpha: int = 8) -> Path:
    for name, tensors in files.items():
        save(tensors, folder / name)
    told = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "lora_dropout": 0.05, "bias": "none",
            "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "fan_in_fan_out": False}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(told))
    return folder


# ------------------------------------------------------------------------------------------------ IP-Adapter
def ip_adapter(widths: tuple[int, ...], context: int, dim: int, tokens: int = 4, seed: int = 7) -> dict:
    """The two dicts of `ip-adapter_sd15.bin`."""
    generator = torch.Generator().manual_seed(seed)
    rnd = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    layers = {}
    for place, width in enumerate(widths):
        for half in "kv":
            layers[f"{2 * place + 1}.to_{half}_ip.weight"] = rnd(width, context)
    head = {"proj.weight": rnd(tokens * context, dim), "proj.bias": rnd(tokens * context)}
    head |= {"norm.weight": rnd(context), "norm.bias": rnd(context)}
    return {"image_proj": head, "ip_adapter": layers}


def save(tensors: dict, path: Path) -> Path:
    """By the suffix: safetensors, or a pickle as everybody writes it."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({name: _own(value) for name, value in tensors.items()}, path)
    return path


def _own(value: object) -> object:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
