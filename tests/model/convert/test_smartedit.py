"""Released SmartEdit folders -> pipeline folder."""

from __future__ import annotations

import json

import pytest
import torch
from model.convert.layouts import LLM, smartedit_files, write_smartedit
from PIL import Image

from insightedit.core.errors import InputError, OutputError
from insightedit.model.convert.smartedit import convert_smartedit, read_prompt
from insightedit.model.pipeline import InsightEditPipeline

QFORMER = "embeddings_qformer/checkpoint-15000_embeddings_qformer.bin"
LANGUAGE, UNET, MODULATE = (
    "LLM-15000/adapter_model.bin",
    "unet-15000/adapter_model.bin",
    "modulate-15000/adapter_model.bin",
)
PROMPT = {"system": "A <img> b.", "question": "Do [cap]", "answer": "So [img]."}


@pytest.fixture
def files(smartedit):
    return smartedit_files(smartedit)


@pytest.fixture
def convert(llava, stock_folder, small_preset, tmp_path):
    def run(files, **options):
        folder = write_smartedit(tmp_path / "SmartEdit", files)
        ask = {"llava": str(llava[0]), "vae": str(stock_folder), "preset": small_preset} | options
        return convert_smartedit(folder, tmp_path / "out", **ask)

    return run


def load(tmp_path) -> InsightEditPipeline:
    return InsightEditPipeline.from_pretrained(tmp_path / "out", local_files_only=True)


def drawn(pipeline) -> torch.Tensor:
    """Latents of a two-step edit."""
    pipeline.set_progress_bar_config(disable=True)
    picture, noise = Image.new("RGB", (64, 64), (200, 30, 60)), torch.Generator().manual_seed(0)
    ask = {"num_inference_steps": 2, "output_type": "latent", "generator": noise}
    return pipeline(picture, "make it red", **ask).images[0]


def understood(pipeline) -> torch.Tensor:
    """The language model's final states, (1, 6, 64)."""
    with torch.no_grad():
        return pipeline.comprehension.language_model.model(torch.tensor([[1, 5, 9, 300, 77, 2]]))[0]


@pytest.fixture
def original(smartedit, stock, llava):
    """The model that the files were written from, with stock's VAE and empty prompt."""
    from transformers import AutoTokenizer

    ids = stock.tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        smartedit.bridge.null_text.copy_(stock.text_encoder(ids)[0])
    parts = {**vars(smartedit), "vae": stock.vae, "scheduler": stock.scheduler}
    tokenizer = AutoTokenizer.from_pretrained(llava[0], local_files_only=True)
    return InsightEditPipeline(**parts, tokenizer=tokenizer, resolution=64, square=True)


def test_a_round_trip_keeps_every_value_and_the_edit(convert, files, original, tmp_path):
    convert(files)
    loaded = load(tmp_path)
    assert loaded.image_attention is None and loaded.bridge.iaa is None and loaded.config.square
    for part in ("comprehension", "bridge", "unet", "vae"):
        ours, theirs = getattr(loaded, part).state_dict(), getattr(original, part).state_dict()
        assert set(ours) == set(theirs)
        for name, value in theirs.items():
            assert torch.equal(ours[name], value), name
    torch.testing.assert_close(drawn(loaded), drawn(original), atol=1e-5, rtol=0)


def test_merged_adapters_understand_the_same(convert, files, original, tmp_path):
    done = convert(files, merge_lora=True)
    loaded = load(tmp_path)
    assert len(done.merged) == 4 and not any("lora" in name for name in loaded.comprehension.state_dict())
    torch.testing.assert_close(understood(loaded), understood(original), atol=1e-5, rtol=0)
    plain = original.comprehension.language_model.model.layers[0].self_attn.q_proj
    merged = loaded.comprehension.language_model.model.layers[0].self_attn.q_proj.weight
    assert (merged - plain.base_layer.weight).abs().max() > 0.01  # the adapters do something


def test_rows_of_the_base_vocabulary_are_llavas(convert, files, llava, tmp_path):
    convert(files)  # the files' own rows were moved by 9
    model = load(tmp_path).comprehension.language_model
    assert torch.equal(model.model.embed_tokens.weight, llava[1]["model.embed_tokens.weight"][:512])
    assert torch.equal(model.lm_head.weight, llava[1]["lm_head.weight"][:512])


def test_the_comparison_with_llava_allows_bfloat16_and_names_what_differs(convert, files):
    for name in files[LANGUAGE]:
        files[LANGUAGE][name] = files[LANGUAGE][name].bfloat16().float()
    off = LLM + "layers.1.mlp.up_proj.weight"
    files[LANGUAGE][off] = files[LANGUAGE][off] + 0.5
    done = convert(files)
    assert "18 of 19 tensors equal" in done.compared[0] and off in done.compared[0]


