"""Equality with the public reference implementations, through the converters' own key maps (tests/golden)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection
from safetensors import safe_open

from insightedit.model.bridging import BIM, Conditions, QFormer, fourier_positions
from insightedit.model.config import BimConfig, QFormerConfig
from insightedit.model.convert.keys import bim_key, image_attention_key, image_projection_key, qformer_key
from insightedit.model.generation import ImageAttention, cross_attentions, decoupled, denoise
from insightedit.model.sampling import keeping

GOLDEN = Path(__file__).parents[1] / "golden"
Tensors = dict[str, torch.Tensor]


def read(name: str) -> tuple[dict, Tensors, Tensors, Tensors]:
    """Configuration, weights, inputs, outputs."""
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["cfg"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    split = [{k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in ("sd.", "in.", "out.")]
    return config, *split


def renamed(weights: Tensors, key: Callable[[str], str | None]) -> Tensors:
    return {key(name): value for name, value in weights.items() if key(name) is not None}


def difference(ours: torch.Tensor, reference: torch.Tensor) -> float:
    assert ours.shape == reference.shape
    return float((ours - reference).abs().max())


@torch.no_grad()
def test_bim_is_smartedits_two_way_transformer():
    config, weights, given, wanted = read("bim_tiny")
    bim = BIM(
        BimConfig(config["depth"], config["num_heads"], config["mlp_dim"]), config["embedding_dim"], 48, 32
    ).eval()
    missing, unexpected = bim.load_state_dict(renamed(weights, bim_key), strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {
        "modulate_head",
        "text_head",
        "residual_head",
    }  # not in the file

    assert difference(fourier_positions(bim.positions, *config["grid"]), wanted["pe"]) <= 1e-5
    queries, keys = bim.interact(given["image_embedding"], given["point_embedding"])
    assert difference(queries, wanted["queries"]) <= 1e-5
    assert difference(keys, wanted["keys"]) <= 1e-5


@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_qformer_is_smartedits(masked):
    config, weights, given, wanted = read("qformer_tiny")
    sizes = QFormerConfig(
        config["layers"], config["hidden"], config["heads"], config["intermediate"], config["cross_freq"],
        config["n_query"],
    )  # fmt: skip
    qformer = QFormer(sizes, config["encoder_width"]).eval()
    qformer.load_state_dict(renamed(weights, qformer_key) | {"query_tokens": given["query_tokens"]})
    out = qformer(given["encoder_hidden_states"], given["mask"] if masked else None)
    assert difference(out, wanted["masked" if masked else "nomask"]) <= 1e-5


@torch.no_grad()
def test_the_residual_enters_the_unet_as_in_smartedit():
    config, weights, given, wanted = read("unet_zeroconv_tiny")
    unet = UNet2DConditionModel(**config).eval()
    unet.load_state_dict(weights)
    latents, source = given["sample"].chunk(2, dim=1)
    for name, factor in (("with_residual", 1), ("zero_residual", 0)):
        conditions = Conditions(given["context"], factor * given["bim_residual"])
        assert difference(denoise(unet, latents, source, given["timesteps"], conditions), wanted[name]) <= 1e-5
        with keeping(unet, source[:1], Conditions(given["context"][:1], factor * given["bim_residual"][:1])) as predict:
            kept = predict(latents[:1], given["timesteps"][0])
        assert difference(kept, wanted[name][:1]) <= 1e-5


@pytest.mark.parametrize("scale, name", [(0.7, "sample"), (0.0, "sample_scale0")])
@torch.no_grad()
def test_decoupled_attention_is_ip_adapters(scale, name):
    config, weights, given, wanted = read("ip_attn_tiny")
    tokens, dim = config.pop("num_tokens"), config.pop("clip_dim")
    assert config.pop("scale") == 0.7
    unet = UNet2DConditionModel(**config).eval()
    unet.load_state_dict({k.removeprefix("unet."): v for k, v in weights.items() if k.startswith("unet.")})
    attention = ImageAttention(tuple(cross_attentions(unet).values()), config["cross_attention_dim"], tokens)
    ip = {k: v for k, v in weights.items() if k.startswith("ip_adapter.")}
    attention.load_state_dict(renamed(ip, image_attention_key))
    head = ImageProjection(dim, config["cross_attention_dim"], tokens)
    image = {k: v for k, v in weights.items() if k.startswith("image_proj.")}
    head.load_state_dict(renamed(image, image_projection_key))

    visual = head(given["clip_image_embeds"])
    assert difference(visual, wanted["ip_tokens"]) <= 1e-5
    assert difference(head(torch.zeros_like(given["clip_image_embeds"])), wanted["ip_tokens_zero"]) <= 1e-5
    latents, source = given["sample"].chunk(2, dim=1)
    nothing = torch.zeros(len(latents), config["block_out_channels"][0], *latents.shape[2:])
    conditions = Conditions(given["text"], nothing, visual)
    with decoupled(unet, attention, scale):
        plain = denoise(unet, latents, source, given["timesteps"], conditions)
    assert difference(plain, wanted[name]) <= 1e-5
    for row in range(len(latents)):  # the kept sampler has one timestep a call
        one = Conditions(given["text"][row : row + 1], nothing[:1], visual[row : row + 1])
        with keeping(unet, source[row : row + 1], one, attention, scale) as predict:
            kept = predict(latents[row : row + 1], given["timesteps"][row])
        assert difference(kept, wanted[name][row : row + 1]) <= 1e-5
