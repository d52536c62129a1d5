"""Frozen encoders give the goals of the paper, and one that does not fit is refused by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from encoders import image_encoder, text_encoder
from PIL import Image
from tiny_pipelines import clip_text, clip_tokenizer
from train_toys import CONFIG, Toys, settings
from transformers import CLIPVisionModelWithProjection

from insightedit.core.errors import ConfigError, InputError
from insightedit.model.bridging import Bridge
from insightedit.model.pipeline import InsightEditPipeline, from_config, from_preset
from insightedit.model.pixels import source_pixels, vision_pixels
from insightedit.train.frozen import (
    ImageEncoder,
    TextEncoder,
    _located,
    clip_pixels,
    edits,
    embedding_variance,
    goals,
    write_null_text,
)
from insightedit.train.loop import Run

CPU = torch.device("cpu")
QUERIES = CONFIG.qformer.queries


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return {"image_encoder": image_encoder(folder / "image"), "text_encoder": text_encoder(folder / "sd")}


@pytest.mark.parametrize("side", [64, 48, 96])
def test_clip_sees_what_the_vision_input_shows(side):
    smooth = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize((64, 64), Image.Resampling.BICUBIC)
    ours = clip_pixels(source_pixels([image], (64, 64)), side)
    theirs = vision_pixels([image], side)
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) < 1.5 / 255 / 0.26  # Pillow rounds to bytes in both directions


def test_the_embedding_is_clip_s_own_neither_normalised_nor_with_gradients(encoders):
    encoder = ImageEncoder(encoders["image_encoder"], CPU)
    pixels = torch.rand(3, 3, 64, 64) * 2 - 1
    embedding = encoder(pixels.requires_grad_())
    model = CLIPVisionModelWithProjection.from_pretrained(encoders["image_encoder"]).eval()
    assert torch.equal(embedding, model(clip_pixels(pixels, 32)).image_embeds.detach())
    assert embedding.shape == (3, CONFIG.iaa.dim) and not embedding.requires_grad
    assert (embedding.norm(dim=1) - 1).abs().min() > 0.01
    assert not any(p.requires_grad for p in encoder.model.parameters()) and not encoder.model.training


def test_captions_become_all_states_with_padding(encoders):
    encoder = TextEncoder(encoders["text_encoder"], 77, CPU)
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    model = clip_text(tokenizer)
    ids = tokenizer(["a red cube", ""], padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    states = encoder(["a red cube", ""])
    assert states.shape == (2, 77, 32) and torch.equal(states, model(ids.input_ids).last_hidden_state.detach())
    assert encoder(["a very long caption " * 50]).shape == (1, 77, 32)


def test_encoders_are_found_in_subfolders_and_beside_their_tokenizer(encoders, tmp_path):
    assert _located("h94/IP-Adapter/models/image_encoder") == ("h94/IP-Adapter", "models/image_encoder")
    assert _located("openai/clip-vit-large-patch14") == ("openai/clip-vit-large-patch14", "")
    assert _located(str(tmp_path)) == (str(tmp_path), "")
    inner = TextEncoder(encoders["text_encoder"] + "/text_encoder", QUERIES, CPU)
    assert torch.equal(inner(["a"]), TextEncoder(encoders["text_encoder"], QUERIES, CPU)(["a"]))


def test_the_null_text_of_a_folder_is_that_of_the_empty_prompt(encoders, tmp_path):
    from_preset("tiny").save_pretrained(tmp_path / "start")
    write_null_text(tmp_path / "start", encoders["text_encoder"])
    wanted = TextEncoder(encoders["text_encoder"], QUERIES, CPU)([""])
    assert torch.equal(Bridge.from_pretrained(tmp_path / "start" / "bridge").null_text, wanted)
    with pytest.raises(InputError, match="no bridge"):
        write_null_text(tmp_path, encoders["text_encoder"])


def test_the_first_stage_learns_from_the_text_encoder_and_keeps_its_null_text(encoders, tmp_path):
    config = settings("align", updates=2, goals={"text_encoder": encoders["text_encoder"]})
    folder = Run(config, Toys(captions=True), tmp_path).train()
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["caption"] > 0
    wanted = TextEncoder(encoders["text_encoder"], QUERIES, CPU)([""])
    assert torch.equal(InsightEditPipeline.from_pretrained(folder).bridge.null_text, wanted)


def needs(stage, named, pipeline=None, **changes):
    return goals(settings(stage, goals=named, **changes), pipeline or from_preset("tiny"), Accelerator(cpu=True))


def test_an_encoder_that_a_stage_needs_must_be_named(encoders):
    with pytest.raises(ConfigError, match=r"align needs goals.text_encoder"):
        needs("align", {})
    with pytest.raises(ConfigError, match=r"joint needs goals.image_encoder"):
        needs("joint", {})
    assert needs("joint", {}, losses={"image": 0}).image is None
    assert needs("joint", {}, from_config(replace(CONFIG, iaa=None))).image is None


def test_an_encoder_that_does_not_fit_is_refused_by_name(encoders, tmp_path):
    other = image_encoder(tmp_path / "other", dim=40)
    with pytest.raises(ConfigError, match="gives 40 numbers, IAA 24"):
        needs("joint", {"image_encoder": other})
    with pytest.raises(ConfigError, match=r"cannot load the encoder.*nowhere"):
        needs("joint", {"image_encoder": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigError, match=r"lacks|cannot load"):
        needs("joint", {"image_encoder": encoders["text_encoder"] + "/text_encoder"})
    with pytest.raises(ConfigError, match="it reads 77 tokens"):
        TextEncoder(encoders["text_encoder"], 100, CPU)
    wide = replace(CONFIG, qformer=replace(CONFIG.qformer, width=64), unet=replace(CONFIG.unet, context=64))
    with pytest.raises(ConfigError, match="its states are"):
        needs("align", {"text_encoder": encoders["text_encoder"]}, from_config(wide))


def test_the_variance_is_the_error_of_always_saying_the_mean():
    def embed(pixels):
        return pixels.mean((2, 3))  # (n, 3)

    source = Toys(talks=3)
    examples = edits(source)
    targets = torch.cat([embed(source_pixels([Image.fromarray(next(examples).target)], (64, 64))) for _ in range(20)])
    wanted = float((targets - targets.mean(0)).square().mean())
    assert embedding_variance(embed, source, 20, 64) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(InputError, match="no edits"):
        embedding_variance(embed, Toys(captions=True), 2, 64)


def test_the_variance_is_measured_once_and_travels_with_the_pipeline(encoders, tmp_path):
    config = settings(updates=1, goals={"image_encoder": encoders["image_encoder"], "variance": 8})
    folder = Run(config, Toys(), tmp_path).train()
    noted = json.loads((tmp_path / "variance.json").read_text())
    assert noted["variance"] > 0 and noted["variance"] != 1 and noted["targets"] == 8
    assert InsightEditPipeline.from_pretrained(folder).bridge.iaa.variance == noted["variance"]
    (tmp_path / "variance.json").write_text(json.dumps(noted | {"variance": 0.5}))
    assert Run(config, Toys(), tmp_path).pipeline.bridge.iaa.variance == 0.5
