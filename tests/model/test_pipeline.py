"""The pipeline as a user of diffusers meets it."""

import numpy as np
import pytest
import torch
from PIL import Image

from insightedit.core.errors import BackendError, InputError
from insightedit.model.pipeline import InsightEditPipeline

STEPS = 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photo(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def latents(pipeline, *arguments, **options) -> torch.Tensor:
    options = {"num_inference_steps": STEPS, "generator": seeded(), "output_type": "latent"} | options
    return torch.stack(pipeline(*arguments, **options).images)


@pytest.mark.parametrize("size", [(64, 64), (200, 50), (33, 95), (16, 16), (300, 301)])
def test_the_edit_has_the_size_that_came_in(pipeline, size):
    (out,) = pipeline(photo(*size), "remove the cube", num_inference_steps=1).images
    assert out.size == size and out.mode == "RGB"


def test_lists_pair_up_and_a_single_one_meets_all(pipeline, picture):
    other = photo(64, 96, seed=1)
    assert [one.size for one in pipeline([picture, other], ["a", "b"], num_inference_steps=1).images] == [
        (96, 64), (64, 96),
    ]  # fmt: skip
    assert len(pipeline(picture, ["a", "b", "c"], num_inference_steps=1).images) == 3
    assert len(pipeline([picture, other], "a", num_inference_steps=1).images) == 2


def test_one_seed_gives_one_image_alone_or_in_a_batch(pipeline, picture):
    words = ["remove the cube", "paint the very big cone red and blue", "remove the cube"]
    pictures = [picture, photo(64, 96, seed=1), photo(96, 64, seed=2)]
    together = pipeline(pictures, words, num_inference_steps=STEPS, generator=seeded(7)).images
    for one, text, batched in zip(pictures, words, together, strict=True):
        alone = pipeline(one, text, num_inference_steps=STEPS, generator=seeded(7)).images[0]
        apart = np.abs(np.asarray(alone, int) - np.asarray(batched, int))
        assert apart.max() <= 1  # grey levels: sums of another batch size round otherwise


def test_another_seed_gives_another_image_and_a_generator_moves_on(pipeline, picture):
    generator = seeded()
    first, second = (latents(pipeline, picture, "a", generator=generator) for _ in range(2))
    assert torch.equal(first, latents(pipeline, picture, "a"))
    assert not torch.allclose(first, second) and not torch.allclose(
        first, latents(pipeline, picture, "a", generator=seeded(1))
    )


def test_everything_given_matters(pipeline, picture):
    base = latents(pipeline, picture, "remove the cube")
    assert not torch.allclose(base, latents(pipeline, picture, "paint the cone"))
    assert not torch.allclose(base, latents(pipeline, photo(seed=4), "remove the cube"))
    for change in ({"text_guidance_scale": 3.0}, {"image_guidance_scale": 1.2}, {"image_branch_scale": 0.3}):
        assert not torch.allclose(base, latents(pipeline, picture, "remove the cube", **change)), change


def test_kept_constants_give_the_plain_sampler_s_image(pipeline, picture):
    for words in ("remove the cube", "paint it"):
        kept = latents(pipeline, picture, words)
        plain = latents(pipeline, picture, words, keep_constants=False)
        assert torch.allclose(kept, plain, rtol=1e-5, atol=1e-5 * float(plain.abs().max()))


def test_branch_scale_zero_is_a_pipeline_without_the_branch(pipeline, picture):
    off = latents(pipeline, picture, "remove the cube", image_branch_scale=0.0)
    pipeline.image_attention = None
    assert torch.equal(off, latents(pipeline, picture, "remove the cube"))


def test_zero_values_are_a_pipeline_without_the_branch(pipeline, picture):
    pipeline.image_attention.start_silent(pipeline.unet)
    on = latents(pipeline, picture, "remove the cube")
    pipeline.image_attention = None
    assert torch.equal(on, latents(pipeline, picture, "remove the cube"))


def test_scales_of_one_need_one_branch_only(pipeline, picture):
    rows = []
    hook = pipeline.unet.register_forward_hook(lambda module, inputs, out: rows.append(len(inputs[0])))
    lone = latents(pipeline, picture, "a", text_guidance_scale=1, image_guidance_scale=1)
    hook.remove()
    assert rows == [1] * STEPS
    near = latents(pipeline, picture, "a", text_guidance_scale=1 + 1e-7, image_guidance_scale=1)
    assert torch.allclose(lone, near, atol=1e-4)


def test_the_mllm_runs_once_and_the_unet_once_a_step(pipeline, picture):
    calls = {"mllm": 0, "unet": 0}
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
        for name, module in (("mllm", pipeline.comprehension.language_model.model), ("unet", pipeline.unet))
    ]
    pipeline(picture, "remove the cube", num_inference_steps=5)
    for hook in hooks:
        hook.remove()
    assert calls == {"mllm": 1, "unet": 5}


def test_saving_and_loading_gives_the_same_edit_and_a_stock_unet(pipeline, picture, tmp_path):
    from diffusers import UNet2DConditionModel

    before = latents(pipeline, picture, "remove the cube")
    pipeline.save_pretrained(tmp_path)
    again = InsightEditPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert torch.equal(before, latents(again, picture, "remove the cube"))
    assert not list(tmp_path.rglob("*.bin")) and len(list(tmp_path.rglob("*.safetensors"))) == 5
    stock = UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    assert set(stock.state_dict()) == set(pipeline.unet.state_dict())


def test_a_pipeline_without_image_branch_is_saved_and_loaded(pipeline, picture, tmp_path):
    pipeline.register_modules(image_attention=None)
    before = latents(pipeline, picture, "remove the cube")
    pipeline.save_pretrained(tmp_path)
    again = InsightEditPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.image_attention is None and torch.equal(before, latents(again, picture, "remove the cube"))


