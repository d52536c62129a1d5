"""The sampler that keeps constants gives what the plain one gives, and leaves no trace in the UNet."""

import pytest
import torch

from insightedit.model.bridging import Conditions, Nulls
from insightedit.model.generation import guidance_rows
from insightedit.model.sampling import KeptAttention, keeping, plain


def rows(pipeline, size=(8, 8)) -> tuple[torch.Tensor, Conditions]:
    torch.manual_seed(3)
    context, width = pipeline.unet.config.cross_attention_dim, pipeline.unet.config.block_out_channels[0]
    nulls = Nulls(torch.randn(1, 16, context), torch.randn(1, 4, context))
    image = torch.randn(2, 4, context)
    given = Conditions(torch.randn(2, 16, context), torch.randn(2, width, *size), image, nulls=nulls)
    z = torch.randn(2, 4, *size)
    return torch.cat([z, z, torch.zeros_like(z)]), guidance_rows(given)


@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("size", [(8, 8), (12, 8)])
@torch.no_grad()
def test_kept_constants_change_nothing(pipeline, scale, size):
    source, given = rows(pipeline, size)
    latents = torch.randn(6, 4, *size)
    arguments = (pipeline.unet, source, given, pipeline.image_attention, scale)
    with plain(*arguments) as predict:
        wanted = [predict(latents, torch.tensor(t)) for t in (999.0, 500.0, 3.0)]
    with keeping(*arguments) as predict:
        for t, eps in zip((999.0, 500.0, 3.0), wanted, strict=True):  # the first call computes, the others reuse
            assert torch.allclose(predict(latents, torch.tensor(t)), eps, atol=1e-5)


@torch.no_grad()
def test_without_an_image_branch_too(pipeline):
    source, given = rows(pipeline)
    given = Conditions(given.text, given.residual)
    latents = torch.randn(6, 4, 8, 8)
    with plain(pipeline.unet, source, given) as predict:
        wanted = predict(latents, torch.tensor(10))
    with keeping(pipeline.unet, source, given) as predict:
        assert torch.allclose(predict(latents, torch.tensor(10)), wanted, atol=1e-5)


@torch.no_grad()
def test_keys_and_values_are_made_once(pipeline):
    source, given = rows(pipeline)
    calls = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in [*pipeline.unet.named_modules(), *pipeline.image_attention.named_modules()]
        if "attn2.to_k" in name or "attn2.to_v" in name or "_ip." in name
    ]
    with keeping(pipeline.unet, source, given, pipeline.image_attention) as predict:
        for t in (9.0, 8.0, 7.0):
            predict(torch.randn(6, 4, 8, 8), torch.tensor(t))
    assert len(hooks) == 4 * len(pipeline.image_attention.layers)
    assert sorted(calls) == sorted(set(calls)) and len(calls) == len(hooks)


@torch.no_grad()
def test_the_unet_is_stock_again_also_after_an_error(pipeline):
    source, given = rows(pipeline)
    before, names = pipeline.unet.conv_in, set(pipeline.unet.state_dict())
    with pytest.raises(ZeroDivisionError), keeping(pipeline.unet, source, given, pipeline.image_attention):
        assert any(isinstance(one, KeptAttention) for one in pipeline.unet.attn_processors.values())
        raise ZeroDivisionError
    assert pipeline.unet.conv_in is before and set(pipeline.unet.state_dict()) == names
    assert not any(isinstance(one, KeptAttention) for one in pipeline.unet.attn_processors.values())
