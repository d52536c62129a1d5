"""Scoring as a whole: the networks behind a profile, batches and processes, and what a broken sample costs."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from draws import Draw, drawn
from PIL import Image
from tiny_eyes import SIDE, clip_folder, dino_folder, trunk_folder

from insightedit.core.errors import BackendError, InputError
from insightedit.metrics import embed
from insightedit.metrics import score as scoring
from insightedit.metrics.clip import Clip, ClipKnobs, centred
from insightedit.metrics.dino import MEAN, STD, Dino, DinoKnobs
from insightedit.metrics.lpips import LpipsKnobs
from insightedit.metrics.networks import NetworkKnobs, Networks
from insightedit.metrics.outcome import Status, status_of
from insightedit.metrics.profile import get
from insightedit.metrics.score import score, score_all
from insightedit.metrics.view import prepare


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> NetworkKnobs:
    folder = tmp_path_factory.mktemp("networks")
    clip = ClipKnobs(model=str(clip_folder(folder / "clip")), device="cpu", batch_size=3)
    dino = DinoKnobs(model=str(dino_folder(folder / "dino")), device="cpu", batch_size=3)
    lpips = LpipsKnobs(trunk=trunk_folder(folder / "trunks", "squeeze"))
    return NetworkKnobs(lpips=lpips, clip_large=clip, clip_base=clip, dino=dino)


@pytest.fixture(scope="module")
def networks(settings) -> Networks:
    return Networks(settings)


# --- networks --------------------------------------------------------------------------------------------------------


def test_smartedit_s_clip_score_is_of_the_crop_of_the_squashed_picture(networks, settings):
    sample = drawn(3)
    found = score(get("smartedit_2023"), sample, networks)
    assert status_of(found) == Status.OK and list(found) == list(get("smartedit_2023").metrics)
    clip, view = Clip(settings.clip_large), prepare(get("smartedit_2023"), sample)
    left, top, right, bottom = view.crop_box
    crop = np.asarray(Image.fromarray(sample.edited).resize((256, 256), Image.Resampling.BICUBIC))[
        top:bottom, left:right
    ]
    cosine = float(clip.images([crop], "crop")[0] @ clip.texts(["a red ball"])[0])
    assert found["clip_score_crop"].value == pytest.approx(max(0, 100 * cosine), abs=1e-3)


def test_magicbrush_compares_the_pictures_as_they_came_with_the_target(networks, settings):
    sample = replace(drawn(1), edited=drawn(2).edited)  # of another size than the target
    found = score(get("magicbrush"), sample, networks)
    clip, dino = Clip(settings.clip_base), Dino(settings.dino)
    edited, target = clip.images([sample.edited, sample.target], "openai")
    assert found["clip_i"].value == pytest.approx(float(edited @ target), abs=1e-5)
    assert found["clip_t"].value == pytest.approx(float(edited @ clip.texts(["a red ball"])[0]), abs=1e-5)
    first, second = dino.images([sample.edited, sample.target])
    assert found["dino"].value == pytest.approx(float(first @ second), abs=1e-5)


def test_clip_direction_takes_both_captions(networks, settings):
    sample = drawn(4)
    found = score(get("instruct_pix2pix"), sample, networks)
    clip = Clip(settings.clip_large)
    before, after = clip.images([sample.source, sample.edited], "interpolate")
    said, then = clip.texts(["a cat", "a blue dog"])
    moved, wished = after - before, then - said
    by_hand = moved @ wished / np.linalg.norm(moved) / np.linalg.norm(wished)
    assert found["clip_direction"].value == pytest.approx(float(by_hand), abs=1e-4)
    assert found["clip_image"].value == pytest.approx(float(before @ after), abs=1e-5)
    assert found["clip_caption"].value == pytest.approx(float(after @ then), abs=1e-5)
    mute = score(get("instruct_pix2pix"), replace(sample, caption_source=None), networks)
    assert mute["clip_direction"].status == Status.MISSING_TEXT and mute["clip_direction"].why == "caption_source"
    assert mute["clip_image"].status == mute["clip_caption"].status == Status.OK


def test_dino_sees_the_centre_of_a_larger_square_as_torchvision_cuts_it(settings):
    from transformers import ViTModel

    picture = drawn(5).edited
    short = round(SIDE * 256 / 224)
    height, width = picture.shape[:2]
    size = (int(short * width / height), short)
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    left, top = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
    cut = resized[top : top + SIDE, left : left + SIDE] / np.float32(255)
    model = ViTModel.from_pretrained(settings.dino.model, add_pooling_layer=False).eval()
    pixels = torch.from_numpy((cut - MEAN) / STD).permute(2, 0, 1)[None]
    with torch.no_grad():
        token = model(pixel_values=pixels.float()).last_hidden_state[0, 0].numpy()
    found = Dino(settings.dino).images([picture, picture[::-1].copy()])
    assert found.shape == (2, 32) and np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert found[0] == pytest.approx(token / np.linalg.norm(token), abs=1e-5)
    assert Dino(settings.dino).images([]).shape == (0, 32)


def test_halves_of_a_pixel_round_as_in_torchvision():
    picture = np.zeros((8, 11, 3), np.uint8)
    picture[:, 2] = 255
    cut = centred(picture, 8, 8)  # (11 - 8) / 2 = 1.5 rounds to 2, where transformers takes 1
    assert cut.shape == (8, 8, 3) and (cut[:, 0] == 1).all() and (cut[:, 1:] == 0).all()


def test_a_partial_dino_is_refused(settings, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "dino"
    folder.mkdir()
    weights = load_file(Path(settings.dino.model) / "model.safetensors")
    lost = next(name for name in weights if "encoder" in name and name.endswith("weight"))
    save_file({name: weight for name, weight in weights.items() if name != lost}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    (folder / "config.json").write_bytes((Path(settings.dino.model) / "config.json").read_bytes())
    with pytest.raises(InputError, match="missing"):
        Dino(DinoKnobs(model=str(folder), device="cpu")).setup()


def test_networks_that_cannot_be_had_leave_the_rest(settings, tmp_path):
    without = Networks(settings.model_copy(update={"clip_base": ClipKnobs(model=str(tmp_path / "none"), device="cpu")}))
    found = score(get("magicbrush"), drawn(1), without)
    assert found["l1"].status == found["dino"].status == Status.OK
    assert found["clip_i"].status == found["clip_t"].status == Status.UNAVAILABLE and "none" in found["clip_i"].why
    engines = without.engines(get("magicbrush").metrics)
    assert "@" in engines["dino"] and engines["clip_base"].startswith("unavailable")


def test_networks_pickle_without_their_weights(networks):
    networks.eye("clip_large")
    assert len(pickle.dumps(networks)) < 3000


# --- many ------------------------------------------------------------------------------------------------------------


def test_a_batch_equals_its_samples_whatever_its_size(networks, monkeypatch):
    profile = get("magicbrush")
    alone = [score(profile, drawn(seed), networks) for seed in range(5)]
    for batch in (1, 2, 64):
        monkeypatch.setattr(scoring, "BATCH", batch)
        together = list(score_all(profile, [Draw(seed) for seed in range(5)], networks))
        for one, other in zip(alone, together, strict=True):
            assert list(one) == list(other)
            for metric in one:
                assert one[metric].value == pytest.approx(other[metric].value, abs=1e-5)


def test_every_picture_is_embedded_once_for_all_metrics(networks, monkeypatch):
    seen = []
    monkeypatch.setattr(embed.Clip, "images", counted(embed.Clip.images, seen))
    list(score_all(get("magicbrush"), [Draw(seed) for seed in range(4)], networks))
    assert seen == [4, 4]  # edited and target; CLIP-I and CLIP-T share the edited


def counted(images, seen):
    def counting(clip, pictures, framing=None):
        seen.append(len(pictures))
        return images(clip, pictures, framing)

    return counting


def test_broken_samples_are_named_and_the_rest_is_scored(networks):
    loaders = [Draw(0), Draw(1, "unreadable"), Draw(2, "missing"), Draw(3)]
    found = list(score_all(get("smartedit_tm19"), loaders, networks))
    assert [status_of(one) for one in found] == ["ok", "unreadable", "missing_output", "ok"]
    assert "7.png" in found[1]["psnr_masked"].why and found[1]["clip_score_crop"].value is None


def test_a_metric_that_does_not_apply_is_said_so(networks):
    sample = replace(drawn(0), clip_text=None, not_applicable=frozenset({"clip_score_crop"}))
    found = score(get("smartedit_tm19"), sample, networks)
    assert found["clip_score_crop"].status == Status.NOT_APPLICABLE and status_of(found) == Status.OK


def test_worker_processes_give_what_one_process_gives(networks):
    smartedit = get("smartedit_tm19")
    same_in_workers(replace(smartedit, metrics=tuple(m for m in smartedit.metrics if "lpips" not in m)), networks)


@pytest.mark.slow
def test_worker_processes_load_their_own_lpips(networks):
    same_in_workers(get("smartedit_tm19"), networks)


def same_in_workers(profile, networks):
    loaders = [Draw(seed, "unreadable" if seed == 4 else "") for seed in range(9)]
    here, spread = (list(score_all(profile, loaders, networks, workers)) for workers in (0, 2))
    assert [status_of(one) for one in here] == [status_of(one) for one in spread]
    for one, other in zip(here, spread, strict=True):
        for metric, outcome in one.items():
            same = outcome.value is None and other[metric].value is None
            assert same or outcome.value == pytest.approx(other[metric].value, abs=1e-5)


def test_a_worker_that_dies_is_an_error_with_a_mend(networks):
    with pytest.raises(BackendError, match="--workers 0"):
        list(score_all(get("background_strict"), [Draw(0), Draw(1, "dies")], networks, workers=1))
