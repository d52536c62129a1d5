"""The plan counts what the run does, without loading it."""

import unittest.mock

import pytest
import torch
from train_toys import Toys, goals, settings

from insightedit.core.errors import InputError
from insightedit.model.pipeline import from_preset
from insightedit.train.loop import Run
from insightedit.train.plan import plan
from insightedit.train.stages import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_the_plan_s_groups_are_those_that_the_run_opens(tmp_path, stage):
    config = settings(stage, updates=1)
    run = Run(config, Toys(captions=stage == "align"), tmp_path, goals=goals)
    told = plan(config)
    assert sum(count for count, learns in told.groups.values() if learns) == sum(p.numel() for p in run.named.values())
    assert sum(count for count, _ in told.groups.values()) == sum(p.numel() for p in run.editor.parameters())
    assert told.gradients == 4 * sum(p.numel() for p in run.named.values()) and told.optimiser == 2 * told.gradients


def test_seven_billion_parameters_are_planned_on_the_meta_device():
    told = plan(settings("joint", start="insightedit-7b", precision="bf16", resolution=256, batch=2), processes=8)
    assert told.groups["language"] == (6_738_415_616, False) and told.groups["lora"] == (4_194_304, True)
    assert told.groups["unet"] == (859_532_484, True) and told.groups["image_attention"] == (19_169_280, True)
    assert told.samples_per_update == 16
    assert 25e9 < told.total < 80e9


def test_more_samples_more_pixels_and_no_checkpointing_keep_more_activations():
    small = plan(settings()).activations
    assert plan(settings(batch=4)).activations == pytest.approx(2 * small, rel=0.05)
    assert plan(settings(resolution=128)).activations > 1.5 * small
    assert plan(settings(checkpointing=True)).activations < small
    assert plan(settings(precision="bf16")).activations == small // 2


def test_activations_are_what_a_real_forward_keeps():
    from insightedit.train import plan as module

    config = settings(batch=3)
    on_meta = plan(config).activations
    pipeline = from_preset("tiny")
    parts = module.Parts(pipeline.comprehension, pipeline.bridge, pipeline.image_attention, pipeline.unet, pipeline.vae)
    run = module.InsightEdit(parts)
    module.open_groups(run, STAGES["joint"])
    real = torch.device("cpu")
    original, module.torch.device = module.torch.device, lambda name: real
    try:
        with unittest.mock.patch.object(module, "patch"):  # torch's own attention
            assert module._activations(parts, config) == pytest.approx(on_meta, rel=0.1)
    finally:
        module.torch.device = original


def test_a_folder_is_planned_by_its_configurations(tmp_path):
    pipeline = from_preset("tiny")
    pipeline.save_pretrained(tmp_path)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    assert plan(settings(start=str(tmp_path))) == plan(settings())
    with pytest.raises(InputError, match="no preset and no pipeline"):
        plan(settings(start=str(tmp_path / "nothing")))
