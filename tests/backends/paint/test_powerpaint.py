"""PowerPaint: task words folded into a stock text encoder, both versions from their public layouts."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_brushes import WORDS, branch, canvas, fill, wrapped_text_encoder, write_base, write_branch
from tiny_brushes import write_powerpaint_v1 as write_v1
from tiny_brushes import write_powerpaint_v2 as write_v2
from tiny_pipelines import clip_tokenizer
from transformers import CLIPTextModel, CLIPTokenizer

from insightedit.backends.paint.powerpaint import PowerPaintV1, PowerPaintV2, asked
from insightedit.backends.paint.task_words import (
    NAMES,
    Phrase,
    TaskEncoder,
    fold,
    load_task_encoder,
    phrases,
    with_task_words,
)
from insightedit.core.errors import InputError

CPU = torch.device("cpu")
TABLE = "text_model.embeddings.token_embedding."
QUALITY = ", worst quality, low quality, normal quality, bad quality, blurry "


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def v1(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("v1")
    write_base(root / "base", in_channels=9)
    write_v1(root / "PowerPaint-v1", root / "base")
    return {"model": str(root / "PowerPaint-v1"), "base": str(root / "base")}


@pytest.fixture(scope="module")
def v2(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("v2") / "PowerPaint-v2-1"
    write_v2(folder)
    return folder


@pytest.fixture(scope="module")
def words(v1) -> TaskEncoder:
    base, file = Path(v1["base"]), Path(v1["model"]) / "text_encoder" / "text_encoder.safetensors"
    return load_task_encoder(file, base / "text_encoder", base / "tokenizer", torch.float32)


# ------------------------------------------------------------------------------------------------- the task words


class Wrapper(torch.nn.Module):
    """mmagic's arithmetic: ordinary ids from the wrapped table, ids after it from the tables of the task words."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.wrapped = tensors[TABLE + "wrapped.weight"]
        self.trained = torch.cat([tensors[f"{TABLE}trainable_embeddings.{word}"] for word in WORDS])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = self.wrapped[ids.clamp(max=len(self.wrapped) - 1)]
        for row, column in (ids >= len(self.wrapped)).nonzero():
            states[row, column] = self.trained[ids[row, column] - len(self.wrapped)]
        return states


@pytest.mark.parametrize("word", WORDS)
@torch.no_grad()
def test_the_folded_encoder_equals_the_wrapper(v1, words, word):
    tensors = load_file(Path(v1["model"]) / "text_encoder" / "text_encoder.safetensors")
    stock = CLIPTextModel.from_pretrained(Path(v1["base"]) / "text_encoder").eval()
    stock.embeddings.token_embedding = Wrapper(tensors)
    ids = torch.tensor([words.ids("a cat", word)])
    assert int((ids >= len(stock.embeddings.token_embedding.wrapped)).sum()) == 10
    assert torch.equal(words.encode(Phrase("a cat", word, word), 1.0, CPU), stock(ids)[0])


def test_the_real_vocabulary_numbers_the_words_from_49408_on():
    vocabulary = clip_tokenizer().get_vocab()
    specials = ("<|startoftext|>", "<|endoftext|>")
    names = [name for name in vocabulary if name not in specials]
    names += [f"filler{number}" for number in range(49406 - len(names))] + list(specials)
    tokenizer = CLIPTokenizer(vocab={name: place for place, name in enumerate(names)}, merges=[], model_max_length=77)
    numbered = with_task_words(tokenizer, Path("here")).convert_tokens_to_ids(list(NAMES))
    assert numbered == list(range(49408, 49438))
    encoder = TaskEncoder(tokenizer, None)
    assert encoder.ids("", "P_ctxt")[1:12] == [*range(49408, 49418), 49407]
    assert encoder.ids("", "P_shape")[1:11] == list(range(49418, 49428))
    assert encoder.ids("", "P_obj")[1:11] == list(range(49428, 49438))


@pytest.mark.parametrize(
    "length", [0, 60, 64, 65, 66, 70, 74, 75, 200]
)  # letters are tokens here: about and in the cut
def test_a_long_prompt_is_cut_and_the_word_stays_whole(words, length):
    ids, tokens = words.ids("x" * length, "P_obj"), words.tokenizer
    assert len(ids) == 77
    end = ids.index(tokens.eos_token_id)
    assert ids[end - 10 : end] == tokens.convert_tokens_to_ids([f"P_obj_{part}" for part in range(10)])
    assert end == 1 + min(length, 65) + 10


