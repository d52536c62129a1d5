"""A tiny text-to-image Stable Diffusion in the public layout, whose words and self-attention both matter."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

from pathlib import Path

import pytest
import torch
from tiny_pipelines import autoencoder, stable_diffusion


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A folder as stable-diffusion-v1-5/stable-diffusion-v1-5 has it. Read it, do not write into it."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    folder = tmp_path_factory.mktemp("weights") / "sd"
    made = stable_diffusion(in_channels=4)
    with torch.no_grad():
        for name, weight in made.unet.named_parameters():
            if "attn1" in name:
                weight *= 8
            if name.startswith("conv_out"):
                weight *= 4
    noise = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    parts = {**made.components, "scheduler": noise}
    parts.pop("image_encoder", None)
    StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vae_weights(tmp_path_factory) -> Path:
    """A folder as stabilityai/sd-vae-ft-mse has it."""
    folder = tmp_path_factory.mktemp("weights") / "vae"
    torch.manual_seed(7)
    autoencoder().save_pretrained(folder)
    return folder
