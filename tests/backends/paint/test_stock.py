"""Painters on diffusers' pipelines: tiny random weights, saved in the public layout, loaded by the user's path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_painters import flux_fill, inpainting, save_qwen_edit, sdxl
from tiny_pipelines import cut as cut_short
from tiny_pipelines import without

from insightedit.backends.paint.blended import reconstructed
from insightedit.backends.paint.edit import edit
from insightedit.backends.paint.painter import Canvas
from insightedit.backends.paint.table import make
from insightedit.core.errors import BackendError, ConfigError, InputError

SMALL = {"device": "cpu", "side": 64, "steps": 2}
KINDS = ("sd_inpaint", "sdxl_inpaint", "blended", "flux_fill", "qwen_edit", "diffusers")
TOGETHER = tuple(kind for kind in KINDS if kind != "qwen_edit")


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> dict[str, Path]:
    """A folder for each painter. Read them, do not write into them."""
    root = tmp_path_factory.mktemp("painters")
    inpainting(9).save_pretrained(root / "sd_inpaint")
    inpainting(4).save_pretrained(root / "blended")
    sdxl().save_pretrained(root / "sdxl_inpaint")
    flux_fill().save_pretrained(root / "flux_fill")
    save_qwen_edit(root / "qwen_edit")
    return {kind: root / kind for kind in KINDS} | {"diffusers": root / "blended"}


@pytest.fixture(scope="session")
def painters(weights):
    own = {"qwen_edit": {"steps": 2, "device": "cpu"}, "flux_fill": SMALL | {"max_tokens": 16}}
    return {kind: make(kind, model=str(weights[kind]), batch_size=4, **own.get(kind, SMALL)) for kind in KINDS}


@pytest.fixture(autouse=True)
def small_megapixel(monkeypatch):
    """Qwen-Image-Edit works on a megapixel whatever it is given; here that is 64 x 64."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_inpaint as module

    whole = module.calculate_dimensions
    monkeypatch.setattr(module, "calculate_dimensions", lambda area, ratio: whole(64 * 64, ratio))


def canvas(seed: int, prompt: str = "a cat", task="replace", height: int = 64, width: int = 96) -> Canvas:
    rng = np.random.default_rng(5)
    hole = np.zeros((height, width), bool)
    hole[16:48, 32:64] = True
    return Canvas(rng.integers(0, 256, (height, width, 3), np.uint8), hole, prompt, "", task, seed)


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_one_picture_and_another_seed_another(painters, kind):
    first, again, other = (painters[kind].paint([canvas(seed)])[0] for seed in (1, 1, 2))
    assert first.shape == (64, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert apart(first, other) > 0


@pytest.mark.parametrize("kind", TOGETHER)
def test_a_batch_paints_what_each_canvas_gets_alone(painters, kind):
    jobs = [canvas(1), canvas(2, "a dog"), canvas(3, "", "remove")]
    for job, painted in zip(jobs, painters[kind].paint(jobs), strict=True):
        assert apart(painted, painters[kind].paint([job])[0]) <= 1  # rounding: other shapes, other order of sums


@pytest.mark.parametrize("kind", KINDS)
def test_words_matter(painters, kind):
    cat, dog = (painters[kind].paint([canvas(1, words)])[0] for words in ("aaaa aaaa", "zz top of the world"))
    assert apart(cat, dog) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_keeps_the_photographs_size_and_background(painters, kind):
    image = np.random.default_rng(0).integers(0, 256, (131, 203, 3), np.uint8)
    mask = np.zeros((131, 203), bool)
    mask[60:131, 150:203] = True
    painted = edit(image, mask, "a cat", "replace", 3, painters[kind])
    assert painted.image.shape == image.shape
    assert np.array_equal(painted.image[~painted.support], image[~painted.support])
    assert apart(painted.image[mask], image[mask]) > 0


def test_a_removal_asks_for_words_of_its_own(painters):
    painter = painters["sd_inpaint"]
    assert painter._prompt(canvas(0, "", "remove")) == "empty background"
    assert painter._prompt(canvas(0, "a lawn", "remove")) == "a lawn"
    qwen = painters["qwen_edit"]
    assert qwen._prompt(canvas(0, "a cat", "add")) == "Add a cat inside the masked area"
    assert qwen._prompt(canvas(0, "", "remove")).startswith("Remove the object")


def test_the_negative_prompt_counts_or_is_refused(painters):
    from dataclasses import replace

    plain, blamed = canvas(1), replace(canvas(1), negative="zz top of the world")
    painter = painters["sd_inpaint"]
    assert apart(painter.paint([plain])[0], painter.paint([blamed])[0]) > 0
    with pytest.raises(ConfigError, match="takes no negative prompt"):
        painters["flux_fill"].paint([blamed])


def test_weights_of_another_kind_are_refused_with_the_painter_that_takes_them(weights):
    with pytest.raises(InputError, match=r"reads 4 channels, not 9.*'blended'"):
        make("sd_inpaint", model=str(weights["blended"]), **SMALL).setup()
    with pytest.raises(InputError, match=r"reads 9 channels, not 4.*'sd_inpaint'"):
        make("blended", model=str(weights["sd_inpaint"]), **SMALL).setup()


@pytest.fixture
def copied(weights, tmp_path) -> Path:
    shutil.copytree(weights["sd_inpaint"], tmp_path / "copy")
    return tmp_path / "copy"


def test_partial_and_damaged_weights_are_refused(copied):
    without(copied / "unet" / "diffusion_pytorch_model.safetensors", "conv_in.bias")
    with pytest.raises(InputError, match=r"partial.*1 missing keys.*conv_in\.bias"):
        make("sd_inpaint", model=str(copied), **SMALL).setup()
    cut_short(copied / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match="cannot load"):
        make("sd_inpaint", model=str(copied), **SMALL).setup()


def test_pickles_are_read_only_if_asked_for(copied):
    from safetensors.torch import load_file

    safe = copied / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(safe), safe.with_suffix(".bin"))
    safe.unlink()
    with pytest.raises(InputError, match="safetensors"):
        make("sd_inpaint", model=str(copied), **SMALL).setup()
    make("sd_inpaint", model=str(copied), pickles=True, **SMALL).setup()