def test_what_is_asked_is_what_was_trained():
    assert phrases("remove") == (Phrase("empty scene blur ", "P_ctxt", "P_ctxt"), Phrase("", "P_obj", "P_obj"))
    assert phrases("object", "a dog", "ugly") == (
        Phrase("a dog", "P_obj", "P_obj"),
        Phrase("ugly" + QUALITY, "P_obj", "P_obj"),
    )
    assert phrases("shape", "a dog") == (Phrase("a dog", "P_shape", "P_ctxt"), Phrase(QUALITY, "P_shape", "P_ctxt"))
    assert phrases("remove", "a", "b", bare=True) == (Phrase("", "P_ctxt", "P_ctxt"), Phrase("", "P_obj", "P_obj"))
    assert asked(canvas(task="remove"), "shape", bare=True)[0].tight == "P_ctxt"
    assert asked(canvas(task="add"), "shape", bare=True)[0].tight == "P_shape"
    assert asked(canvas(task="replace"), "object", bare=True)[0].tight == "P_obj"


def test_the_fitting_degree_mixes_the_two_words(words):
    def said(*phrase, fitting):
        return words.encode(Phrase(*phrase), fitting, CPU)

    mixed = said("a dog", "P_shape", "P_ctxt", fitting=0.3)
    tight, loose = (said("a dog", word, word, fitting=1.0) for word in ("P_shape", "P_ctxt"))
    assert torch.allclose(mixed, 0.3 * tight + 0.7 * loose, atol=1e-6)
    assert not torch.allclose(tight, loose, atol=1e-2)


