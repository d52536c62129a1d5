"""InstructDiffusion's guidance on the stock loop equals its published formula: the algebra, and a whole run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from insightedit.core.errors import ConfigError
from insightedit.editors import sizes
from insightedit.editors.table import make

WORDS_SCALE, IMAGE_SCALE = 5.0, 1.25


def published(words, image, both, t=WORDS_SCALE, i=IMAGE_SCALE):
    """As the authors' sampler writes it."""
    return 0.5 * (image + words) + t * (both - image) + i * (both - words)


def test_the_guidance_is_the_stock_one_at_other_scales():
    editor = make("instruct_diffusion")
    text, source = editor._scales()
    words, image, both = torch.randn(3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stock = words + text * (both - image) + source * (image - words)  # diffusers: e_u + g (e_t - e_i) + s (e_i - e_u)
    assert torch.allclose(stock, published(words, image, both), atol=1e-13, rtol=0)


@torch.no_grad()
def by_hand(pipe, image: Image.Image, instruction: str, steps: int, seed: int) -> np.ndarray:
    """The authors' sampler, three separate calls of the UNet -> float (h, w, 3) in [0, 1]."""

    def encode(text: str) -> torch.Tensor:
        ids = pipe.tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return pipe.text_encoder(ids)[0]  # (1, 77, C)

    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    source = pipe.vae.encode(pixels).latent_dist.mode()  # (1, 4, h, w), not scaled
    words, nothing = encode(instruction), encode("")
    generator = torch.Generator().manual_seed(seed)
    pipe.scheduler.set_timesteps(steps)
    latents = torch.randn(source.shape, generator=generator) * pipe.scheduler.init_noise_sigma
    for t in pipe.scheduler.timesteps:
        noisy = pipe.scheduler.scale_model_input(latents, t)

        def ask(context: torch.Tensor, picture: torch.Tensor, noisy=noisy, t=t) -> torch.Tensor:
            return pipe.unet(torch.cat([noisy, picture], 1), t, encoder_hidden_states=context).sample

        eps = published(ask(words, torch.zeros_like(source)), ask(nothing, source), ask(words, source))
        latents = pipe.scheduler.step(eps, t, latents, generator=generator).prev_sample
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return (decoded[0].permute(1, 2, 0).clamp(-1, 1).numpy() + 1) / 2


def test_a_whole_run_is_the_published_sampler(ip2p, photo):
    editor = make("instruct_diffusion", model=str(ip2p), steps=3, resolution=64, device="cpu")
    edited = editor.edit(photo, "make it red", 7)
    small = sizes.fit(photo, sizes.instruct_pix2pix((100, 70), 64))
    expected = by_hand(editor.pipe, Image.fromarray(small), "make it red", 3, 7)
    back = sizes.fit((expected * 255).round().astype(np.uint8), (100, 70))
    assert np.abs(edited.astype(int) - back).max() <= 1  # a level of rounding
    plain = make("instruct_pix2pix", model=str(ip2p), steps=3, resolution=64, device="cpu")
    assert np.abs(edited.astype(int) - plain.edit(photo, "make it red", 7)).max() > 8  # and not the other guidance


def test_it_has_no_default_weights_and_says_how_to_make_them():
    with pytest.raises(ConfigError, match="insightedit convert instruct-diffusion"):
        make("instruct_diffusion").setup()


@pytest.mark.parametrize("values", [{"image_guidance_scale": 0.4}, {"text_guidance_scale": 0.5}])
def test_scales_at_which_the_stock_loop_drops_all_guidance_are_refused(values):
    with pytest.raises(ConfigError):
        make("instruct_diffusion", **values)
