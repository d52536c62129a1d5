"""CLIP on tiny weights in the public layout, against transformers' own processor; measures against sums by hand."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny_pipelines import clip_tokenizer, cut, without

from insightedit.core.errors import BackendError, ConfigError, InputError
from insightedit.metrics.clip import PREFIX, Clip, ClipKnobs, clip_score, cosine, direction, framed, pair_scores

SIDE = 32
SENTENCES = ["a cat", "a dog made of blue stone", "a cat " * 60]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder as openai/clip-vit-large-patch14 has it, amplified so that inputs matter. Do not write into it."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    folder, tokenizer = tmp_path_factory.mktemp("weights") / "clip", clip_tokenizer()
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**layers, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    vision = {**layers, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embedding" in name or "attn" in name:
                weight *= 8
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def clip(weights) -> Clip:
    return Clip(ClipKnobs(model=str(weights), device="cpu", batch_size=2))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Wide, tall, smaller than the network's square, exactly of it; and one of odd sides."""
    rng = np.random.default_rng(0)
    sizes = [(70, 101), (120, 50), (20, 17), (SIDE, SIDE), (33, 47)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def by_transformers(weights, pictures, **how) -> np.ndarray:
    from transformers import CLIPImageProcessorPil, CLIPModel

    processor, model = CLIPImageProcessorPil.from_pretrained(weights), CLIPModel.from_pretrained(weights).eval()
    rows = []
    for picture in pictures:
        inputs = processor(Image.fromarray(picture), return_tensors="pt", **how)
        with torch.no_grad():
            rows.append(F.normalize(model.get_image_features(**inputs).pooler_output)[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("framing", ["crop", "squash"])
def test_images_equal_transformers_own_processor_and_model(clip, weights, pictures, framing):
    squash = {"do_center_crop": False, "size": {"height": SIDE, "width": SIDE}}
    expected = by_transformers(weights, pictures, **(squash if framing == "squash" else {}))
    found = clip.images(pictures, framing)
    assert found.shape == (5, 16) and found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected[0] - expected[1]).max() > 0.05  # pictures matter to this network


def test_framings_are_three_different_things(clip, pictures):
    squash, crop, plain = (clip.images(pictures[:2], framing) for framing in ("squash", "crop", "interpolate"))
    assert np.array_equal(squash, clip.images(pictures[:2]))  # the default
    for one, other in ((squash, crop), (squash, plain), (crop, plain)):
        assert np.abs(one - other).max() > 1e-3


def test_interpolation_is_bicubic_of_floats_without_antialiasing(pictures):
    given = torch.from_numpy(pictures[0]).permute(2, 0, 1)[None] / 255
    expected = F.interpolate(given, size=(SIDE, SIDE), mode="bicubic", align_corners=False)[0].permute(1, 2, 0)
    assert np.allclose(framed(pictures[0], SIDE, "interpolate"), expected.numpy(), atol=1e-6)


def test_texts_equal_transformers_own_tokenizer_and_model(clip, weights):
    from transformers import CLIPModel, CLIPTokenizer

    tokenizer, model = CLIPTokenizer.from_pretrained(weights), CLIPModel.from_pretrained(weights).eval()
    rows = []
    for sentence in SENTENCES:
        tokens = tokenizer([sentence], truncation=True, max_length=77, return_tensors="pt")
        with torch.no_grad():
            rows.append(F.normalize(model.get_text_features(**tokens).pooler_output)[0].numpy())
    found = clip.texts(SENTENCES)
    assert found.shape == (3, 16) and np.abs(found - np.stack(rows)).max() < 1e-5
    assert np.abs(found[0] - found[1]).max() > 0.05  # words matter to this network


def test_embeddings_have_length_one_and_do_not_depend_on_the_batch(clip, pictures):
    found = clip.images(pictures)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.allclose(np.linalg.norm(clip.texts(SENTENCES), axis=1), 1, atol=1e-6)
    assert np.abs(found[3] - clip.images([pictures[3]])[0]).max() < 1e-5


def test_nothing_gives_no_rows(clip):
    assert clip.images([]).shape == clip.texts([]).shape == (0, 16)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_picture_is_refused(clip, wrong):
    with pytest.raises(InputError, match="uint8"):
        clip.images([wrong])


def test_memory_that_runs_out_halves_the_batch_and_then_fails_in_our_words(weights, pictures, monkeypatch):
    tight = Clip(ClipKnobs(model=str(weights), device="cpu", batch_size=4))
    expected = tight.images(pictures)
    real, limit = tight._loaded.model.vision_model.forward, [1]

    def short(pixel_values):
        if len(pixel_values) > limit[0]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(pixel_values=pixel_values)

    monkeypatch.setattr(tight._loaded.model.vision_model, "forward", short)
    assert np.abs(tight.images(pictures) - expected).max() < 1e-5
    limit[0] = 0
    with pytest.raises(BackendError, match="out of memory"):
        tight.images(pictures)


@pytest.mark.parametrize("tensor", ["visual_projection.weight", "text_model.encoder.layers.1.mlp.fc1.weight"])
def test_partial_weights_are_refused_by_name(weights, tmp_path, tensor):
    broken = Path(shutil.copytree(weights, tmp_path / "clip"))
    without(broken / "model.safetensors", tensor)
    with pytest.raises(InputError, match=tensor):
        Clip(ClipKnobs(model=str(broken), device="cpu")).setup()


def test_other_damage_is_named_on_one_line(weights, tmp_path):
    broken = Path(shutil.copytree(weights, tmp_path / "clip"))
    cut(broken / "model.safetensors")
    with pytest.raises(InputError, match="cannot load CLIP") as caught:
        Clip(ClipKnobs(model=str(broken), device="cpu")).setup()
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="nowhere"):
        Clip(ClipKnobs(model="nowhere/at/all", device="cpu")).setup()
    with pytest.raises(ConfigError, match="float8"):
        Clip(ClipKnobs(model=str(weights), device="cpu", dtype="float8")).setup()


def test_files_of_old_with_their_buffers_load(clip, weights, tmp_path, pictures):
    """The public files of 2021 hold position_ids, which are no weights."""
    from safetensors.torch import load_file, save_file

    old = Path(shutil.copytree(weights, tmp_path / "clip"))
    tensors = load_file(old / "model.safetensors")
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(tensors, old / "model.safetensors", {"format": "pt"})
    again = Clip(ClipKnobs(model=str(old), device="cpu", batch_size=2))
    assert np.array_equal(again.images(pictures), clip.images(pictures))
    assert np.array_equal(again.texts(SENTENCES), clip.texts(SENTENCES))


def test_half_precision_is_close_and_still_of_length_one(clip, weights, pictures):
    half = Clip(ClipKnobs(model=str(weights), device="cpu", dtype="bfloat16"))
    assert cosine(half.images(pictures), clip.images(pictures)).min() > 0.98
    assert np.allclose(np.linalg.norm(half.texts(SENTENCES), axis=1), 1, atol=1e-6)


def test_it_pickles_without_its_weights(clip, pictures):
    expected = clip.images(pictures)
    data = pickle.dumps(clip)
    assert len(data) < 2000
    again = pickle.loads(data)  # noqa: S301  # our own
    assert np.array_equal(again.images(pictures), expected)


def test_released_weights_load_again(weights, pictures):
    made = Clip(ClipKnobs(model=str(weights), device="cpu"))
    expected = made.images(pictures)
    made.release()
    assert made._loaded is None
    assert np.array_equal(made.images(pictures), expected)


def test_the_engine_names_the_weights(clip, weights, tmp_path):
    other = Path(shutil.copytree(weights, tmp_path / "clip"))
    assert clip.engine().startswith(f"{Path(weights).name}@")
    copied = Clip(ClipKnobs(model=str(other)))
    assert copied.engine().split("@")[1] == clip.engine().split("@")[1]
    without(other / "model.safetensors", "visual_projection.weight")
    assert copied.engine().split("@")[1] != clip.engine().split("@")[1]


# --- measures, by hand -----------------------------------------------------------------------------------------------


def test_cosine_by_hand():
    one, other = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[4.0, 3.0], [-2.0, 0.0]])
    assert np.allclose(cosine(one, other), [24 / 25, -1])
    assert np.allclose(cosine(one, np.array([1.0, 0.0])), [0.6, 1])  # one row against many
    assert cosine(np.zeros((1, 2)), one[:1]) == 0
    assert np.isnan(cosine(np.array([[np.nan, 1.0]]), one[:1])).all()  # what is not known is not nought