def test_other_text_encoders_are_refused_by_what_they_lack(v1, tmp_path):
    base, tensors = Path(v1["base"]), wrapped_text_encoder(Path(v1["base"]))

    def refused(changed: dict[str, torch.Tensor]) -> str:
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(InputError) as error:
            load_task_encoder(tmp_path / "model.safetensors", base / "text_encoder", base / "tokenizer", torch.float32)
        return error.value.why

    key = f"{TABLE}trainable_embeddings.P_shape"
    assert "trainable_embeddings.P_shape" in refused({name: value for name, value in tensors.items() if name != key})
    assert "10 vectors" in refused(tensors | {key: tensors[key][:9].clone()})
    assert "1 foreign (other.weight)" in refused(tensors | {"other.weight": torch.zeros(2)})
    short = {name: value for name, value in tensors.items() if not name.endswith("final_layer_norm.bias")}
    assert "1 missing (final_layer_norm.bias)" in refused(short)
    plain = load_file(base / "text_encoder" / "model.safetensors")
    assert "it embeds 514 tokens" in refused(plain)  # of the base: no task words at all
    once = fold(tensors, base)
    assert fold(once, base).keys() == once.keys()


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_not_opened(v2, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(v2, folder)
    torch.save({"a": Evil()}, folder / "PowerPaint_Brushnet" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"cannot read .*pytorch_model\.bin"):
        PowerPaintV2(model=str(folder), device="cpu").setup()
    assert "run" not in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------- the painters


def far(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


@pytest.fixture(scope="module")
def painters(v1, v2) -> dict[str, PowerPaintV1 | PowerPaintV2]:
    here = {"device": "cpu", "steps": 2, "batch_size": 3}
    return {"v1": PowerPaintV1(**v1, **here), "v2": PowerPaintV2(model=str(v2), **here)}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_one_seed_is_one_picture_alone_or_in_a_batch(painters, version):
    painter = painters[version]
    first, other = painter.paint([canvas(1)])[0], painter.paint([canvas(2, "a cat")])[0]
    assert first.shape == (32, 48, 3) and first.dtype == np.uint8
    assert np.array_equal(first, painter.paint([canvas(1)])[0])
    together = painter.paint([canvas(2, "a cat"), canvas(1), canvas(3)])
    assert far(together[1], first) <= 1 and far(together[0], other) <= 1  # sums in another order: a grey level
    assert far(together[2], first) > 10


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_three_tasks_give_three_pictures(painters, version, monkeypatch):
    painter = painters[version]
    removed, put = painter.paint([canvas(prompt="", task="remove"), canvas(prompt="")])
    shaped = []
    for fitting in (1.0, 0.2):
        monkeypatch.setattr(
            painter, "settings", painter.settings.model_copy(update={"put": "shape", "fitting": fitting})
        )
        shaped += painter.paint([canvas(prompt="")])
    pictures = [removed, put, *shaped]
    for place, one in enumerate(pictures):
        assert all(far(one, other) > 0 for other in pictures[:place]), place


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_words_of_the_user_and_surroundings_matter(painters, version):
    first = painters[version].paint([canvas()])[0]
    for other in (canvas(prompt="zebra"), canvas(negative="zebra"), canvas(shift=60)):
        assert far(first, painters[version].paint([other])[0]) > 0
    inside = canvas()
    inside.image[inside.hole] = 200
    assert np.array_equal(first, painters[version].paint([inside])[0])


def test_in_version_2_the_branch_hears_task_words_and_the_unet_the_prompt(painters):
    painter = painters["v2"]
    painter.setup()
    said = painter._branch_text([canvas(prompt="a dog", task="remove"), canvas(prompt="", negative="b", task="remove")])
    wish, opposite = (painter.words.encode(Phrase("", word, word), 1.0, CPU) for word in ("P_ctxt", "P_obj"))
    assert torch.equal(said, torch.cat([opposite, opposite, wish, wish]))
    assert painter._texts(canvas(prompt="", task="remove", negative="b")) == (" empty scene blur", "b")
    assert painter._texts(canvas(prompt="a dog")) == ("a dog", "")
    assert type(painter.pipe.scheduler).__name__ == "UniPCMultistepScheduler"
    assert type(painters["v1"].pipe.scheduler).__name__ == "DDIMScheduler"  # the base's


def sanster(v2: Path, folder: Path) -> Path:
    """The same weights as Sanster/PowerPaint_v2 has them: folded, with a tokenizer, half-precision names, no base."""
    base = v2 / "realisticVisionV60B1_v51VAE"
    encoder = load_task_encoder(
        v2 / "PowerPaint_Brushnet" / "pytorch_model.bin", base / "text_encoder", base / "tokenizer", torch.float32
    )
    encoder.network.save_pretrained(folder / "text_encoder_brushnet")
    (folder / "text_encoder_brushnet" / "model.safetensors").rename(
        folder / "text_encoder_brushnet" / "model.fp16.safetensors"
    )
    encoder.tokenizer.save_pretrained(folder / "tokenizer")
    network = branch("powerpaint2")
    write_branch(fill(network, "powerpaint2."), folder / "PowerPaint_Brushnet", vars(network.config))
    file = folder / "PowerPaint_Brushnet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    return base


def test_both_public_layouts_of_version_2_paint_the_same(painters, v2, tmp_path):
    base = sanster(v2, tmp_path)
    settings = {"model": str(tmp_path), "device": "cpu", "steps": 2}
    with pytest.raises(InputError, match="brings no base"):
        PowerPaintV2(**settings).setup()
    folded = PowerPaintV2(**settings, base=str(base))
    assert np.array_equal(folded.paint([canvas()])[0], painters["v2"].paint([canvas()])[0])
    assert folded.engine().startswith("powerpaint_v2@") and "+" in folded.engine()
    assert painters["v2"].engine().startswith("powerpaint_v2@") and "+" not in painters["v2"].engine()
    folded.release()
    assert folded.pipe is None and folded.branch is None and folded.words is None


def test_defaults_are_those_of_insightedits_scripts():
    for kind in (PowerPaintV1, PowerPaintV2):
        settings = kind().settings
        assert (settings.steps, settings.guidance, settings.fitting, settings.side) == (45, 12, 1, 640)
        assert kind.tasks == {"remove", "replace", "add"}
    assert PowerPaintV1().settings.model == "JunhaoZhuang/PowerPaint-v1"
    assert PowerPaintV2().settings.model == "JunhaoZhuang/PowerPaint-v2-1"
    assert "unet/config.json" in PowerPaintV1.base_files  # of the base only what PowerPaint does not bring
    assert "unet/diffusion_pytorch_model.safetensors" not in PowerPaintV1.base_files
    assert "text_encoder/model.safetensors" not in PowerPaintV1.base_files


def test_a_unet_of_another_kind_is_refused(v1, tmp_path):
    write_base(tmp_path / "base", in_channels=4)
    with pytest.raises(InputError, match=r"of another shape \(conv_in\.weight\)"):
        PowerPaintV1(model=v1["model"], base=str(tmp_path / "base"), device="cpu").setup()
    with pytest.raises(InputError, match="cannot read"):
        PowerPaintV1(model=str(tmp_path), base=v1["base"], device="cpu").setup()
