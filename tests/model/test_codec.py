"""Pixels in place of latents: exact both ways, and the switch of a configuration."""

import pytest
import torch
from diffusers import AutoencoderKL

from insightedit.core.errors import ConfigError
from insightedit.model.codec import PixelCodec, factor_of
from insightedit.model.config import InsightEditConfig, PixelConfig, UNetConfig, VaeConfig
from insightedit.model.generation import build_vae
from insightedit.model.pipeline import InsightEditPipeline, from_preset


def test_cells_hold_the_picture_exactly_and_without_chance():
    codec, pixels = PixelCodec(4), torch.rand(2, 3, 16, 24) * 2 - 1
    found = codec.encode(pixels).latent_dist
    assert found.mode().shape == (2, 48, 4, 6) and not found.std.any()
    assert torch.equal(codec.decode(found.mean)[0], pixels)
    cell = found.mean[0, :, 1, 2].view(3, 4, 4)
    assert torch.equal(cell, pixels[0, :, 4:8, 8:12])


def test_the_configuration_chooses_and_both_know_their_factor():
    assert isinstance(build_vae(PixelConfig(2)), PixelCodec) and factor_of(PixelCodec(2)) == 2
    vae = build_vae(VaeConfig(channels=(8, 8, 8), groups=4))
    assert isinstance(vae, AutoencoderKL) and factor_of(vae) == 4
    with pytest.raises(ConfigError, match="latent_channels=4"):
        InsightEditConfig(vae=PixelConfig(4), unet=UNetConfig(latent_channels=4))


def test_a_small_pipeline_of_pixels_and_residuals_survives_a_file_and_its_zero_residual_leaves_the_source(tmp_path):
    pipeline = from_preset("scenes")
    pipeline.set_progress_bar_config(disable=True)
    torch.nn.init.zeros_(pipeline.unet.conv_out.weight)
    torch.nn.init.zeros_(pipeline.unet.conv_out.bias)
    pipeline.save_pretrained(tmp_path)
    again = InsightEditPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    source = torch.randint(0, 255, (64, 64, 3), dtype=torch.uint8).numpy()
    assert again.config.sampling["steps"] == 10 and again.config.residual
    edited = again(source, "remove the red cube", output_type="np").images[0]  # its own ten steps
    assert abs(edited * 255 - source).max() < 0.01
    once = again(source, "remove the red cube", num_inference_steps=1, output_type="np").images[0]
    assert abs(once * 255 - source).max() < 0.01
