"""VAE, scheduler and the empty prompt from a Stable Diffusion folder, also one of 2022 with its old names."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from insightedit.core.errors import InputError
from insightedit.model.convert.folder import Conversion
from insightedit.model.convert.stock import null_text, write_vae_and_scheduler

OLD = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
VAE, TEXT = "vae/diffusion_pytorch_model.bin", "text_encoder/pytorch_model.bin"


@pytest.fixture
def old_folder(stock_folder, tmp_path):
    """As runwayml/stable-diffusion-v1-5 was laid out: pickles, old attention names, `text_model.` and position_ids."""
    folder = tmp_path / "sd15"
    shutil.copytree(stock_folder, folder)
    vae = {}
    for name, tensor in load_file(folder / "vae/diffusion_pytorch_model.safetensors").items():
        if "attentions" in name:
            for new, old in OLD.items():
                name = name.replace(new, old)
        vae[name] = tensor
    text = {
        f"text_model.{name}": tensor for name, tensor in load_file(folder / "text_encoder/model.safetensors").items()
    }
    text["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    for file, state in ((VAE, vae), (TEXT, text)):
        torch.save(state, folder / file)
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    (folder / "text_encoder/model.safetensors").unlink()
    return folder


def test_an_old_folder_gives_the_same_values(old_folder, stock, tmp_path):
    record = Conversion("x")
    write_vae_and_scheduler(tmp_path / "out", str(old_folder), record)
    written = load_file(tmp_path / "out/vae/diffusion_pytorch_model.safetensors")
    assert all(torch.equal(written[name], tensor) for name, tensor in stock.vae.state_dict().items())
    ids = stock.tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        assert torch.equal(null_text(str(old_folder), record), stock.text_encoder(ids)[0])
    assert [one["file"] for one in record.sources] == [f"sd15/{VAE}", f"sd15/{TEXT}"]


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        (VAE, lambda state: state.pop("decoder.conv_in.bias"), r"1 missing .decoder\.conv_in\.bias"),
        (VAE, lambda state: state.update(surplus=torch.ones(1)), "1 unexpected .surplus"),
        (TEXT, lambda state: state.pop("text_model.final_layer_norm.bias"), r"1 missing .*final_layer_norm\.bias"),
    ],
)
def test_what_the_loaders_only_warn_about_is_an_error(file, edit, said, old_folder, tmp_path):
    state = torch.load(old_folder / file, weights_only=True)
    edit(state)
    torch.save(state, old_folder / file)
    with pytest.raises(InputError, match=said):
        write_vae_and_scheduler(tmp_path / "out", str(old_folder), Conversion("x"))
        null_text(str(old_folder), Conversion("x"))


@pytest.mark.parametrize("lacking", ["vae/config.json", "tokenizer/tokenizer_config.json"])
def test_a_lacking_file_is_named(lacking, old_folder, tmp_path):
    (old_folder / lacking).unlink()
    with pytest.raises(InputError, match=lacking):
        write_vae_and_scheduler(tmp_path / "out", str(old_folder), Conversion("x"))
        null_text(str(old_folder), Conversion("x"))
