"""The variant of the ablation that has words alone: it learns, continues, edits as the words say, sits the exam."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from train_toys import CONFIG, Toys, settings
from transformers import CLIPTextConfig, CLIPTextModel

from insightedit.core.errors import BackendError, ConfigError, InputError
from insightedit.model.config import PixelConfig, SamplingConfig
from insightedit.model.pipeline import InsightEditPipeline, from_config
from insightedit.model.toy_tokenizer import toy_tokenizer
from insightedit.train import checkpoint
from insightedit.train.eye import reading

ROOT = Path(__file__).parents[2]
UNET = replace(CONFIG.unet, latent_channels=48)
ALONE = SamplingConfig(steps=2, text_guidance=1.0, image_guidance=1.0)
SMALL = replace(CONFIG, unet=UNET, vae=PixelConfig(4), prediction="residual", square=True, sampling=ALONE)
MUON = {"kind": "muon", "rates": {"default": 1e-3, "unet": 3e-3}}
DROPS = {"text": 0, "both": 0, "image": 0}


@pytest.fixture(scope="module")
def module():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        import benchmarks.text_only as found

        yield found
        for name in ("benchmarks.text_only", "benchmarks.ablation"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """What the recipe's earlier steps leave, at a size for tests."""
    out = tmp_path_factory.mktemp("recipe")
    from_config(SMALL, seed=3).save_pretrained(out / "start")
    torch.manual_seed(4)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"vocab_size": 1024, "max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    CLIPTextModel(CLIPTextConfig(**sizes, **ids)).save_pretrained(out / "words")
    reading(toy_tokenizer(1024)).save_pretrained(out / "words")
    return out


@pytest.fixture
def training(module, recipe):
    def made(out, source=None, **changes):
        plain = {"start": str(recipe / "start"), "ema": 0.9, "region": 10.0, "drops": DROPS, "optim": MUON}
        config = settings(**plain | changes)
        pipeline, batcher = module.begin(config, recipe / "words")
        pipeline.set_progress_bar_config(disable=True)
        return module.Training(config, source or Toys(), batcher, pipeline, out)

    return made


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(2)]


def edited(pipeline, pictures, texts) -> np.ndarray:
    noise = [torch.Generator().manual_seed(0) for _ in texts]
    return np.stack([np.asarray(one) for one in pipeline(pictures, texts, generator=noise)[0]])


def _apart(one: np.ndarray, other: np.ndarray) -> int:
    return int(abs(one.astype(int) - other).max())


def test_it_begins_with_the_unet_of_the_other_variants_and_sees_their_batches(training, recipe, tmp_path):
    one, other = training(tmp_path), InsightEditPipeline.from_pretrained(recipe / "start")
    ours, theirs = one.pipeline.unet.state_dict(), other.unet.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert one.batcher.layout.image_tokens == other.comprehension.eye.grid**2
    assert one.pipeline.config.residual and one.pipeline.scheduler.config.prediction_type == "sample"


def test_the_loss_of_a_fixed_batch_falls_and_all_of_unet_and_words_learns(training, tmp_path):
    one = training(tmp_path, Toys(period=2), updates=14, save_every=100, ema=0)
    before = {name: p.detach().clone() for name, p in one.named.items()}
    one.train()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["diffusion"] for line in lines]
    assert min(losses[-4:]) < 0.8 * losses[0]
    assert all(line["s_per_update"] > 0 for line in lines)
    still = {name for name, p in one.named.items() if torch.equal(p, before[name])}
    assert not still and {name.partition(".")[0] for name in before} == {"unet", "comprehension"}


def test_the_words_learn_at_the_rate_of_the_unet(training, tmp_path):
    peaks = {group["name"]: group["peak"] for group in training(tmp_path).optimiser.param_groups}
    assert peaks == {"unet": 3e-3, "language": 3e-3}


def test_a_stopped_run_continues_bit_equal(training, tmp_path):
    whole = training(tmp_path / "whole", updates=5)
    whole.train()
    cut = training(tmp_path / "cut", updates=5)

    def stop(line: str) -> None:
        if cut.position.updates == 3:  # the checkpoint stands at 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.train(stop)
    again = training(tmp_path / "cut", updates=5)
    assert again.position.updates == 2
    again.train()
    ours, theirs = (checkpoint.load(checkpoint.found(tmp_path / name / "checkpoints")[-1]) for name in ("cut", "whole"))
    assert ours[0] == theirs[0] and ours[0].updates == 5
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        assert mine.keys() == other.keys() and mine
        assert all(torch.equal(value, other[name]) for name, value in mine.items())
    with pytest.raises(ConfigError, match="another run"):
        training(tmp_path / "cut", updates=6)


def test_what_was_trained_edits_as_its_words_say_after_reloading(training, module, tmp_path, pictures):
    one = training(tmp_path, updates=2)
    folder = one.train()
    pipeline = module.TextOnlyPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".safetensors", ".json"}
    texts = ["make it red", "remove the cube"]
    assert torch.equal(pipeline.ids(texts), one.pipeline.ids(texts))
    first = edited(pipeline, pictures, texts)
    assert first.shape == (2, 64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, edited(one.pipeline, pictures, texts))  # the average, which training put in place
    alone, other = (edited(pipeline, pictures[:1], [text]) for text in texts)
    assert _apart(first[:1], alone) <= 1 and _apart(alone, other) > 1


def test_what_it_cannot_do_it_says(training, recipe, module, tmp_path, pictures):
    pipeline = training(tmp_path).pipeline
    with pytest.raises(InputError, match="too long"):
        pipeline(pictures[0], "remove " * 20)
    with pytest.raises(InputError, match="no guidance"):
        pipeline(pictures[0], "remove it", num_inference_steps=1, text_guidance_scale=2.0)
    with pytest.raises(InputError, match="no text encoder"):
        module.begin(settings(start=str(recipe / "start")), recipe / "start")


def test_a_loss_that_is_not_a_number_stops_with_the_samples_named(training, tmp_path):
    one = training(tmp_path)
    with torch.no_grad():
        one.pipeline.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(BackendError, match="edit-0, edit-1"):
        one.train()


def test_its_folder_sits_the_exam_and_seeds_share_a_row(training, tmp_path):
    import benchmarks.ablation as ablation

    folders = [training(tmp_path / str(seed), updates=1, seed=seed).train() for seed in (1, 2)]
    given = [*(f"text-only={folder}" for folder in folders), "copy", "--count", "4", "--workers", "0", "--steps", "1"]
    ablation.main([*given, "--shuffle-image", "--out", str(tmp_path / "exam")])
    rows = (tmp_path / "exam" / "table.md").read_text().splitlines()
    assert rows[2].startswith("| text-only (2 seeds) |") and rows[3].startswith("| copy |")
    found = json.loads((tmp_path / "exam" / "results.json").read_text())["variants"]
    assert [one["folder"] for one in found] == [*map(str, folders), "copy"]
    assert {path.name for path in (tmp_path / "exam").glob("*.png")} == {
        "sheet-text-only.png", "sheet-text-only-2.png", "sheet-copy.png",
    }  # fmt: skip
