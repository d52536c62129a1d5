"""Self-attention by another row's map, against the map written out."""

from __future__ import annotations

import pytest
import torch

from insightedit.backends.pair.sharing import SharedSelfAttention, share_self_attention
from insightedit.core.errors import ConfigError


def attention():
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    return Attention(query_dim=12, heads=3, dim_head=4).double().eval()


def test_a_row_uses_the_other_rows_map_on_its_own_values():
    layer, states = attention(), torch.randn(3, 7, 12, dtype=torch.float64)  # (B, S, C)
    shared = SharedSelfAttention()
    shared.source = torch.tensor([0, 0, 2])  # the second row looks as the first does
    with torch.no_grad():
        found = shared(layer, states)
        q, k, v = (part(states).view(3, 7, 3, 4).transpose(1, 2) for part in (layer.to_q, layer.to_k, layer.to_v))
        maps = torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1)  # (B, H, S, S); 2 = sqrt(4)
        maps[1] = maps[0]
        expected = layer.to_out[0]((maps @ v).transpose(1, 2).reshape(3, 7, 12))
    assert torch.allclose(found, expected, atol=1e-12)


def test_without_a_source_it_is_the_stock_attention():
    from diffusers.models.attention_processor import AttnProcessor2_0

    layer, states = attention(), torch.randn(2, 7, 12, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(SharedSelfAttention()(layer, states), AttnProcessor2_0()(layer, states))


def test_only_self_attention_of_the_network_gets_it(weights):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(weights, subfolder="unet")
    shared = share_self_attention(unet)
    for name, processor in unet.attn_processors.items():
        assert (processor is shared) == ("attn1" in name), name
    assert 0 < sum(processor is shared for processor in unet.attn_processors.values()) < len(unet.attn_processors)


def test_a_network_without_self_attention_is_refused():
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(8,), norm_num_groups=4, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
        mid_block_type=None, cross_attention_dim=8, layers_per_block=1,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="attn1"):
        share_self_attention(unet)
