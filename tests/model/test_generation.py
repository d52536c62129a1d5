"""Guidance, decoupled attention, dropped conditions."""

import torch

from insightedit.model.bridging import Conditions, Nulls
from insightedit.model.editor import draw, drops_of
from insightedit.model.generation import (
    DropRates,
    Drops,
    cross_attentions,
    decoupled,
    denoise,
    drop,
    guidance_rows,
    guide,
    install,
)


def test_guidance_is_the_three_term_sum_and_one_one_is_the_full_prediction():
    full, image, none = torch.randn(3, 2, 4, 4, 4).unbind(0)
    assert torch.allclose(guide(full, image, none, 7.5, 1.5), none + 1.5 * (image - none) + 7.5 * (full - image))
    assert torch.allclose(guide(full, image, none, 1, 1), full, atol=1e-6)


def conditions(pipeline, count=2) -> Conditions:
    torch.manual_seed(3)
    context, width = pipeline.unet.config.cross_attention_dim, pipeline.unet.config.block_out_channels[0]
    return Conditions(
        torch.randn(count, 16, context), torch.randn(count, width, 8, 8), torch.randn(count, 4, context),
        nulls=Nulls(torch.randn(1, 16, context), torch.randn(1, 4, context)),
    )  # fmt: skip


@torch.no_grad()
def test_guidance_rows_are_all_then_image_then_none(pipeline):
    given = conditions(pipeline)
    rows = guidance_rows(given)
    assert torch.equal(rows.text[:2], given.text) and torch.equal(rows.image[:2], given.image)
    for part in (slice(2, 4), slice(4, 6)):
        assert torch.equal(rows.text[part], given.nulls.text.expand(2, -1, -1))
        assert torch.equal(rows.image[part], given.nulls.image.expand(2, -1, -1))
    assert torch.equal(rows.residual, given.residual.repeat(3, 1, 1, 1))  # SmartEdit: on all three


@torch.no_grad()
def test_the_residual_can_be_kept_out_of_the_unconditional_rows(pipeline):
    rows = guidance_rows(conditions(pipeline), everywhere=False)
    assert rows.residual[:2].any() and not rows.residual[2:].any()


@torch.no_grad()
def test_scale_zero_and_zero_values_are_the_smartedit_path_bit_for_bit(pipeline):
    given, unet, attention = conditions(pipeline), pipeline.unet, pipeline.image_attention
    latents, source, t = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([7, 900])
    smartedit = denoise(unet, latents, source, t, Conditions(given.text, given.residual))
    with decoupled(unet, attention, 1.0):
        assert not torch.allclose(denoise(unet, latents, source, t, given), smartedit, atol=1e-3)
    with decoupled(unet, attention, 0.0):
        assert torch.equal(denoise(unet, latents, source, t, given), smartedit)
    attention.start_silent(unet)
    with decoupled(unet, attention, 1.0):
        assert torch.equal(denoise(unet, latents, source, t, given), smartedit)


def test_a_validation_edit_leaves_the_weight_of_the_image_stream_to_training(pipeline):
    with decoupled(pipeline.unet, pipeline.image_attention, 0.3):
        pass
    install(pipeline.unet, pipeline.image_attention)
    assert all(layer.scale == [1.0] for layer in pipeline.image_attention.layers)


def test_a_silent_start_copies_k_from_the_text_stream(pipeline):
    unet, attention = pipeline.unet, pipeline.image_attention
    attention.start_silent(unet)
    names = [name.removesuffix(".processor") for name in cross_attentions(unet)]
    for (k, v), name in zip(attention.projections(), names, strict=True):
        assert torch.equal(k.weight, unet.get_submodule(name).to_k.weight) and not v.weight.any()


def test_the_unet_is_stock_again_after_the_image_stream_left(pipeline):
    before = set(pipeline.unet.state_dict())
    with decoupled(pipeline.unet, pipeline.image_attention):
        assert any("to_k_ip" in name for name in pipeline.unet.state_dict())
    assert set(pipeline.unet.state_dict()) == before


def test_drop_rates_over_many_draws_are_the_reference_s():
    drops = drops_of(torch.rand(100_000, 2, generator=torch.Generator().manual_seed(0)), DropRates())
    rate = lambda mask: float(mask.float().mean())  # noqa: E731
    for mask, wanted in (
        (drops.text, 0.10), (drops.source, 0.10), (drops.text & drops.source, 0.05),
        (drops.branch & ~drops.text, 0.05 * 0.90), (drops.branch & drops.text, 0.10),
    ):  # fmt: skip
        assert abs(rate(mask) - wanted) < 5 * (wanted * (1 - wanted) / 100_000) ** 0.5
    assert not (drops.text & ~drops.branch).any()  # f_img never stays when the words go


@torch.no_grad()
def test_what_is_dropped_is_replaced_by_its_null_and_the_residual_never(pipeline):
    given, source = conditions(pipeline, 3), torch.randn(3, 4, 8, 8)
    hidden = Drops(*(torch.tensor(mask) for mask in ([True, False, False], [False, True, False], [True, False, True])))
    out, kept = drop(given, source, hidden)
    assert torch.equal(out.text[0], given.nulls.text[0]) and torch.equal(out.text[1:], given.text[1:])
    assert not kept[1].any() and torch.equal(kept[[0, 2]], source[[0, 2]])
    assert torch.equal(out.image[[0, 2]], given.nulls.image.expand(2, -1, -1)) and torch.equal(
        out.image[1], given.image[1]
    )
    assert torch.equal(out.residual, given.residual)


def test_chance_belongs_to_the_sample_not_to_its_batch_or_rank():
    shape, rates = (4, 8, 8), DropRates()
    whole = draw(5, range(6), shape, rates)
    ranks = [draw(5, range(rank, 6, 2), shape, rates) for rank in (0, 1)]
    for rank, part in enumerate(ranks):
        assert torch.equal(part.t, whole.t[rank::2]) and torch.equal(part.noise, whole.noise[rank::2])
        assert torch.equal(part.drops.text, whole.drops.text[rank::2])
    assert not torch.equal(ranks[0].noise, ranks[1].noise) and not torch.equal(ranks[0].t, ranks[1].t)
    assert len({tuple(row.flatten().tolist()) for row in whole.noise}) == 6
    assert not torch.equal(draw(6, range(6), shape, rates).noise, whole.noise)
    assert not torch.equal(whole.noise, whole.latent)