def test_a_variant_is_taken_where_there_is_one(copied, painters):
    """As the hub has Stable Diffusion inpainting: a UNet in fp16 files only."""
    unet = copied / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    painted = make("sd_inpaint", model=str(copied), **SMALL).paint([canvas(1)])[0]
    assert np.array_equal(painted, painters["sd_inpaint"].paint([canvas(1)])[0])
    with pytest.raises(InputError, match="cannot load"):
        make("sd_inpaint", model=str(copied), variant=None, **SMALL).setup()


def test_an_old_index_with_a_safety_checker_loads_without_it(copied, painters):
    index = json.loads((copied / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]  # a name that transformers 5 lacks
    (copied / "model_index.json").write_text(json.dumps(index))
    painter = make("sd_inpaint", model=str(copied), **SMALL)
    assert np.array_equal(painter.paint([canvas(1)])[0], painters["sd_inpaint"].paint([canvas(1)])[0])


def test_weights_are_let_go_and_come_back(weights):
    painter = make("blended", model=str(weights["blended"]), **SMALL)
    first = painter.paint([canvas(1)])[0]
    painter.release()
    assert not hasattr(painter, "pipe")
    assert np.array_equal(first, painter.paint([canvas(1)])[0])


def test_an_engine_is_named_by_its_weights(weights, copied):
    name = make("sd_inpaint", model=str(copied), **SMALL).engine()
    assert name.startswith(f"{copied.name}@")
    without(copied / "unet" / "diffusion_pytorch_model.safetensors", "conv_in.bias")
    assert make("sd_inpaint", model=str(copied), **SMALL).engine() != name


def test_any_pipeline_may_be_named(weights, painters):
    named = {"model": str(weights["sd_inpaint"]), **SMALL}
    auto = make("diffusers", **named, strength=1.0)
    assert np.array_equal(auto.paint([canvas(1)])[0], painters["sd_inpaint"].paint([canvas(1)])[0])
    with pytest.raises(ConfigError, match="fills no holes"):
        make("diffusers", pipeline_class="StableDiffusionPipeline", **named).setup()
    with pytest.raises(ConfigError, match=r"no pipeline 'FluxInpaint'.*FluxInpaintPipeline"):
        make("diffusers", pipeline_class="FluxInpaint", **named).setup()
    with pytest.raises(ConfigError, match="needs a model"):
        make("diffusers").setup()


def test_a_pipeline_without_an_inpainting_twin_is_refused(copied):
    index = json.loads((copied / "model_index.json").read_text())
    (copied / "model_index.json").write_text(json.dumps(index | {"_class_name": "AudioLDMPipeline"}))
    with pytest.raises(InputError, match=r"no inpainting for.*pipeline_class"):
        make("diffusers", model=str(copied), **SMALL).setup()


def test_numbers_that_are_no_picture_are_an_error_of_that_canvas(weights):
    painter = make("blended", model=str(weights["blended"]), **SMALL)
    painter.setup()
    with torch.no_grad():
        painter.pipe.vae.decoder.conv_out.bias.fill_(float("nan"))
    (result,) = painter.attempts([canvas(1)])
    assert isinstance(result, BackendError)
    assert "float32" in str(result)


def test_blending_keeps_the_latents_outside_the_hole(painters):
    """Strength 0.75, and what lies far from the hole is the source's latent, decoded."""
    pipe = painters["blended"]
    job = canvas(1)
    seen = pipe.paint([job])[0]
    other = pipe.paint([canvas(1, "zz top of the world")])[0]
    assert apart(seen[:, :8], other[:, :8]) < apart(seen[16:48, 32:64], other[16:48, 32:64])


def test_a_tuned_decoder_brings_the_background_back_and_leaves_the_vae_alone(weights, painters):
    given = {"model": str(weights["blended"]), **SMALL}
    job = canvas(1)
    plain = painters["blended"].paint([job])[0]
    painter = make("blended", decoder_steps=8, decoder_rate=3e-2, **given)
    tuned = painter.paint([job])[0]

    def error(image: np.ndarray) -> float:
        return float(((image.astype(float) - job.image)[~job.hole] ** 2).mean())

    assert error(tuned) < 0.9 * error(plain)
    kept, own = painter.pipe.vae.state_dict(), painters["blended"].pipe.vae.state_dict()
    assert all(torch.equal(kept[name], own[name]) for name in own)  # a copy was tuned


def test_tuning_for_no_steps_is_the_decoder_itself(painters):
    painters["blended"].setup()
    vae = painters["blended"].pipe.vae
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    hole = torch.zeros(1, 1, 64, 64)
    with torch.no_grad():
        wanted = vae.decode(vae.encode(image).latent_dist.mode()).sample
    torch.testing.assert_close(reconstructed(vae, image, image, hole, 0, 1e-4, 100.0), wanted)
