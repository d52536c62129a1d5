"""The small CLIP: it learns, averages over processes by hand, and leaves what transformers loads."""

import random

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection

from insightedit.datasets.drawn import Drawn, draw_all
from insightedit.model.presets import preset
from insightedit.model.tokens import BOS, EOS
from insightedit.model.toy_tokenizer import toy_tokenizer
from insightedit.train.eye import Eye, EyeConfig, Scenery, train_eye


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Drawn:
    return draw_all(tmp_path_factory.mktemp("drawn") / "scenes", 12, 64, 3, workers=1)


@pytest.fixture(scope="module")
def scenery(drawn) -> Scenery:
    model = preset("scenes")
    return Scenery(drawn, model, toy_tokenizer(model.language.vocabulary))


def test_a_batch_is_what_its_seed_says(scenery):
    first, again, other = (scenery.batch(random.Random(seed), 4, torch.device("cpu")) for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    pixels, ids, there, patches = first
    assert pixels.shape == (4, 3, 64, 64) and there.shape == (4, 32) and patches.shape == (4, 64, 4)
    assert (ids[:, 0] == BOS).all() and (ids == EOS).sum(1).tolist() == [1] * 4
    assert there.sum(1).min() >= 1 and (patches > 0).any()


def test_patches_that_show_too_little_teach_nothing(scenery):
    eye = Eye(preset("scenes")).eval()
    batch = scenery.batch(random.Random(0), 2, torch.device("cpu"))
    spoiled = [*batch[:3], batch[3].clone()]
    unsure = batch[3] == -100
    assert unsure.any()
    with torch.no_grad():
        wanted = eye(batch, captions=False)["patches"]
        spoiled[3][~unsure] = (spoiled[3][~unsure] + 1) % 3
        assert eye(tuple(spoiled), captions=False)["patches"] != wanted


def test_it_learns_and_leaves_what_transformers_loads(scenery, tmp_path):
    seen: list[dict[str, float]] = []
    settings = EyeConfig(updates=24, batch=8, warmup=4, captions_from=0.5)
    train_eye(preset("scenes"), scenery, settings, tmp_path, seen.append)
    assert np.mean([one["patches"] for one in seen[-4:]]) < 0.6 * np.mean([one["patches"] for one in seen[:4]])
    assert "contrast" not in seen[11] and "contrast" in seen[12]
    image, about = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "image_encoder", output_loading_info=True)
    text, said = CLIPTextModel.from_pretrained(tmp_path / "text_encoder", output_loading_info=True)
    assert not about["missing_keys"] and not said["missing_keys"] and image.config.projection_dim == 128
    ids = AutoTokenizer.from_pretrained(tmp_path / "text_encoder")("a red cube").input_ids
    assert (ids[0], ids[-1]) == (BOS, EOS) and text.config.max_position_embeddings == 32
