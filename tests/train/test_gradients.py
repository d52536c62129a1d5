"""Exactly the parameters of a stage get a gradient, and half precision halves only what never learns."""

import pytest
import torch
from accelerate.state import AcceleratorState
from train_toys import Toys, goals, settings

from insightedit.model.editor import GROUPS, group_of
from insightedit.train.loop import Run
from insightedit.train.plan import plan
from insightedit.train.stages import STAGES


@pytest.fixture(autouse=True)
def fresh():
    """accelerate keeps the first precision that a process asked for."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


PAPER = ("align", "image_align", "joint")


@pytest.mark.parametrize("stage", PAPER)
def test_exactly_the_groups_of_a_stage_get_gradients(tmp_path, stage):
    run = Run(settings(stage), Toys(captions=stage == "align"), tmp_path, goals=goals)
    run._mode()
    run._backward(next(run._data()))
    graded = {name for name, p in run.editor.named_parameters() if p.grad is not None}
    assert {group_of(name) for name in graded} == set(STAGES[stage].groups)
    assert graded <= set(run.named)
    idle = {name for name in run.named if name not in graded}
    assert all("mask" in name for name in idle), idle  # the head that only rendered scenes train


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_weights_take_the_bytes_that_the_plan_says(tmp_path, precision):
    config = settings("joint", precision=precision, updates=1)
    run = Run(config, Toys(), tmp_path, goals=goals)
    held = sum(p.numel() * p.element_size() for p in run.editor.parameters())
    assert held == plan(config).weights
    halved = {group_of(name) for name, p in run.editor.named_parameters() if p.dtype == torch.bfloat16}
    assert halved == ({"language"} if precision == "bf16" else set())
    assert set(GROUPS) >= halved
    run.train()


def test_each_way_of_sharing_takes_less_than_the_one_before():
    told = plan(settings("joint", precision="bf16", ema=0.9), processes=8)
    together = {way: sum(told.shared(way).values()) for way in ("ddp", "zero2", "fsdp")}
    assert together["zero2"] < together["ddp"] == told.total
    fsdp, ddp = told.shared("fsdp"), told.shared("ddp")
    assert all(fsdp[name] == ddp[name] // 8 for name in ("weights", "gradients", "optimiser", "average"))
    assert fsdp["activations"] == ddp["activations"] and 0 < fsdp["gathered"] <= told.weights
