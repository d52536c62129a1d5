"""Any diffusers pipeline by class name: the names of its arguments are read from it, and what has none is refused."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
from tiny_pipelines import flux_kontext

from insightedit.core.errors import ConfigError
from insightedit.editors.any_pipeline import AnyPipelineSettings, names, pipeline_named
from insightedit.editors.table import make

QUICK = {"steps": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def kontext(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "kontext"
    flux_kontext().save_pretrained(folder)
    return folder


def test_flux_kontext_edits_at_about_the_resolution_asked_for(kontext, photo):
    editor = make("diffusers", model=str(kontext), resolution=64, **QUICK, call={"max_sequence_length": 16})
    seen, sizes = [], []
    editor.on_step = lambda done, of: seen.append((done, of))
    editor.setup()
    decode = editor.pipe.vae.decode
    editor.pipe.vae.decode = lambda latents, **how: sizes.append(tuple(latents.shape[-2:])) or decode(latents, **how)
    first, again, other = (editor.edit(photo, "make it red", seed) for seed in (1, 1, 2))
    assert type(editor.pipe) is diffusers.FluxKontextPipeline  # the class that the weights name
    assert first.shape == photo.shape and np.array_equal(first, again) and not np.array_equal(first, other)
    assert seen[:2] == [(1, 2), (2, 2)]
    assert set(sizes) == {(6, 10)}  # latents of 80 x 48 px: 4,096 px at 100 : 70, sides multiples of 16


def test_another_class_may_be_named_and_the_picture_keeps_its_own_size(ip2p, photo):
    editor = make("diffusers", model=str(ip2p), pipeline_class="StableDiffusionInstructPix2PixPipeline", **QUICK)
    editor.setup()
    seen = []
    encode = editor.pipe.vae.encode
    editor.pipe.vae.encode = lambda pixels: seen.append(tuple(pixels.shape)) or encode(pixels)
    assert editor.edit(photo, "make it red").shape == photo.shape
    assert seen == [(1, 3, 64, 96)]  # 100 x 70 floored to multiples of 8


def test_names_are_those_of_each_pipeline():
    settings = AnyPipelineSettings(steps=7, text_guidance_scale=3.0)
    assert names(diffusers.FluxKontextPipeline, settings) == {"num_inference_steps": 7, "guidance_scale": 3.0}
    assert names(diffusers.QwenImageEditPipeline, settings) == {
        "num_inference_steps": 7,
        "true_cfg_scale": 3.0,
        "negative_prompt": " ",  # without one it would not guide
    }
    own = AnyPipelineSettings(negative_prompt="blurry", image_guidance_scale=1.2)
    assert names(diffusers.OmniGenPipeline, AnyPipelineSettings(image_guidance_scale=1.2)) == {
        "img_guidance_scale": 1.2
    }
    assert names(diffusers.StableDiffusionInstructPix2PixPipeline, own) == {
        "negative_prompt": "blurry",
        "image_guidance_scale": 1.2,
    }


@pytest.mark.parametrize(
    ("pipeline", "values", "part"),
    [
        ("FluxKontextPipeline", {"image_guidance_scale": 1.5}, "has no 'image_guidance_scale'"),
        ("FluxKontextPipeline", {"call": {"max_sequence_lenght": 16}}, "Did you mean 'max_sequence_length'"),
        ("StableDiffusionPipeline", {}, "takes no picture"),
        ("StableVideoDiffusionPipeline", {}, "takes no prompt"),
    ],
)
def test_what_a_pipeline_has_no_name_for_is_refused(pipeline, values, part):
    with pytest.raises(ConfigError) as caught:
        names(pipeline_named(pipeline), AnyPipelineSettings(**values))
    assert part in str(caught.value)


@pytest.mark.parametrize("name", ["FluxKontextPipelin", "UNet2DConditionModel", "__name__"])
def test_what_is_no_pipeline_is_refused(name):
    with pytest.raises(ConfigError, match="no pipeline"):
        pipeline_named(name)


def test_a_model_must_be_named():
    with pytest.raises(ConfigError, match="FLUX"):
        make("diffusers").setup()
