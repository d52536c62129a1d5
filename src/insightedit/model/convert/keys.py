"""Reference names -> names of this package: one table per part, nothing else.

Every table is complete: a name that no row matches as a whole raises `UnknownKey`, and a row that says `None` is a name
that may be dropped, each for the reason written beside it. Prefixes of the released files are optional, so that the
modules of the reference can be read on their own as well.

Sources: SmartEdit (`model/LLMSD_QFormerv01.py`, `model/two_way_transformer.py`, key counts in its test script),
peft 0.4, IP-Adapter (`ip_adapter/ip_adapter.py`), LLaVA's and transformers' `state_dict()`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

KeyMap = Callable[[str], str | None]
Table = tuple[tuple[str, str | None], ...]


class UnknownKey(LookupError):
    """A name that no row of a part's table matches."""


def _look_up(part: str, table: Table, name: str) -> str | None:
    for pattern, clean in table:
        if match := re.fullmatch(pattern, name):
            return None if clean is None else match.expand(clean)
    raise UnknownKey(f"{part}: {name}")


WEIGHT = r"(weight|bias)"
QFORMER: Table = (
    (r"(?:sd_)?query_tokens", r"query_tokens"),
    (r"(?:sd_)?(?:qformer\.)?embeddings\.position_ids", None),  # a counting buffer of old BERT, in no computation here
    (rf"(?:sd_)?(?:qformer\.)?embeddings\.LayerNorm\.{WEIGHT}", r"transformer.layernorm.\1"),
    (
        rf"(?:sd_)?(?:qformer\.)?encoder\.layer\.(\d+)\.(attention|crossattention)\.self\.(query|key|value)\.{WEIGHT}",
        r"transformer.encoder.layer.\1.\2.attention.\3.\4",
    ),
    (
        rf"(?:sd_)?(?:qformer\.)?encoder\.layer\.(\d+)\.(attention|crossattention)\.output\.(dense|LayerNorm)\.{WEIGHT}",
        r"transformer.encoder.layer.\1.\2.output.\3.\4",
    ),
    (
        rf"(?:sd_)?(?:qformer\.)?encoder\.layer\.(\d+)\.intermediate_query\.dense\.{WEIGHT}",
        r"transformer.encoder.layer.\1.intermediate_query.dense.\2",
    ),
    (
        rf"(?:sd_)?(?:qformer\.)?encoder\.layer\.(\d+)\.output_query\.(dense|LayerNorm)\.{WEIGHT}",
        r"transformer.encoder.layer.\1.output_query.\2.\3",
    ),
)

TWO_WAY = r"(?:modulate_)?transformer"
ATTENTION = r"(self_attn|cross_attn_token_to_image|cross_attn_image_to_token)\.([qkv]|out)_proj"
BIM: Table = (
    (rf"modulate_head\.{WEIGHT}", r"modulate_head.\1"),
    (r"pe(?:_layer)?\.positional_encoding_gaussian_matrix", r"positions"),
    (rf"dimension_reduction_head_zeroconv\.{WEIGHT}", r"residual_head.\1"),
    (rf"dimension_reduction_head_qformer_out\.{WEIGHT}", r"text_head.\1"),
    (rf"{TWO_WAY}\.layers\.(\d+)\.{ATTENTION}\.{WEIGHT}", r"transformer.layers.\1.\2.\3_proj.\4"),
    (rf"{TWO_WAY}\.layers\.(\d+)\.norm([1-4])\.{WEIGHT}", r"transformer.layers.\1.layer_norm\2.\3"),
    (rf"{TWO_WAY}\.layers\.(\d+)\.mlp\.lin([12])\.{WEIGHT}", r"transformer.layers.\1.mlp.lin\2.\3"),
    (
        rf"{TWO_WAY}\.final_attn_token_to_image\.([qkv]|out)_proj\.{WEIGHT}",
        r"transformer.final_attn_token_to_image.\1_proj.\2",
    ),
    (rf"{TWO_WAY}\.norm_final_attn\.{WEIGHT}", r"transformer.layer_norm_final_attn.\1"),
)

IMAGE_PROJECTION: Table = (
    (rf"(?:image_proj\.)?proj\.{WEIGHT}", r"image_embeds.\1"),
    (rf"(?:image_proj\.)?norm\.{WEIGHT}", r"norm.\1"),
)

LLM = (
    r"(?:model\.base_model\.model\.|base_model\.model\.model\.)"  # peft inside SmartEdit; peft around LlamaForCausalLM
)
TARGET = r"self_attn\.([qv])_proj"
FROZEN = r"self_attn\.[ko]_proj|mlp\.(?:gate|up|down)_proj|input_layernorm|post_attention_layernorm"
LANGUAGE: Table = (
    (rf"{LLM}embed_tokens\.weight", r"language_model.model.embed_tokens.weight"),
    (rf"{LLM}norm\.weight", r"language_model.model.norm.weight"),
    (rf"{LLM}layers\.(\d+)\.({FROZEN})\.weight", r"language_model.model.layers.\1.\2.weight"),
    # peft 0.4 kept the wrapped Linear's own name; newer peft calls it base_layer
    (
        rf"{LLM}layers\.(\d+)\.{TARGET}\.(?:base_layer\.)?weight",
        r"language_model.model.layers.\1.self_attn.\2_proj.base_layer.weight",
    ),
    (
        rf"{LLM}layers\.(\d+)\.{TARGET}\.lora_([AB])\.default\.weight",
        r"language_model.model.layers.\1.self_attn.\2_proj.lora_\3.default.weight",
    ),
    (rf"{LLM}layers\.\d+\.self_attn\.rotary_emb\.inv_freq", None),  # a constant of the rotary positions, computed here
)

