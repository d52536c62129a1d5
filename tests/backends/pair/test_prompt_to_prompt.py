"""Pairs from two prompts, on tiny weights in the public layout through the real loading code."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
import torch
from tiny_pipelines import cut, without

from insightedit.backends.pair.prompt_to_prompt import Draw, PromptToPrompt, PromptToPromptKnobs, draws
from insightedit.backends.pair.sharing import share_self_attention
from insightedit.core.errors import BackendError, InputError

CAT, DOG = "a photo of a cat", "a dog made of blue stone"
STEPS = 5


def knobs(weights, **more):
    return PromptToPromptKnobs(
        **{"model": str(weights), "vae": None, "side": 64, "steps": STEPS, "device": "cpu"} | more
    )


@pytest.fixture(scope="module")
def sampler(weights) -> PromptToPrompt:
    """In double precision: a random network with strong attention amplifies the rounding of floats to whole levels."""
    made = PromptToPrompt(knobs(weights))
    made.setup()
    made._pipe.to(torch.float64)
    return made


def stock_pipe(weights):
    """The public pipeline in double precision with the sampler of the recipe."""
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(weights, safety_checker=None).to(torch.float64)
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stock(weights, prompt, draw):
    """What it makes by itself of one prompt. (H, W, 3), levels of 255."""
    made = stock_pipe(weights)(
        prompt,
        height=64,
        width=64,
        num_inference_steps=STEPS,
        guidance_scale=draw.guidance,
        generator=torch.Generator().manual_seed(draw.seed),
        output_type="np",
    )
    return made.images[0] * 255


def apart(one, other) -> float:
    return float(np.abs(one.astype(np.float64) - other).max())


def test_one_prompt_twice_gives_one_picture_twice(sampler):
    pairs = sampler.pairs(CAT, CAT, [Draw(0, 3, 0.5, 9.0), Draw(1, 4, 0.0, 7.5)])
    assert pairs.shape == (2, 2, 64, 64, 3) and pairs.dtype == np.uint8
    assert apart(pairs[:, 0], pairs[:, 1]) <= 1
    assert apart(pairs[0, 0], pairs[1, 0]) > 20  # and another seed another picture


def test_the_first_picture_is_the_stock_pipelines_whatever_its_partner(sampler, weights):
    draw = Draw(0, 11, 0.9, 8.5)
    alone = stock(weights, CAT, draw)
    for partner in (CAT, DOG, "nothing like it"):
        assert apart(sampler.pairs(CAT, partner, [draw])[0, 0], alone) <= 1, partner


def test_without_sharing_both_are_sampled_as_if_alone_from_one_noise(sampler, weights):
    draw = Draw(0, 5, 0.0, 12.0)
    before, after = sampler.pairs(CAT, DOG, [draw])[0]
    assert apart(before, stock(weights, CAT, draw)) <= 1
    assert apart(after, stock(weights, DOG, draw)) <= 1
    assert apart(before, after) > 5  # the words matter to this network


def test_sharing_changes_the_second_picture_more_the_longer_it_lasts(sampler):
    pictures = [sampler.pairs(CAT, DOG, [Draw(0, 5, tau, 12.0)])[0] for tau in (0.0, 0.4, 0.9)]
    assert apart(pictures[0][0], pictures[2][0]) <= 1
    assert apart(pictures[0][1], pictures[1][1]) > 2
    assert apart(pictures[1][1], pictures[2][1]) > 2


def test_sharing_equals_the_stock_loop_with_maps_of_the_first_row(weights, sampler):
    """The public pipeline on both prompts, its rows (bare, bare, worded, worded); maps shared for 2 of 5 steps."""
    pipe, draw = stock_pipe(weights), Draw(0, 8, 0.5, 10.0)
    shared = share_self_attention(pipe.unet)
    shared.source = torch.tensor([0, 0, 2, 2])

    def after_step(pipe, step, t, tensors):
        shared.source = torch.tensor([0, 0, 2, 2]) if step + 1 < 2 else None
        return tensors

    made = pipe(
        [CAT, DOG],
        height=64,
        width=64,
        num_inference_steps=STEPS,
        guidance_scale=draw.guidance,
        generator=[torch.Generator().manual_seed(draw.seed) for _ in range(2)],
        output_type="np",
        callback_on_step_end=after_step,
    ).images
    assert apart(sampler.pairs(CAT, DOG, [draw])[0], made * 255) <= 1


def test_sharing_lasts_for_tau_of_the_steps(sampler, monkeypatch):
    seen = []
    real = sampler._share
    monkeypatch.setattr(sampler, "_share", lambda shares: (seen.append(list(shares)), real(shares))[1])
    sampler.pairs(CAT, DOG, [Draw(0, 1, 0.0, 8.0), Draw(1, 2, 0.5, 8.0), Draw(2, 3, 0.9, 8.0)])
    assert [[step[sample] for step in seen[:STEPS]].count(True) for sample in range(3)] == [0, 2, 4]  # i / 4 < tau
    assert seen[-1] == [] and sampler._shared.source is None


def test_a_sample_is_the_same_in_any_batch(weights, sampler):
    drawn = [Draw(place, 20 + place, tau, 7.5 + place) for place, tau in enumerate((0.1, 0.9, 0.0, 0.5, 0.7))]
    together = sampler.pairs(CAT, DOG, drawn)  # 4 and 1
    single = np.concatenate([sampler.pairs(CAT, DOG, [draw]) for draw in drawn])
    assert apart(together, single) <= 1


def test_a_batch_too_large_for_memory_is_split(sampler, monkeypatch):
    drawn = [Draw(place, place, 0.5, 8.0) for place in range(4)]
    expected = sampler.pairs(CAT, DOG, drawn)
    real, sizes = sampler._sampled, []

    def tight(text, few):
        sizes.append(len(few))
        if len(few) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate more than there is")
        return real(text, few)

    monkeypatch.setattr(sampler, "_sampled", tight)
    assert apart(sampler.pairs(CAT, DOG, drawn), expected) <= 1
    assert sizes[0] == 4 and sizes.count(1) == 4


def test_a_failure_within_the_loop_leaves_no_sharing_behind(sampler, monkeypatch):
    def broken(*given, **more):
        raise RuntimeError("a driver's words")

    with monkeypatch.context() as patched:
        patched.setattr(sampler._pipe.scheduler, "step", broken)
        with pytest.raises(BackendError, match="driver"):
            sampler.pairs(CAT, DOG, [Draw(0, 0, 0.9, 8.0)])
    assert sampler._shared.source is None


def test_what_is_no_number_is_an_error_and_not_a_picture(sampler, monkeypatch):
    real = sampler._pipe.vae.decode
    monkeypatch.setattr(sampler._pipe.vae, "decode", lambda latents: real(latents * float("nan")))
    with pytest.raises(BackendError, match="not finite"):
        sampler.pairs(CAT, DOG, [Draw(0, 0, 0.5, 8.0)])


@pytest.mark.parametrize(("dtype", "closer"), [("float16", 5), ("bfloat16", 2)])  # 11 and 8 bits
def test_half_precision_is_closer_than_another_seed(weights, dtype, closer):
    drawn = [Draw(0, 0, 0.5, 1.0), Draw(1, 1, 0.5, 1.0)]  # mild guidance: rounding is amplified less
    made = [
        PromptToPrompt(knobs(weights, dtype=name, steps=2)).pairs(CAT, DOG, drawn).astype(float)
        for name in (dtype, "float32")
    ]
    assert closer * np.abs(made[0] - made[1]).mean() < np.abs(made[1][0] - made[1][1]).mean()


def test_released_weights_load_again(weights):
    drawn, made = [Draw(0, 3, 0.5, 9.0)], PromptToPrompt(knobs(weights))
    expected = made.pairs(CAT, DOG, drawn)
    made.release()
    assert made._pipe is None and made._shared is None
    assert np.array_equal(made.pairs(CAT, DOG, drawn), expected)


def test_no_draws_give_no_pairs(sampler):
    assert sampler.pairs(CAT, DOG, []).shape == (0, 2, 64, 64, 3)


def test_a_caption_longer_than_clip_reads_is_cut_and_not_an_error(sampler):
    assert sampler.pairs(CAT, "very " * 90 + "red", [Draw(0, 0, 0.5, 8.0)]).shape[0] == 1


def test_draws_depend_on_run_triple_and_number_alone(weights):
    many = draws(0, "abc", knobs(weights, samples=200))
    assert many[:3] == draws(0, "abc", knobs(weights, samples=3))
    assert len({draw.seed for draw in many}) == 200
    assert {draw.seed for draw in many}.isdisjoint(draw.seed for draw in draws(1, "abc", knobs(weights)))
    assert {draw.seed for draw in many}.isdisjoint(draw.seed for draw in draws(0, "abd", knobs(weights)))
    taus, scales = [draw.tau for draw in many], [draw.guidance for draw in many]
    assert 0.1 <= min(taus) < 0.15 and 0.85 < max(taus) <= 0.9
    assert 7.5 <= min(scales) < 8 and 14.5 < max(scales) <= 15


@pytest.mark.parametrize("wrong", [{"share": (0.9, 0.1)}, {"share": (0.1, 1.5)}, {"guidance": (-1, 2)}, {"side": 100}])
def test_bounds_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"share|guidance|side"):
        PromptToPromptKnobs(**wrong)


def test_another_autoencoder_decodes_the_same_latents(weights, vae_weights, sampler):
    other = PromptToPrompt(knobs(weights, vae=str(vae_weights)))
    drawn = [Draw(0, 3, 0.5, 9.0)]
    other.setup()
    other._pipe.to(torch.float64)
    assert apart(other.pairs(CAT, DOG, drawn), sampler.pairs(CAT, DOG, drawn)) > 2
    assert other.engine().startswith(sampler.engine()) and f"+{vae_weights.name}@" in other.engine()


def test_partial_and_damaged_weights_are_refused_by_name(weights, vae_weights, tmp_path):
    broken = shutil.copytree(weights, tmp_path / "sd")
    without(broken / "unet" / "diffusion_pytorch_model.safetensors", "conv_out.weight")
    with pytest.raises(InputError, match=r"conv_out\.weight"):
        PromptToPrompt(knobs(broken)).setup()
    vae = shutil.copytree(vae_weights, tmp_path / "vae")
    without(vae / "diffusion_pytorch_model.safetensors", "decoder.conv_in.bias")
    with pytest.raises(InputError, match=r"decoder\.conv_in\.bias"):
        PromptToPrompt(knobs(weights, vae=str(vae))).setup()
    cut(vae / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match="autoencoder"):
        PromptToPrompt(knobs(weights, vae=str(vae))).setup()


def test_old_text_encoders_with_their_prefix_load_and_count(weights, tmp_path):
    """The public file says text_model.encoder...; transformers >= 5.6 has no such prefix in memory."""
    from safetensors.torch import load_file, save_file

    old = shutil.copytree(weights, tmp_path / "sd")
    file = old / "text_encoder" / "model.safetensors"
    tensors = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(file).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(tensors, file, {"format": "pt"})
    drawn = [Draw(0, 3, 0.5, 9.0)]
    expected = PromptToPrompt(knobs(weights)).pairs(CAT, DOG, drawn)
    assert np.array_equal(PromptToPrompt(knobs(old)).pairs(CAT, DOG, drawn), expected)


def test_it_pickles_without_its_weights_and_samples_again(weights):
    drawn = [Draw(0, 3, 0.5, 9.0)]
    sampler = PromptToPrompt(knobs(weights))
    expected = sampler.pairs(CAT, DOG, drawn)
    data = pickle.dumps(sampler)
    assert len(data) < 2000
    again = pickle.loads(data)  # noqa: S301  # our own
    assert np.array_equal(again.pairs(CAT, DOG, drawn), expected)