def test_another_llava_is_refused(convert, files):
    files[LANGUAGE] = {name: value + 0.5 if "lora" not in name else value for name, value in files[LANGUAGE].items()}
    with pytest.raises(InputError, match="is not the LLaVA"):
        convert(files)


FAULTS = [
    (LANGUAGE, LLM + "layers.1.mlp.up_proj.weight", "language_model.model.layers.1.mlp.up_proj.weight"),
    (LANGUAGE, LLM + "layers.0.self_attn.q_proj.lora_A.default.weight", "q_proj.lora_A.default.weight"),
    (QFORMER, "sd_query_tokens", "qformer.query_tokens"),
    (QFORMER, "lm_head.weight", "new_output|lm_head"),
    (UNET, "unet.conv_in.weight", "conv_in.weight"),
    (MODULATE, "modulate_head.bias", "bim.modulate_head.bias"),
]


@pytest.mark.parametrize(("file", "name", "clean"), FAULTS)
def test_a_missing_tensor_is_named_and_nothing_is_left(file, name, clean, convert, files, tmp_path):
    del files[file][name]
    with pytest.raises(InputError, match=f"1 missing .*({clean})"):
        convert(files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SmartEdit"]


@pytest.mark.parametrize("file", [LANGUAGE, QFORMER, UNET, MODULATE])
def test_an_unexpected_tensor_is_named(file, convert, files):
    name = "unet.surplus.weight" if file == UNET else "surplus.weight"
    files[file][name] = torch.ones(1)
    with pytest.raises(InputError, match=r"1 unexpected .*surplus\.weight"):
        convert(files)


@pytest.mark.parametrize(("file", "name"), [fault[:2] for fault in FAULTS[1::2]])
def test_a_tensor_of_another_shape_is_named(file, name, convert, files):
    value = files[file][name]
    files[file][name] = torch.cat([value, value])
    with pytest.raises(InputError, match=name):
        convert(files)


def test_files_of_several_steps_and_lacking_files_are_refused(convert, files, tmp_path):
    with pytest.raises(InputError, match=r"2 files match unet-\*"):
        convert(files | {"unet-10000/adapter_model.bin": files[UNET]})
    (tmp_path / "SmartEdit" / "unet-15000" / "adapter_model.bin").unlink()
    mixed = {name: tensors for name, tensors in files.items() if name != UNET}
    with pytest.raises(InputError, match="several training steps"):
        convert(mixed)  # unet-10000 is still there
    (tmp_path / "SmartEdit" / "unet-10000" / "adapter_model.bin").unlink()
    with pytest.raises(InputError, match=r"unet-\*/adapter_model\.bin is missing"):
        convert(mixed)


def test_the_prompt_is_kept_with_the_weights(convert, files, tmp_path):
    (tmp_path / "prompt.yaml").write_text(json.dumps(PROMPT))
    convert(files, prompt=tmp_path / "prompt.yaml")
    assert vars(load(tmp_path).comprehension.prompt) == PROMPT


def test_without_a_prompt_it_says_so(convert, files):
    assert any("another wording" in note for note in convert(files).notes)


@pytest.mark.parametrize("text", ["- a", "system: a", "system: a\nquestion: b\nanswer: '[img]'", "a: [", "\0"])
def test_a_prompt_that_is_none_is_refused(text, tmp_path):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError):
        read_prompt(tmp_path / "p.yaml", None)


def test_an_interrupted_conversion_leaves_nothing(convert, files, monkeypatch, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("insightedit.model.convert.smartedit.write_vae_and_scheduler", stop)  # after 13 GB
    with pytest.raises(KeyboardInterrupt):
        convert(files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SmartEdit"]


def test_a_folder_that_holds_something_is_not_written_into(convert, files, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(OutputError, match="not empty"):
        convert(files)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_record_says_where_everything_came_from(convert, files, tmp_path):
    convert(files)
    record = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert {LANGUAGE, QFORMER, UNET, MODULATE, "adapter_config.json"} <= {one["file"] for one in record["sources"]}
    assert all(len(one["sha256"]) == 64 for one in record["sources"])
    assert f"{LLM}layers.0.self_attn.rotary_emb.inv_freq" in record["dropped"]
    assert "sd_qformer.embeddings.position_ids" in record["dropped"]
    assert "/" + str(tmp_path).split("/")[1] + "/" not in json.dumps(record)  # no absolute path


def test_a_dtype_may_be_asked_for(convert, files, tmp_path):
    done = convert(files, dtype="bfloat16")
    assert {part.dtype for part in done.components if part.name in ("comprehension", "bridge", "unet")} == {"bfloat16"}
