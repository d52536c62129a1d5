"""The small model without torch: equal to the pipeline with torch, honest about what it does not know."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from insightedit.app.pack import measured, merged, write_domain
from insightedit.core.errors import InputError
from insightedit.core.files import shipped
from insightedit.editors.light import LightPipeline, LightTokenizer, Noise
from insightedit.editors.scenes import DOMAIN, Domain, as_taught, words_of
from insightedit.editors.table import make
from insightedit.model.pipeline import InsightEditPipeline, from_preset
from insightedit.scenes.exam import questions
from insightedit.scenes.render import render_pair


@pytest.fixture(scope="module")
def pipeline() -> InsightEditPipeline:
    """Random weights, adapters merged; heads that start at zero speak, or a fault behind them would stay silent."""
    found = from_preset("scenes", seed=3)
    torch.manual_seed(3)
    with torch.no_grad():
        for part in (found.bridge, found.image_attention, found.comprehension):
            for name, weight in part.named_parameters():
                if "lora_B" in name or not weight.any():
                    weight.normal_(std=0.05)
    found.register_modules(comprehension=merged(found.comprehension))
    found.set_progress_bar_config(disable=True)
    return found


@pytest.fixture(scope="module")
def packed(pipeline, tmp_path_factory) -> Path:
    """A folder as `insightedit train-small` leaves it; the graphs are the shipped ones, which hold no weights."""
    folder = tmp_path_factory.mktemp("packed") / "scenes"
    pipeline.save_pretrained(folder)
    shutil.copytree(shipped("weights/scenes/graphs"), folder / "graphs")
    domain = measured(LightPipeline(folder), scenes=90, worded=150)
    (folder / DOMAIN).mkdir()
    write_domain(domain, folder / DOMAIN)
    return folder


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return render_pair(questions(1, seed=5)[0].pair, 64).before.image


def test_without_torch_the_picture_is_the_same(pipeline, packed, scene, monkeypatch):
    light = LightPipeline(packed)
    noise = light.draw(7)
    monkeypatch.setattr("insightedit.model.pipeline.randn_tensor", lambda *_, **__: torch.tensor(noise).float())
    for size, text in (((64, 64), "remove the red cube"), ((90, 50), "add a big blue metal sphere behind the cone")):
        image = Image.fromarray(scene).resize(size)
        wanted = np.asarray(pipeline(image, text, num_inference_steps=4).images[0]).astype(int)
        conditions, _ = light.comprehend(image, text)
        found = np.asarray(light.paint(image, conditions, noise, steps=4)).astype(int)
        assert np.abs(found - wanted).max() <= 1 and np.abs(wanted - np.asarray(image)).max() > 8


def test_conditions_are_those_of_the_pipeline(pipeline, packed, scene):
    from insightedit.model.request import Group
    from insightedit.model.tokens import sequence

    light, image, text = LightPipeline(packed), Image.fromarray(scene), "turn the small cone yellow"
    mllm = pipeline.comprehension
    tokens = sequence(pipeline.tokenizer, text, mllm.special, mllm.eye.grid**2, mllm.sizes.max_text, mllm.prompt)
    with torch.no_grad():
        wanted, _ = pipeline.comprehend(Group([0], [image], [tokens], [torch.Generator()], (64, 64)))
    found, _ = light.comprehend(image, text)
    for name in ("text", "residual", "image"):
        np.testing.assert_allclose(found[name], getattr(wanted, name).numpy(), atol=2e-5)
    assert np.abs(found["residual"]).max() > 0.01


def test_the_tokenizer_gives_the_same_ids(pipeline, packed):
    ours = LightTokenizer(packed / "tokenizer" / "tokenizer.json")
    for text in ("remove the red cube", "Grüße <mm> </s> <s> ☃", "what is it? then put a cone", "a  b\tc"):
        wanted = pipeline.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert ours(text).input_ids == wanted


@pytest.mark.parametrize("steps", [1, 3, 10, 50])
def test_the_schedule_is_diffusers(pipeline, steps):
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(steps)
    ours, draw = Noise.of(dict(scheduler.config)), np.random.default_rng(0)
    assert ours.timesteps(steps).tolist() == scheduler.timesteps.tolist()
    noisy, clean = draw.standard_normal((2, 1, 3, 4, 4))
    for t in ours.timesteps(steps):
        wanted = scheduler.step(torch.tensor(clean), int(t), torch.tensor(noisy)).prev_sample.numpy()
        np.testing.assert_allclose(ours.step(clean, int(t), noisy, steps), wanted, atol=1e-5)


def test_another_schedule_is_refused(pipeline):
    with pytest.raises(InputError, match="clip_sample"):
        Noise.of(dict(pipeline.scheduler.config) | {"clip_sample": True})


def test_one_seed_gives_one_picture_of_the_size_that_came_in(packed, scene):
    editor = make("scenes", model=str(packed), steps=2)
    told = []
    editor.on_step = lambda done, of: told.append((done, of))
    wide = np.asarray(Image.fromarray(scene).resize((100, 80)))
    first, again, other = (editor.edit(wide, "Remove the red cube.", seed) for seed in (1, 1, 2))
    assert first.shape == wide.shape and np.array_equal(first, again) and not np.array_equal(first, other)
    assert told[:2] == [(1, 2), (2, 2)]


def test_a_scene_raises_no_doubt(packed):
    editor = make("scenes", model=str(packed))
    for one in questions(12, seed=9):
        assert editor.doubts(render_pair(one.pair, 64).before.image, one.text) == []


def test_a_picture_far_from_the_domain_does(packed, tmp_path, scene):
    folder = tmp_path / "copy"
    shutil.copytree(packed, folder)
    about = json.loads((folder / DOMAIN / "domain.json").read_text())
    (folder / DOMAIN / "domain.json").write_text(json.dumps(about | {"limit": 0.01}))
    (doubt,) = make("scenes", model=str(folder)).doubts(scene, "remove the red cube")
    assert "unlike the rendered scenes" in doubt


def test_words_that_it_never_read_are_named(packed, scene, caplog):
    editor = make("scenes", model=str(packed), steps=1)
    (doubt,) = editor.doubts(scene, "Remove the red cubes and the dragon")
    assert "'cubes', 'dragon'" in doubt or ("'cubes'" in doubt and "'dragon'" in doubt)
    assert "did you mean 'cube'" in doubt
    editor.edit(scene, "give it a hat")
    assert "never read" in caplog.text and "'hat'" in caplog.text


def test_an_instruction_is_put_as_it_was_taught():
    assert as_taught("  Recolour the GREY cube   to red. ") == "recolor the gray cube to red"
    assert as_taught("What is it? Paint it grey!") == "what is it? paint it gray"
    assert words_of("put it, then: don't") == ["put", "it", "then", "don", "t"]


def test_a_domain_comes_back_from_disk(packed):
    domain = Domain.read(packed / DOMAIN)
    assert domain.distance(domain.mean) == 0 and domain.limit > 0.5
    assert {"remove", "sphere", "the", "behind"} <= domain.words


@pytest.mark.parametrize(
    "lost", ["graphs/denoise.onnx", "unet/diffusion_pytorch_model.safetensors", "domain/domain.json"]
)
def test_a_missing_file_is_named(packed, tmp_path, scene, lost):
    folder = tmp_path / "copy"
    shutil.copytree(packed, folder)
    (folder / lost).unlink()
    with pytest.raises(InputError, match=Path(lost).name.split(".")[0]):
        make("scenes", model=str(folder)).edit(scene, "remove the red cube")


def test_weights_of_another_model_are_refused(packed, tmp_path, scene):
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "copy"
    shutil.copytree(packed, folder)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :-1].copy()
    save_file(weights, path)
    with pytest.raises(InputError, match="does not fit its weights"):
        make("scenes", model=str(folder)).edit(scene, "remove the red cube")


def test_the_command_needs_no_torch(packed, tmp_path, scene):
    Image.fromarray(scene).save(tmp_path / "scene.png")
    code = f"""
import sys
sys.modules["torch"] = sys.modules["diffusers"] = sys.modules["transformers"] = None  # importing them fails
from insightedit.app.cli.main import app
sys.argv = ["insightedit", "edit", {str(tmp_path / "scene.png")!r}, "remove the red cube", "--editor", "scenes",
            "--model", {str(packed)!r}, "--out", {str(tmp_path / "out.png")!r}, "--json"]
app()
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["editor"] == "scenes"
    assert Image.open(tmp_path / "out.png").size == (64, 64)