@pytest.mark.parametrize("part, key", [
    ("bridge", "qformer.query_tokens"), ("comprehension", "new_input"), ("unet", "conv_in.weight"),
    ("vae", "quant_conv.bias"), ("image_attention", "layers.0.to_k_ip.0.weight"),
])  # fmt: skip
def test_a_checkpoint_that_lacks_a_weight_is_refused_by_its_name(pipeline, tmp_path, part, key):
    from safetensors.torch import load_file, save_file

    pipeline.save_pretrained(tmp_path)
    (file,) = (tmp_path / part).glob("*.safetensors")
    save_file({name: value for name, value in load_file(file).items() if name != key}, file)
    with pytest.raises(InputError, match=f"{part} lacks 1 weights, among them {key}"):
        InsightEditPipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs(pipeline, picture, tmp_path, dtype):
    pipeline.save_pretrained(tmp_path)
    half = InsightEditPipeline.from_pretrained(tmp_path, dtype=dtype)
    half.set_progress_bar_config(disable=True)
    assert half.unet.dtype == dtype
    (out,) = half(picture, "remove the cube", num_inference_steps=2).images
    assert out.size == picture.size


def test_callbacks_see_and_replace_latents(pipeline, picture):
    seen = []

    def stop_changing(pipe, step, t, tensors):
        seen.append((pipe is pipeline, step, tensors["latents"].shape))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == STEPS - 1 else {}

    out = latents(pipeline, picture, "a", callback_on_step_end=stop_changing)
    assert [step for _, step, _ in seen] == list(range(STEPS)) and not out.any()


@pytest.mark.parametrize("kind, check", [
    ("np", lambda out: out.dtype == np.float32 and out.ndim == 3 and 0 <= out.min() <= out.max() <= 1),
    ("pt", lambda out: out.shape[0] == 3 and 0 <= float(out.min()) <= float(out.max()) <= 1),
    ("latent", lambda out: out.shape[0] == 4),
])  # fmt: skip
def test_output_types(pipeline, picture, kind, check):
    assert check(pipeline(picture, "a", num_inference_steps=1, output_type=kind).images[0])


def test_other_schedulers_run(pipeline, picture):
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    for scheduler in (DDIMScheduler, DPMSolverMultistepScheduler):
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
        assert torch.isfinite(latents(pipeline, picture, "a")).all()


def test_sequential_offload_keeps_the_edit(pipeline, picture):
    from accelerate import cpu_offload

    before = latents(pipeline, picture, "remove the cube")
    for module in (pipeline.comprehension, pipeline.bridge, pipeline.unet, pipeline.vae):
        cpu_offload(module, torch.device("cpu"))
    after = latents(pipeline, picture, "remove the cube")  # by the plain sampler: no weight stays long enough to keep
    assert torch.allclose(before, after, rtol=1e-5, atol=1e-5 * float(before.abs().max()))


def test_exif_orientation_is_applied(pipeline):
    upright = photo(96, 64)
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.getexif()[0x0112] = 6  # "turn right to see it upright"
    out, wanted = (pipeline(one, "a", num_inference_steps=1, generator=seeded()).images[0] for one in (lying, upright))
    assert np.array_equal(np.asarray(out), np.asarray(wanted))


@pytest.mark.parametrize("image, words", [
    (Image.new("RGBA", (64, 64), (1, 2, 3, 100)), "transparent"),
    (Image.new("RGB", (1, 1)), "1 x 1"),
    (Image.new("1", (10_001, 10_000)), "10001 x 10000"),
    (np.zeros((64, 64, 3)), "float64"),
    (np.zeros((64, 64), np.uint8), "64, 64"),
    ("photo.png", "str"),
])  # fmt: skip
def test_pictures_that_cannot_be_edited_are_refused_before_any_weight_moves(pipeline, image, words):
    pipeline.comprehension.forward = None
    with pytest.raises(InputError, match=words):
        pipeline([image], "remove the cube")


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "CMYK", "I;16", "LA"])
def test_modes_without_holes_are_converted(pipeline, mode):
    image = Image.new(mode, (64, 64)) if mode == "I;16" else photo(64, 64).convert(mode)
    assert pipeline(image, "a", num_inference_steps=1).images[0].mode == "RGB"


@pytest.mark.parametrize("options, words", [
    ({"instruction": ""}, "empty"),
    ({"instruction": "red " * 10_000}, "too long"),
    ({"instruction": ["a", "b"], "image": [photo(), photo(), photo()]}, "3 pictures and 2 instructions"),
    ({"instruction": 3}, "instruction|iterable"),
    ({"num_inference_steps": 0}, "num_inference_steps=0"),
    ({"output_type": "gif"}, "no output type 'gif'"),
    ({"generator": [seeded(), seeded()]}, "2 generators for 1"),
])  # fmt: skip
def test_requests_that_cannot_work_are_refused(pipeline, options, words):
    with pytest.raises((InputError, TypeError), match=words):
        pipeline(**({"image": photo(), "instruction": "a", "num_inference_steps": 1} | options))


def test_numbers_that_are_not_finite_are_an_error_not_a_black_picture(pipeline, picture):
    with torch.no_grad():
        pipeline.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(BackendError, match="not finite"):
        pipeline(picture, "a", num_inference_steps=1)


def test_whether_the_mm_tokens_would_be_emitted_is_told_on_request(pipeline, picture):
    assert pipeline(picture, "a", num_inference_steps=1).emits_mm is None
    assert pipeline(picture, ["a", "b"], num_inference_steps=1, check_mm=True).emits_mm == [False, False]
