"""LLaVA folders of both generations -> Comprehension."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from model.convert.layouts import clip_folder, llava_hf, llava_original, save
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, LlamaConfig, LlamaForCausalLM

from insightedit.core.errors import InputError
from insightedit.model.comprehension import Comprehension
from insightedit.model.convert.llava import convert_llava
from insightedit.model.tokens import TokenBatch

NAME = "model.layers.0.mlp.down_proj.weight"


def load(folder) -> Comprehension:
    return Comprehension.from_pretrained(folder, subfolder="comprehension").eval()


def states(model: Comprehension, pixels: torch.Tensor, ids: list[int], image_start: int) -> torch.Tensor:
    """Final hidden states (1, L, D) of ids whose places from `image_start` on take the picture's 16 features."""
    batch = TokenBatch(
        torch.tensor([ids]), torch.ones(1, len(ids)).bool(), torch.tensor([ids]), torch.tensor([image_start])
    )
    with torch.no_grad():
        inputs = model.embed(batch, model.see(pixels))
        return model.language_model.model(inputs_embeds=inputs, use_cache=False)[0]


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def hf(tmp_path_factory):
    root = tmp_path_factory.mktemp("hf")
    model = llava_hf(root / "llava-1.5")
    done = convert_llava(str(root / "llava-1.5"), root / "out")
    return model, done, root / "out"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("original")
    tower = clip_folder(root / "clip")
    state = llava_original(root / "llava-1.1", root / "clip", rows=32003)
    return state, tower, convert_llava(str(root / "llava-1.1"), root / "out"), root


def test_llava_1_5_computes_the_same(hf, pixels):
    model, _, folder = hf
    ids = [1, 5, 9, *[0] * 16, 77, 300]
    theirs = torch.tensor([[32000 if 3 <= place < 19 else own for place, own in enumerate(ids)]])
    with torch.no_grad():
        wanted = model(input_ids=theirs, pixel_values=pixels, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(states(load(folder), pixels, ids, 3), wanted, atol=1e-5, rtol=0)


def test_llava_1_1_computes_the_same(original, pixels):
    state, tower, _, root = original
    config = json.loads((root / "llava-1.1" / "config.json").read_text())
    llm = LlamaForCausalLM(
        LlamaConfig(**{name: value for name, value in config.items() if name != "model_type"})
    ).eval()
    own = {name: value for name, value in state.items() if "mm_projector" not in name and "inv_freq" not in name}
    llm.load_state_dict(own)
    ids = [1, 5, 9, *[0] * 16, 77, 300]
    with torch.no_grad():
        seen = tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        image = seen @ state["model.mm_projector.weight"].T + state["model.mm_projector.bias"]
        inputs = llm.model.embed_tokens(torch.tensor([ids]))
        inputs[:, 3:19] = image
        wanted = llm.model(inputs_embeds=inputs)[0]
    torch.testing.assert_close(states(load(root / "out"), pixels, ids, 3), wanted, atol=1e-5, rtol=0)


def test_new_rows_are_the_mean_and_adapters_silent(original):
    state, _, _, root = original
    model = load(root / "out")
    mean = state["model.embed_tokens.weight"][:32000].mean(0)
    torch.testing.assert_close(model.new_input, mean.expand(35, -1))
    torch.testing.assert_close(model.new_output, state["lm_head.weight"][:32000].mean(0).expand(35, -1))
    lora = {name: value for name, value in model.state_dict().items() if "lora_" in name}
    assert len(lora) == 8 and all(bool(value.any()) == ("lora_A" in name) for name, value in lora.items())


def test_rows_beyond_the_base_vocabulary_are_left_out_and_recorded(hf, original):
    assert any("[32000:32064]" in name for name in hf[1].dropped)
    assert any("[32000:32003]" in name for name in original[2].dropped)
    assert "model.layers.0.self_attn.rotary_emb.inv_freq" in original[2].dropped


def test_the_tokenizer_comes_along(original):
    from transformers import AutoTokenizer

    root = original[3]
    ours, theirs = (AutoTokenizer.from_pretrained(root / name) for name in ("out/tokenizer", "llava-1.1"))
    assert ours("remove the cat").input_ids == theirs("remove the cat").input_ids


def test_safetensors_shards_and_a_whole_clip_are_read(tmp_path):
    """A CLIPModel folder holds the text half too; a tower with projection stands for it here."""
    config = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
                              image_size=64, patch_size=16, projection_dim=16)  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    llava_original(tmp_path / "llava", tmp_path / "clip", rows=32003, safetensors=True)
    assert convert_llava(str(tmp_path / "llava"), tmp_path / "out").components[0].tensors > 0


@pytest.fixture
def damaged(original, tmp_path):
    """A copy whose one shard, index and configuration may be changed."""
    shutil.copytree(original[3] / "llava-1.1", tmp_path / "llava")

    def change(edit=None, **told):
        folder = tmp_path / "llava"
        index = json.loads((folder / "pytorch_model.bin.index.json").read_text())
        shard = index["weight_map"][NAME]
        state = torch.load(folder / shard, weights_only=True)
        if edit is not None:
            edit(state)
        save(state, folder / shard)
        others = {name: own for name, own in index["weight_map"].items() if own != shard}
        index["weight_map"] = others | dict.fromkeys(state, shard)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        config = json.loads((folder / "config.json").read_text()) | told
        (folder / "config.json").write_text(json.dumps(config))
        convert_llava(str(folder), tmp_path / "out")

    return change


def test_missing_unexpected_and_misshapen_tensors_are_named(damaged):
    with pytest.raises(InputError, match=r"1 unexpected .surplus"):
        damaged(lambda state: state.update(surplus=torch.ones(1)))
    with pytest.raises(InputError, match=f"{NAME} is 1x1, wanted 64x128"):
        damaged(lambda state: (state.pop("surplus"), state.update({NAME: torch.ones(1, 1)})))
    with pytest.raises(InputError, match=f"1 missing .*language_model.{NAME}"):
        damaged(lambda state: state.pop(NAME))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope"),
        ({"num_key_value_heads": 2}, "num_key_value_heads"),
        ({"mm_projector_type": "mlp2x_gelu"}, "mm_projector_type"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature"),
    ],
)
def test_another_kind_of_model_is_refused(told, said, damaged):
    with pytest.raises(InputError, match=said):
        damaged(**told)


def test_folders_that_are_no_llava_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json is missing"):
        convert_llava(str(tmp_path), tmp_path / "out")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="is not a LLaVA"):
        convert_llava(str(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
