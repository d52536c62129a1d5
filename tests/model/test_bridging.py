"""Q-Former, BIM and IAA: shapes, zero starts, alignment of the spatial residual, and the parts' independence."""

import pytest
import torch

from insightedit.model.bridging import BIM, IAA, Bridge
from insightedit.model.config import BimConfig, IaaConfig


def bim(channels: int = 1) -> BIM:
    torch.manual_seed(0)
    module = BIM(BimConfig(heads=2, ffn=32), vision_width=32, context=24, channels=channels).eval()
    torch.nn.init.normal_(module.residual_head.weight)
    return module


def bridge(**changes) -> Bridge:
    torch.manual_seed(0)
    sizes = {"layers": 2, "width": 24, "heads": 2, "ffn": 32, "queries": 7}
    iaa = {"dim": 10, "width": 16, "layers": 1, "heads": 2, "ffn": 32}
    options = {"qformer_config": sizes, "bim_config": {"heads": 2, "ffn": 32}, "iaa_config": iaa} | changes
    return Bridge(language_width=20, vision_width=32, context=24, channels=8, **options).eval()


@torch.no_grad()
def test_shapes_at_any_aspect_ratio():
    h, v = torch.randn(2, 5, 20), torch.randn(2, 16, 32)
    for size in ((8, 8), (12, 8), (5, 17)):
        out = bridge()(h, v, size)
        assert out.text.shape == (2, 7, 24) and out.residual.shape == (2, 8, *size)
        assert out.image.shape == (2, 4, 24) and out.embedding.shape == (2, 10)


@torch.no_grad()
def test_a_fresh_bim_leaves_text_and_unet_alone():
    module = bridge()
    h, v = torch.randn(2, 5, 20), torch.randn(2, 16, 32)
    out = module(h, v, (8, 8))
    assert torch.equal(out.text, module.qformer(h)) and not out.residual.any()


@pytest.mark.parametrize("row, column", [(0, 0), (0, 3), (3, 0), (3, 3)])
@torch.no_grad()
def test_a_corner_of_the_vision_grid_is_that_corner_of_non_square_latents(row, column):
    module, q = bim(), torch.zeros(1, 3, 24)
    calm = torch.zeros(1, 16, 32)
    struck = calm.clone()
    struck[0, 4 * row + column] = 50
    module.transformer.forward = lambda point_embeddings, image_embeddings, **_: (  # the head and its layout alone
        point_embeddings, image_embeddings.flatten(2).transpose(1, 2)[:, None])  # fmt: skip
    change = (module(struck, q, (12, 8))[1] - module(calm, q, (12, 8))[1]).abs()[0, 0]  # (12, 8)
    place = divmod(int(change.argmax()), 8)
    assert (place[0] < 6, place[1] < 4) == (row == 0, column == 0)


@torch.no_grad()
def test_a_corner_stays_in_place_through_the_whole_transformer():
    module, q = bim(channels=16), torch.randn(1, 3, 24)
    calm = torch.zeros(1, 16, 32)
    for row, column in ((0, 0), (3, 0), (0, 3)):
        struck = calm.clone()
        struck[0, 4 * row + column] = 50 * torch.randn(32, generator=torch.Generator().manual_seed(3))
        change = (module(struck, q, (12, 8))[1] - module(calm, q, (12, 8))[1]).abs().sum(1)[0]  # (12, 8)
        place = divmod(int(change.argmax()), 8)
        assert (place[0] < 6, place[1] < 4) == (row == 0, column == 0)


@torch.no_grad()
def test_the_convolution_commutes_with_the_interpolation():
    module = bim(channels=6)
    v, q, size = torch.randn(1, 16, 32), torch.randn(1, 3, 24), (12, 8)
    image = v.transpose(1, 2).unflatten(2, (4, 4))
    spatial = module.interact(image, module.modulate_head(q))[1].transpose(1, 2).unflatten(2, (4, 4))
    late = module.residual_head(torch.nn.functional.interpolate(spatial, size, mode="bilinear", align_corners=False))
    assert torch.allclose(module(v, q, size)[1], late, atol=1e-5)


@torch.no_grad()
def test_text_is_moved_by_half_the_delta():
    module = bim()
    torch.nn.init.normal_(module.text_head.weight)
    v, q = torch.randn(1, 16, 32), torch.randn(1, 3, 24)
    image = v.transpose(1, 2).unflatten(2, (4, 4))
    delta = module.text_head(module.interact(image, module.modulate_head(q))[0])
    assert torch.allclose(module(v, q, (4, 4))[0], q + 0.5 * delta, atol=1e-6)


@pytest.mark.parametrize("kind", ["attention", "mlp"])
@torch.no_grad()
def test_iaa_maps_states_to_an_embedding_and_tokens(kind):
    torch.manual_seed(0)
    module = IAA(IaaConfig(dim=10, tokens=3, mapper=kind, width=16, layers=2, heads=2, ffn=32), 20, 24).eval()
    embedding, tokens = module(torch.randn(2, 5, 20))
    assert embedding.shape == (2, 10) and tokens.shape == (2, 3, 24)
    assert torch.allclose(tokens.mean(-1), torch.zeros(2, 3), atol=1e-5)  # LayerNorm is the last of the three


@torch.no_grad()
def test_the_null_image_is_the_head_of_a_zero_embedding():
    module = bridge()
    nulls = module(torch.randn(2, 5, 20), torch.randn(2, 16, 32), (4, 4)).nulls
    assert torch.equal(nulls.image, module.iaa.projection(torch.zeros(1, 10))) and nulls.image.any()
    assert nulls.text is module.null_text


def test_without_an_image_branch_there_is_no_image_condition():
    out = bridge(iaa_config=None)(torch.randn(1, 5, 20), torch.randn(1, 16, 32), (4, 4))
    assert out.image is None and out.embedding is None and out.nulls.image is None


def test_saving_and_loading_keeps_buffers_too(tmp_path):
    module = bridge()
    module.null_text.normal_()
    module.save_pretrained(tmp_path)
    again = Bridge.from_pretrained(tmp_path)
    assert set(again.state_dict()) >= {"null_text", "bim.positions", "qformer.query_tokens"}
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in module.state_dict().items())
