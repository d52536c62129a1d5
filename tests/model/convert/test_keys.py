"""The key maps on their own: counts of the released files, the fixtures of the reference, and no leniency."""

from __future__ import annotations

import pytest
import torch
from model.convert.layouts import LLM

from insightedit.model.convert import keys
from insightedit.model.convert.keys import UnknownKey


def renamed(names, key) -> list[str]:
    """Clean names, each once; what is dropped is left out."""
    clean = [name for name in map(key, names) if name is not None]
    assert len(clean) == len(set(clean))
    return clean


def qformer_names(layers: int = 6) -> list[str]:
    """The 129 entries that SmartEdit's Q-Former has in its file."""
    both = lambda stem: [f"{stem}.weight", f"{stem}.bias"]  # noqa: E731
    names = ["embeddings.position_ids", *both("embeddings.LayerNorm")]
    for layer in range(layers):
        stem = f"encoder.layer.{layer}."
        for attention in ("attention", "crossattention") if layer % 2 == 0 else ("attention",):
            for part in ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm"):
                names += both(f"{stem}{attention}.{part}")
        for part in ("intermediate_query.dense", "output_query.dense", "output_query.LayerNorm"):
            names += both(stem + part)
    return names


@pytest.mark.parametrize("prefix", ["", "sd_qformer.", "qformer."])
def test_the_qformer_of_a_release_fills_ours(prefix):
    from insightedit.model.bridging import QFormer
    from insightedit.model.config import QFormerConfig

    names = qformer_names()
    assert len(names) == 129
    with torch.device("meta"):
        wanted = set(QFormer(QFormerConfig(), 4096).state_dict())
    assert {*renamed([prefix + name for name in names], keys.qformer_key), "query_tokens"} == wanted


def test_the_language_model_of_a_release_has_450_names():
    layer = [f"self_attn.{x}_proj.weight" for x in "qkvo"] + [f"mlp.{x}_proj.weight" for x in ("gate", "up", "down")]
    layer += ["input_layernorm.weight", "post_attention_layernorm.weight", "self_attn.rotary_emb.inv_freq"]
    layer += [f"self_attn.{x}_proj.lora_{half}.default.weight" for x in "qv" for half in "AB"]
    names = [f"{LLM}layers.{n}.{tail}" for n in range(32) for tail in layer]
    names += [LLM + "norm.weight", LLM + "embed_tokens.weight"]
    assert len(names) == 450
    assert len(renamed(names, keys.comprehension_key)) == 450 - 32


def test_old_and_new_peft_names_mean_the_same():
    old = f"{LLM}layers.3.self_attn.q_proj.weight"
    new = f"{LLM}layers.3.self_attn.q_proj.base_layer.weight"
    assert keys.language_key(old) == keys.language_key(new) is not None
    assert keys.language_key(f"{LLM}layers.3.self_attn.k_proj.weight").endswith("k_proj.weight")


def test_image_attention_counts_the_cross_attentions_only():
    assert [keys.image_attention_key(f"{place}.to_k_ip.weight") for place in (1, 3, 31)] == [
        f"layers.{n}.to_k_ip.0.weight" for n in (0, 1, 15)
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (keys.qformer_key, "sd_qformer.encoder.layer.0.attention.self.query.weight.more"),
        (keys.qformer_key, "encoder.layer.0.output.dense.weight"),
        (keys.bim_key, "modulate_transformer.layers.0.norm5.weight"),
        (keys.bim_key, "modulate_head.scale"),
        (keys.language_key, LLM + "layers.0.self_attn.k_proj.lora_A.default.weight"),
        (keys.language_key, "layers.0.mlp.up_proj.weight"),
        (keys.heads_key, "mm_projector.0.weight"),
        (keys.image_attention_key, "ip_adapter.2.to_k_ip.weight"),
        (keys.image_attention_key, "1.to_q_ip.weight"),
        (keys.image_projection_key, "image_proj.latents"),
        (keys.unet_key, "conv_in.weight"),
        (keys.clip_vision_key, "visual.conv1.weight"),
        (keys.llava_original_key, "model.mm_projector.2.weight"),
        (keys.llava_hf_key, "image_newline"),
    ],
)
def test_any_other_name_is_unknown(key, name):
    with pytest.raises(UnknownKey):
        key(name)


def test_llava_hf_is_read_under_its_disk_and_its_memory_names():
    tail = "layers.0.self_attn.q_proj.weight"
    names = {f"language_model.model.{tail}", f"model.language_model.{tail}"}
    assert {keys.llava_hf_key(name) for name in names} == {f"language_model.model.{tail}"}
    eyes = {"vision_tower.vision_model.post_layernorm.bias", "model.vision_tower.post_layernorm.bias"}
    assert {keys.llava_hf_key(name) for name in eyes} == {"vision.post_layernorm.bias"}
