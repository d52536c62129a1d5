"""InsightEdit and SmartEdit through the real pipeline at the tiny preset."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tiny_pipelines import without

from insightedit.core.errors import ConfigError, InputError
from insightedit.editors.editor import Editor
from insightedit.editors.table import make

QUICK = {"steps": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tiny preset as a checkpoint on disk; its image branch speaks, so that switching it off is seen."""
    import torch

    from insightedit.model.pipeline import from_preset

    pipe = from_preset("tiny", 0)
    with torch.no_grad():
        for weight in pipe.image_attention.parameters():
            weight.normal_()
    path = tmp_path_factory.mktemp("weights") / "tiny"
    pipe.save_pretrained(path)
    return path


@pytest.mark.parametrize("name", ["insightedit", "smartedit"])
def test_the_tiny_model_edits_and_warns_that_it_is_untrained(name, photo, caplog):
    editor = make(name, model="tiny", **QUICK | {"resolution": 64})
    seen = []
    editor.on_step = lambda done, of: seen.append((done, of))
    first, again, other = (editor.edit(photo, "make it red", seed) for seed in (1, 1, 2))
    assert first.shape == photo.shape and np.array_equal(first, again) and not np.array_equal(first, other)
    assert seen[:2] == [(1, 2), (2, 2)]
    assert caplog.text.count("untrained") == 1


@pytest.mark.parametrize("name", ["insightedit", "smartedit"])
def test_without_a_model_it_says_where_to_get_one(name):
    for ask in (Editor.setup, Editor.fingerprint):
        with pytest.raises(ConfigError, match="--model tiny"):
            ask(make(name))


def test_a_checkpoint_on_disk_is_the_pipeline_itself(folder, photo):
    import torch
    from PIL import Image

    from insightedit.model.pipeline import InsightEditPipeline

    pipe = InsightEditPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    seeded = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(3)}
    expected = np.asarray(pipe(Image.fromarray(photo), "make it red", image_branch_scale=0.5, **seeded).images[0])
    editor = make("insightedit", model=str(folder), image_branch_scale=0.5, **QUICK)
    assert np.array_equal(editor.edit(photo, "make it red", 3), expected)


def test_smartedit_squashes_and_leaves_the_image_branch_out(folder, photo):
    smart = make("smartedit", model=str(folder), resolution=64, **QUICK)
    silent = make("insightedit", model=str(folder), resolution=64, image_branch_scale=0, **QUICK)
    loud = make("insightedit", model=str(folder), resolution=64, **QUICK)
    square = np.ascontiguousarray(photo[:, :70])
    assert np.array_equal(smart.edit(square, "make it red"), silent.edit(square, "make it red"))
    assert not np.array_equal(smart.edit(square, "make it red"), loud.edit(square, "make it red"))
    assert not np.array_equal(smart.edit(photo, "make it red"), silent.edit(photo, "make it red"))  # 100 x 70: squashed
    with pytest.raises(ConfigError, match="image_branch_scale"):
        make("smartedit", image_branch_scale=1.0)


@pytest.mark.parametrize("part", ["bridge", "comprehension", "image_attention", "unet"])
def test_partial_weights_are_refused(folder, tmp_path, part):
    from safetensors import safe_open

    copied = shutil.copytree(folder, tmp_path / "copy")
    (file,) = (copied / part).glob("*.safetensors")
    with safe_open(file, "pt") as handle:
        tensor = sorted(handle.keys())[0]
    without(file, tensor)
    with pytest.raises(InputError, match="partial") as caught:
        make("insightedit", model=str(copied), **QUICK).setup()
    assert tensor in str(caught.value)


def test_a_fingerprint_tells_presets_from_folders_and_settings(folder):
    marks = {
        make("insightedit", model="tiny").fingerprint(),
        make("insightedit", model=str(folder)).fingerprint(),
        make("insightedit", model=str(folder), image_branch_scale=0.5).fingerprint(),
        make("smartedit", model=str(folder)).fingerprint(),
    }
    assert len(marks) == 4
