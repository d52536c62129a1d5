"""Training runs, continues bit-equal, stops on bad numbers, and leaves a pipeline that edits."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from train_toys import CONFIG, Toys, goals, settings

from insightedit.core.errors import BackendError, ConfigError
from insightedit.model.pipeline import InsightEditPipeline, from_config
from insightedit.train import checkpoint
from insightedit.train.loop import Run
from insightedit.train.stages import STAGES

POINTING = replace(CONFIG, bim=replace(CONFIG.bim, mask=True))  # with the head that tells where the edit will be


def run(out, config=None, source=None, **options) -> Run:
    one = Run(config or settings(), source or Toys(), out, goals=goals, **options)
    one.pipeline.set_progress_bar_config(disable=True)
    return one


def log(out) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(one: Run) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in one.named.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_the_loss_of_a_fixed_batch_falls_in_every_stage(tmp_path, stage):
    drops = {"text": 0, "both": 0, "image": 0, "branch": 0}
    config = settings(stage, updates=14, save_every=100, drops=drops, optim={"rates": {"default": 3e-3}})
    one = run(tmp_path, config, Toys(period=2, captions=stage == "align"), pipeline=from_config(POINTING))
    draws = one._draws
    one._draws = lambda part: draws(part) if not part.places else draws(type(part)(part.tensors, [0, 1], {}))
    one.train()
    lines = log(tmp_path)
    assert set(STAGES[stage].losses) <= set(lines[0])
    for name in STAGES[stage].losses:
        assert lines[-1][name] < lines[0][name], name


def test_a_killed_run_continues_bit_equal(tmp_path):
    config = settings(updates=6, save_every=2, ema=0.9, accumulation=2)
    whole = run(tmp_path / "whole", config)
    whole.train()

    cut = run(tmp_path / "cut", config)

    def kill() -> None:
        if cut.position.updates == 5:  # the checkpoint stands at 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.train(kill)
    again = run(tmp_path / "cut", config)
    assert again.position.updates == 4
    again.train()
    assert [line["total"] for line in log(tmp_path / "cut")] == [line["total"] for line in log(tmp_path / "whole")]
    ours, theirs = (checkpoint.load(checkpoint.found(tmp_path / name / "checkpoints")[-1]) for name in ("cut", "whole"))
    assert ours[0] == theirs[0]
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        assert mine.keys() == other.keys() and mine
        assert all(torch.equal(value, other[name]) for name, value in mine.items())


def test_only_the_stage_s_parameters_move(tmp_path):
    one = run(tmp_path, settings("image_align", updates=2))
    before = {name: p.detach().clone() for name, p in one.editor.named_parameters()}
    one.train()
    moved = {name for name, p in one.editor.named_parameters() if not torch.equal(p, before[name])}
    assert moved and moved <= set(one.named)


def test_the_last_checkpoints_are_kept_and_hold_only_what_learns(tmp_path):
    one = run(tmp_path, settings("align", updates=5, save_every=1, keep=2), Toys(captions=True))
    one.train()
    whole = checkpoint.found(tmp_path / "checkpoints")
    assert [path.name for path in whole] == ["update-00000004", "update-00000005"]
    _, saved, optimiser, average = checkpoint.load(whole[-1])
    assert set(saved) == set(one.named) and not average
    assert {name.rpartition("|")[0] for name in optimiser} <= set(saved)
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_the_trained_pipeline_edits_and_has_a_stock_unet(tmp_path):
    folder = run(tmp_path, settings(updates=1)).train()
    pipeline = InsightEditPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    out = pipeline(Image.new("RGB", (64, 64), "red"), "make it blue", num_inference_steps=1)
    assert out.images[0].size == (64, 64)
    assert not any("processor" in name for name in pipeline.unet.state_dict())


def test_what_could_not_be_used_is_told_with_its_reason(tmp_path):
    run(tmp_path, settings("align", updates=3, log_every=3), Toys(captions=True)).train()
    assert log(tmp_path)[0]["left_out"] == {"toys 99": "truncated (half a file)"}  # of update 1, told at update 3


def test_talks_and_edits_share_a_batch(tmp_path):
    run(tmp_path, settings(updates=2, batch=3), Toys(talks=2)).train()
    assert all("diffusion" in line and "language" in line for line in log(tmp_path))


def test_a_loss_that_is_not_a_number_stops_with_the_samples_named(tmp_path):
    one = run(tmp_path, settings(updates=3))
    with torch.no_grad():
        one.pipeline.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(BackendError, match="edit-0, edit-1"):
        one.train()


def test_a_loss_that_leaps_stops_with_the_samples_named(tmp_path):
    one = run(tmp_path, settings(updates=3, diverged=1.5))
    backward = one._backward
    one._backward = lambda part: {**backward(part), "total": 100.0 if part.places[0] >= 4 else 1.0}
    with pytest.raises(BackendError, match="diverged"):
        one.train()


def test_another_run_s_folder_is_refused(tmp_path):
    run(tmp_path, settings("align", updates=2), Toys(captions=True)).train()
    with pytest.raises(ConfigError, match="another run"):
        run(tmp_path, settings("align", updates=2, seed=1), Toys(captions=True))
    assert run(tmp_path, settings("align", updates=2, log_every=2), Toys(captions=True)).position.updates == 2


def test_reader_processes_change_nothing(tmp_path):
    lines = []
    for workers in (0, 2):
        run(tmp_path / str(workers), settings("align", updates=2, workers=workers), Toys(captions=True)).train()
        lines.append([line["total"] for line in log(tmp_path / str(workers))])
    assert lines[0] == lines[1]
