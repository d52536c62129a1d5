"""InstructPix2Pix and MagicBrush on tiny weights in the public layout, through the real loading code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipelines import cut, without

from insightedit.core.errors import BackendError, ConfigError, InputError
from insightedit.editors import sizes
from insightedit.editors.table import make

QUICK = {"steps": 2, "resolution": 64, "device": "cpu"}


@pytest.fixture
def copied(ip2p, tmp_path) -> Path:
    return Path(shutil.copytree(ip2p, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["instruct_pix2pix", "magicbrush", "instruct_diffusion"])
def test_one_seed_gives_one_picture_of_the_inputs_size(ip2p, photo, name):
    editor = make(name, model=str(ip2p), **QUICK)
    seen = []
    editor.on_step = lambda done, of: seen.append((done, of))
    first, again, other = (editor.edit(photo, "make it red", seed) for seed in (1, 1, 2))
    assert first.shape == photo.shape and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert seen[:2] == [(1, 2), (2, 2)]
    assert not np.array_equal(first, editor.edit(photo, "remove the dog", 1))


def test_it_is_the_stock_pipeline_at_the_authors_size(ip2p, photo):
    from diffusers import StableDiffusionInstructPix2PixPipeline

    stock = StableDiffusionInstructPix2PixPipeline.from_pretrained(ip2p, safety_checker=None)
    stock.set_progress_bar_config(disable=True)
    size = sizes.instruct_pix2pix((100, 70), 64)
    drawn = stock(
        "make it red",
        image=Image.fromarray(sizes.fit(photo, size)),
        num_inference_steps=2,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    expected = np.asarray(drawn.resize((100, 70), Image.Resampling.LANCZOS))
    assert np.array_equal(make("instruct_pix2pix", model=str(ip2p), **QUICK).edit(photo, "make it red", 5), expected)


def test_a_port_that_names_another_pipeline_and_scheduler_is_run_as_the_authors_did(copied, ip2p, photo):
    from diffusers import DDIMScheduler

    index = json.loads((copied / "model_index.json").read_text())
    index |= {"_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDIMScheduler"]}
    (copied / "model_index.json").write_text(json.dumps(index))
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace"
    ).save_pretrained(copied / "scheduler")
    ported = make("magicbrush", model=str(copied), **QUICK).edit(photo, "make it red", 1)
    assert np.array_equal(ported, make("magicbrush", model=str(ip2p), **QUICK).edit(photo, "make it red", 1))


@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "conv_out.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.bias"),
        ("text_encoder/model.safetensors", "encoder.layers.1.mlp.fc1.weight"),
    ],
)
def test_a_missing_tensor_is_an_error_and_not_a_random_number(copied, file, tensor):
    without(copied / file, tensor)
    with pytest.raises(InputError, match=tensor):
        make("instruct_pix2pix", model=str(copied), **QUICK).setup()


def test_cut_and_absent_files_are_named_on_one_line(copied):
    cut(copied / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError) as caught:
        make("instruct_pix2pix", model=str(copied), **QUICK).setup()
    assert "\n" not in str(caught.value) and "unet" in str(caught.value)
    shutil.rmtree(copied / "unet")
    with pytest.raises(InputError, match="unet"):
        make("instruct_pix2pix", model=str(copied), **QUICK).setup()


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("empty", "model_index.json"),
        ("nowhere/at/all", "no hub id"),
        ("a.ckpt", "insightedit convert"),
        ("b.ckpt", "no folder here"),
    ],
)
def test_what_is_no_checkpoint_is_told_what_it_is(tmp_path, path, part):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.ckpt").write_bytes(b"\x80")
    with pytest.raises(InputError, match=part):
        make("magicbrush", model=str(tmp_path / path), **QUICK).setup()


def test_a_hub_id_that_cannot_be_had_says_so_on_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # whoever imported it first
    with pytest.raises(InputError) as caught:
        make("magicbrush", model="insightedit-tests/there-is-no-such-model", **QUICK).setup()
    assert "there-is-no-such-model" in caught.value.what and "\n" not in str(caught.value)


def test_a_hub_id_is_its_snapshot_and_is_known_by_the_commit(ip2p, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached, marks = tmp_path / "models--timbrooks--instruct-pix2pix", []
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(ip2p, cached / "snapshots" / commit)
        (cached / "refs").mkdir(exist_ok=True)
        (cached / "refs" / "main").write_text(commit)
        marks.append(make("instruct_pix2pix", **QUICK).fingerprint())
    assert marks[0] != marks[1] == make("instruct_pix2pix", revision="b" * 40, **QUICK).fingerprint()
    edited = make("instruct_pix2pix", **QUICK).edit(photo, "make it red", 1)
    assert np.array_equal(edited, make("instruct_pix2pix", model=str(ip2p), **QUICK).edit(photo, "make it red", 1))


def test_weights_that_take_no_picture_are_refused(tmp_path):
    from tiny_pipelines import stable_diffusion

    stable_diffusion(in_channels=4).save_pretrained(tmp_path / "text-to-image")
    with pytest.raises(InputError, match="takes 4 channels, not 8"):
        make("instruct_pix2pix", model=str(tmp_path / "text-to-image"), **QUICK).setup()


def test_numbers_that_are_not_finite_are_no_picture(ip2p, photo):
    editor = make("instruct_pix2pix", model=str(ip2p), **QUICK)
    editor.setup()
    with torch.no_grad():
        editor.pipe.vae.decoder.conv_out.bias[0] = float("nan")
    with pytest.raises(BackendError, match="float32"):
        editor.edit(photo, "make it red")


def test_a_fingerprint_follows_the_weights_and_not_their_place(ip2p, copied):
    def mark(folder: Path, **values) -> str:
        return make("instruct_pix2pix", model=str(folder), **QUICK | values).fingerprint()

    assert mark(ip2p) == mark(copied) == mark(ip2p, device="auto", dtype="float32")
    assert mark(ip2p) != mark(ip2p, steps=3) and mark(ip2p) != mark(ip2p, dtype="bfloat16")
    without(copied / "unet" / "diffusion_pytorch_model.safetensors", "conv_out.bias")
    assert mark(ip2p) != mark(copied)
    assert mark(ip2p) != make("magicbrush", model=str(ip2p), **QUICK).fingerprint()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_before_weights_are_read(ip2p):
    with pytest.raises(ConfigError, match="torch does not see it"):
        make("instruct_pix2pix", model=str(ip2p / "nowhere"), device="cuda").setup()
    with pytest.raises(ConfigError, match="offload=none"):
        make("instruct_pix2pix", model=str(ip2p), **QUICK, offload="model").setup()


def test_loading_is_silent_and_leaves_the_libraries_as_they_were(ip2p, capfd):
    from diffusers.utils import logging as diffusers_says
    from transformers.utils import logging as transformers_say

    before = (
        diffusers_says.get_verbosity(),
        transformers_say.get_verbosity(),
        transformers_say.is_progress_bar_enabled(),
    )
    make("instruct_pix2pix", model=str(ip2p), **QUICK).setup()
    assert capfd.readouterr().err == ""
    after = diffusers_says.get_verbosity(), transformers_say.get_verbosity(), transformers_say.is_progress_bar_enabled()
    assert after == before