def test_direction_by_hand():
    before, after = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.8, 0.6]])
    said, then = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    # (-1, 1) . (-1, 1) / 2, and (-0.2, 0.6) . (-1, 1) / (sqrt(0.4) sqrt(2))
    assert np.allclose(direction(before, after, said, then), [1, 0.8 / np.sqrt(0.8)])
    assert np.allclose(direction(before, after, then, said), [-1, -0.8 / np.sqrt(0.8)])


def test_a_picture_or_caption_that_did_not_change_has_no_direction():
    here, there = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert direction(here, here, here[0], there[0]) == direction(here, there, here[0], here[0]) == 0


def test_clip_score_is_not_the_raw_cosine():
    image, text = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[0.6, 0.8], [0.6, 0.8]])
    assert np.allclose(cosine(image, text), [0.6, -0.6])
    assert np.allclose(clip_score(image, text), [1.5, 0])
    assert np.allclose(clip_score(image, text, weight=100), [60, 0])
    assert PREFIX == "A photo depicts "


def test_pair_scores_are_those_of_the_parts(clip, pictures):
    wide = [np.asarray(Image.fromarray(picture).resize((40, 40))) for picture in pictures[:4]]
    pairs = np.stack([np.stack(wide[:2]), np.stack(wide[2:])])  # (2, 2, 40, 40, 3)
    scores = pair_scores(clip, pairs, *SENTENCES[:2], framing="squash")
    published = pair_scores(clip, pairs, *SENTENCES[:2])
    assert np.allclose(published.before[0], clip.images(wide[:1], "interpolate")[0] @ clip.texts(SENTENCES[:1])[0])
    assert np.abs(published.image - scores.image).max() > 1e-4
    shown, said = clip.images(wide), clip.texts(SENTENCES[:2])
    for place, (one, other) in enumerate(((0, 1), (2, 3))):
        assert scores.before[place] == pytest.approx(float(shown[one] @ said[0]), abs=1e-5)
        assert scores.after[place] == pytest.approx(float(shown[other] @ said[1]), abs=1e-5)
        assert scores.image[place] == pytest.approx(float(shown[one] @ shown[other]), abs=1e-5)
        moved, meant = shown[other] - shown[one], said[1] - said[0]
        expected = moved @ meant / np.linalg.norm(moved) / np.linalg.norm(meant)
        assert scores.direction[place] == pytest.approx(float(expected), abs=1e-4)