HEADS: Table = (
    (r"lm_head\.weight", r"language_model.lm_head.weight"),
    (rf"mm_projector\.{WEIGHT}", r"projector.\1"),
    # the same table is in the LLM's file; the copy that DeepSpeed gathered here is not read by the reference either
    (rf"{LLM}embed_tokens\.weight", None),
)

CLIP_VISION: Table = (
    (r"(?:vision_model\.)?embeddings\.position_ids", None),  # a counting buffer of transformers before 4.31
    # a whole CLIPModel also holds the text half and the projections of both, which a vision tower does not have
    (r"text_model\..+|(?:text|visual)_projection\.weight|logit_scale", None),
    (r"(?:vision_model\.)?((?:embeddings|pre_layrnorm|encoder|post_layernorm)\..+)", r"vision.\1"),
)

LLAMA = rf"model\.layers\.\d+\.(?:self_attn\.[qv]_proj|{FROZEN})\.weight"
LLAVA_ORIGINAL: Table = (
    (r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq", None),  # as above
    (r"model\.embed_tokens\.weight|lm_head\.weight|model\.norm\.weight", r"language_model.\g<0>"),
    (LLAMA, r"language_model.\g<0>"),
    (rf"model\.mm_projector\.{WEIGHT}", r"projector.\1"),
)

LLAVA_HF: Table = (  # llava-hf files: old disk names, and those of transformers 5 in memory
    (r"(?:model\.)?language_model\.(?:model\.)?embed_tokens\.weight", r"language_model.model.embed_tokens.weight"),
    (r"(?:model\.)?language_model\.(?:model\.)?norm\.weight", r"language_model.model.norm.weight"),
    (r"(?:language_model\.)?lm_head\.weight", r"language_model.lm_head.weight"),
    (
        rf"(?:model\.)?language_model\.(?:model\.)?(layers\.\d+\.(?:self_attn\.[qv]_proj|{FROZEN})\.weight)",
        r"language_model.model.\1",
    ),
    (r"(?:model\.)?language_model\.(?:model\.)?layers\.\d+\.self_attn\.rotary_emb\.inv_freq", None),
    (rf"(?:model\.)?multi_modal_projector\.linear_1\.{WEIGHT}", r"projector.0.\1"),
    (rf"(?:model\.)?multi_modal_projector\.linear_2\.{WEIGHT}", r"projector.2.\1"),
    (r"(?:model\.)?vision_tower\.(?:vision_model\.)?embeddings\.position_ids", None),
    (
        r"(?:model\.)?vision_tower\.(?:vision_model\.)?((?:embeddings|pre_layrnorm|encoder|post_layernorm)\..+)",
        r"vision.\1",
    ),
)


def qformer_key(name: str) -> str | None:
    """SmartEdit's `sd_query_tokens` and `sd_qformer.*` (or `*` alone) -> names inside `Bridge.qformer`."""
    return _look_up("qformer", QFORMER, name)


def bim_key(name: str) -> str | None:
    """SmartEdit's `modulate-N` file (or `transformer.*`, `pe.*` alone) -> names inside `Bridge.bim`."""
    return _look_up("bim", BIM, name)


def image_projection_key(name: str) -> str | None:
    """IP-Adapter's `image_proj.*` (or `*` alone) -> names inside `Bridge.iaa.projection`."""
    return _look_up("image_proj", IMAGE_PROJECTION, name)


def image_attention_key(name: str) -> str | None:
    """IP-Adapter's `ip_adapter.{i}.to_{k,v}_ip.weight` -> `ImageAttention`'s `layers.{n}.to_{k,v}_ip.0.weight`.

    i counts all attention processors of the UNet, which alternate self and cross, so i = 2 n + 1.
    """
    match = re.fullmatch(r"(?:ip_adapter\.)?(\d+)\.(to_[kv]_ip)\.weight", name)
    if match is None or int(match[1]) % 2 == 0:
        raise UnknownKey(f"ip_adapter: {name}")
    return f"layers.{int(match[1]) // 2}.{match[2]}.0.weight"


def language_key(name: str) -> str | None:
    """SmartEdit's `LLM-N` file -> names inside `Comprehension`, LoRA apart (`base_layer`, `lora_A`, `lora_B`).

    `embed_tokens.weight` still has 32,035 rows there; the converter splits them.
    """
    return _look_up("LLM", LANGUAGE, name)


def heads_key(name: str) -> str | None:
    """The part of SmartEdit's `embeddings_qformer` file that belongs to `Comprehension`: head and projector."""
    return _look_up("embeddings_qformer", HEADS, name)


def comprehension_key(name: str) -> str | None:
    """Any name of SmartEdit that belongs to `Comprehension`: `language_key`, else `heads_key`."""
    try:
        return language_key(name)
    except UnknownKey:
        return heads_key(name)


def unet_key(name: str) -> str | None:
    """SmartEdit's `unet.*` -> diffusers' `UNet2DConditionModel`; its names are diffusers' already."""
    if not name.startswith("unet."):
        raise UnknownKey(f"unet: {name}")
    return name.removeprefix("unet.")


def clip_vision_key(name: str) -> str | None:
    """A CLIP vision tower of any transformers generation -> names inside `Comprehension`."""
    return _look_up("vision", CLIP_VISION, name)


def llava_original_key(name: str) -> str | None:
    """LLaVA-1.1's own layout (`LlamaForCausalLM` + `model.mm_projector`) -> names inside `Comprehension`, no LoRA."""
    return _look_up("llava", LLAVA_ORIGINAL, name)


def llava_hf_key(name: str) -> str | None:
    """`llava-hf/llava-1.5-*-hf`, on disk or in memory -> names inside `Comprehension`, without LoRA."""
    return _look_up("llava", LLAVA_HF, name)
