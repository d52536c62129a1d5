"""InstructPix2Pix-family .ckpt -> diffusers folder."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from PIL import Image

from insightedit.core.errors import InputError
from insightedit.model.convert.ldm import convert_instruct_diffusion, convert_instruct_pix2pix
from insightedit.model.convert.ldm_keys import ema_name, text_names, unet_names, vae_names

PARTS = ("unet", "vae", "text_encoder")


def ldm(pipe) -> dict[str, torch.Tensor]:
    """The pipeline's tensors in the file's names; `test_the_names_are_those_that_diffusers_reads` is their witness."""
    names = unet_names(pipe.unet.state_dict(), 2), vae_names(pipe.vae.state_dict(), 4)
    state = {}
    for module, own in zip((pipe.unet, pipe.vae), names, strict=True):
        state |= {own[name]: tensor.clone() for name, tensor in module.state_dict().items()}
    for name in state:
        if ".attn_1." in name and state[name].dim() == 2:
            state[name] = state[name][:, :, None, None]  # 1 x 1 convolutions there
    text = pipe.text_encoder.state_dict()
    return state | {name: text[own].clone() for own, name in text_names(text).items()}


def write(state, path):
    torch.save({"state_dict": state, "global_step": 22000, "pytorch-lightning_version": "1.4.2"}, path)
    return path


@pytest.fixture
def file(stock, tmp_path):
    return write(ldm(stock), tmp_path / "ip2p.ckpt")


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_the_names_are_those_that_diffusers_reads(stock, stock_folder, file):
    loaded = StableDiffusionInstructPix2PixPipeline.from_single_file(
        str(file), config=str(stock_folder), safety_checker=None, local_files_only=True
    )
    for part in PARTS:
        assert same(getattr(loaded, part), getattr(stock, part)), part


def test_the_names_of_the_full_size_are_those_that_diffusers_reads():
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    from insightedit.model.generation import build_unet, build_vae
    from insightedit.model.presets import preset

    config = preset("smartedit-7b")
    with torch.device("meta"):
        unet, vae = build_unet(config.unet), build_vae(config.vae)
    assert isinstance(unet, UNet2DConditionModel) and isinstance(vae, AutoencoderKL)
    for module, names, convert in (
        (unet, unet_names(unet.state_dict(), 2), convert_ldm_unet_checkpoint),
        (vae, vae_names(vae.state_dict(), 4), convert_ldm_vae_checkpoint),
    ):
        state = {names[name]: torch.tensor([place]) for place, name in enumerate(module.state_dict())}
        state = {name: value[:, None, None, None] if ".attn_1." in name else value for name, value in state.items()}
        read = convert(state, dict(module.config))
        assert {name: int(value) for name, value in read.items()} == {
            name: place for place, name in enumerate(module.state_dict())
        }


@pytest.mark.parametrize("convert", [convert_instruct_pix2pix, convert_instruct_diffusion])
def test_a_round_trip_keeps_every_value_and_the_edit(convert, stock, stock_folder, file, tmp_path):
    convert(file, tmp_path / "out", config=str(stock_folder))
    loaded = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path / "out", local_files_only=True)
    for part in PARTS:
        assert same(getattr(loaded, part), getattr(stock, part)), part
    picture = Image.new("RGB", (64, 64), (200, 30, 60))
    ask = {"image": picture, "num_inference_steps": 2, "output_type": "latent"}
    ours, theirs = (pipe("red", generator=torch.Generator().manual_seed(0), **ask).images for pipe in (loaded, stock))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_running_average_is_preferred(stock, stock_folder, tmp_path):
    state = ldm(stock)
    averages = {ema_name(name): value + 1 for name, value in state.items() if name.startswith("model.")}
    counters = {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(5)}
    file = write(state | averages | counters, tmp_path / "ema.ckpt")
    done = convert_instruct_pix2pix(file, tmp_path / "out", config=str(stock_folder))
    loaded = UNet2DConditionModel.from_pretrained(tmp_path / "out", subfolder="unet")
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, stock.unet.state_dict()[name] + 1), name
    assert any("EMA" in note for note in done.notes)


def test_a_running_average_of_some_tensors_only_is_refused(stock, stock_folder, tmp_path):
    state = ldm(stock)
    one = "model.diffusion_model.out.2.bias"
    file = write(state | {ema_name(one): state[one]}, tmp_path / "some.ckpt")
    with pytest.raises(InputError, match="missing from the running average"):
        convert_instruct_pix2pix(file, tmp_path / "out", config=str(stock_folder))


def test_the_noise_schedule_is_left_out_and_recorded(stock, stock_folder, tmp_path):
    extra = {
        "betas": torch.ones(1000),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.ones(1),
    }
    file = write(ldm(stock) | extra, tmp_path / "schedule.ckpt")
    convert_instruct_pix2pix(file, tmp_path / "out", config=str(stock_folder))
    record = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert record["dropped"] == sorted(extra)
    assert record["sources"][0]["file"] == "schedule.ckpt"
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize(
    "name",
    ["model.diffusion_model.out.2.bias", "first_stage_model.quant_conv.weight",
     "cond_stage_model.transformer.text_model.final_layer_norm.bias"],
)  # fmt: skip
def test_a_missing_tensor_is_named(name, stock, stock_folder, tmp_path):
    state = ldm(stock)
    del state[name]
    with pytest.raises(InputError, match=f"1 missing .{name}"):
        convert_instruct_pix2pix(write(state, tmp_path / "a.ckpt"), tmp_path / "out", config=str(stock_folder))
    assert not (tmp_path / "out").exists() and [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("name", ["model.diffusion_model.extra", "first_stage_model.loss.logvar", "loss.weight"])
def test_an_unexpected_tensor_is_named(name, stock, stock_folder, tmp_path):
    file = write(ldm(stock) | {name: torch.ones(1)}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=f"1 unexpected .{name}"):
        convert_instruct_pix2pix(file, tmp_path / "out", config=str(stock_folder))


def test_a_tensor_of_another_shape_is_named(stock, stock_folder, tmp_path):
    name = "model.diffusion_model.input_blocks.0.0.weight"  # 4 channels: a plain Stable Diffusion
    state = ldm(stock)
    state[name] = state[name][:, :4]
    with pytest.raises(InputError, match=f"{name} is 8x4x3x3, wanted 8x8x3x3"):
        convert_instruct_pix2pix(write(state, tmp_path / "a.ckpt"), tmp_path / "out", config=str(stock_folder))


def test_a_configuration_folder_that_lacks_a_file_is_refused(file, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"unet/config\.json"):
        convert_instruct_pix2pix(file, tmp_path / "out", config=str(tmp_path / "empty"))
