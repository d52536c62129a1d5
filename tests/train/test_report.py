"""The log holds true means, by dataset and by noise, over the interval and over all processes."""

import json
import sys

import pytest
import torch
from encoders import image_encoder
from PIL import Image
from train_toys import Toys, goals, settings

from insightedit.core.errors import ConfigError
from insightedit.model.editor import EditBatch
from insightedit.train import report as module
from insightedit.train.loop import Run
from insightedit.train.report import Report


def batch(datasets, editing):
    nothing = torch.zeros(0)
    return EditBatch(None, None, nothing, nothing, torch.tensor(editing), datasets=datasets)


def lines(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


TWO = [
    (
        batch(["a", "talk", "b"], [True, False, True]),
        {"language": torch.tensor([1.0, 2, 3]), "per_sample": torch.tensor([4.0, 8]), "t": torch.tensor([0, 999])},
    ),
    (
        batch(["a", "a"], [True, True]),
        {"language": torch.tensor([5.0, 9]), "per_sample": torch.tensor([6.0, 2]), "t": torch.tensor([249, 250])},
    ),
]
PARTS = {
    "dataset/a/language": 5.0,
    "dataset/b/language": 3.0,
    "dataset/talk/language": 2.0,
    "dataset/a/diffusion": 4.0,
    "dataset/b/diffusion": 8.0,
    "timestep/diffusion/0-249": 5.0,
    "timestep/diffusion/250-499": 2.0,
    "timestep/diffusion/750-999": 8.0,
}


def test_an_edit_of_several_draws_counts_each(tmp_path):
    report = Report(tmp_path, (), 0, main=True)
    told = {
        "image": torch.tensor([1.0, 3]),
        "per_sample": torch.tensor([2.0, 4, 6, 8]),
        "t": torch.tensor([0, 300, 0, 999]),
    }
    report.take(batch(["a", "talk", "b"], [True, False, True]), told)
    report.step({"total": 1.0})
    report.write(1, {})
    (line,) = lines(tmp_path)
    assert (line["parts"]["dataset/a/diffusion"], line["parts"]["dataset/b/diffusion"]) == (3.0, 7.0)
    assert (line["parts"]["dataset/b/image"], line["parts"]["timestep/diffusion/0-249"]) == (3.0, 4.0)


def test_losses_are_means_by_dataset_and_by_quarter_of_the_timesteps(tmp_path):
    report = Report(tmp_path, (), 0, main=True)
    for one in TWO:
        report.take(*one)
    report.step({"total": 2.0, "grad_norm": 1.0})
    report.step({"total": 4.0, "grad_norm": 2.0})
    report.write(2, {"wait_share": 0.1, "rates": {"unet": 1e-5}})
    report.write(3, {})
    first, second = lines(tmp_path)
    assert first["parts"] == pytest.approx(PARTS)
    assert (first["total"], first["grad_norm"], first["wait_share"]) == (3.0, 1.5, 0.1)
    assert first["memory_gb"] > 0.05 and first["rates"] == {"unet": 1e-5}
    assert second["parts"] == {} and "total" not in second


def test_processes_are_merged_by_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "gather_object", lambda own: [*own, module._sums([hidden(TWO[1])])])
    report = Report(tmp_path, (), 0, main=True)
    report.take(*TWO[0])
    report.write(1, {})
    assert lines(tmp_path)[0]["parts"] == pytest.approx(PARTS)


def hidden(one):
    return one[0].datasets, one[0].editing, one[1]


def test_a_sample_that_only_keeps_ranks_in_step_is_not_told(tmp_path):
    report = Report(tmp_path, (), 0, main=True)
    told = {"language": torch.tensor([1.0, 7]), "per_sample": torch.tensor([9.0]), "t": torch.tensor([5])}
    report.take(batch(["talk", ""], [False, True]), told)
    report.write(1, {})
    assert lines(tmp_path)[0]["parts"] == {"dataset/talk/language": 1.0}


def test_a_resumed_log_drops_what_comes_again_and_a_line_that_was_cut(tmp_path):
    told = "".join(json.dumps({"update": update}) + "\n" for update in (1, 2, 3))
    (tmp_path / "log.jsonl").write_text(told + '{"update": 4, "to')
    Report(tmp_path, (), 2, main=True).write(3, {"again": 1})
    assert [line["update"] for line in lines(tmp_path)] == [1, 2, 3] and lines(tmp_path)[2]["again"] == 1


def test_only_the_main_process_writes(tmp_path):
    report = Report(tmp_path, ("tensorboard",), 0, main=False)
    report.write(1, {})
    report.close()
    assert not list(tmp_path.iterdir())


def test_a_logger_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"wandb.*not installed.*pip install wandb"):
        Report(tmp_path, ("wandb",), 0, main=True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"tensorboard.*not installed"):
        Report(tmp_path, ("tensorboard",), 0, main=True)


def test_tensorboard_holds_the_same_numbers_and_the_pictures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report = Report(tmp_path, ("tensorboard",), 0, main=True)
    report.take(*TWO[0])
    report.step({"total": 2.0})
    report.write(7, {"rates": {"unet": 0.5}, "left_out": {"toys 1": "truncated"}})
    report.picture(7, "edits", Image.new("RGB", (8, 6), "red"))
    report.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    wanted = {"dataset/a/diffusion": 4.0, "loss/total": 2.0, "run/rates/unet": 0.5}
    for name, value in wanted.items():
        assert [(one.step, one.value) for one in events.Scalars(name)] == [(7, value)]
    assert (events.Images("edits")[0].width, events.Images("edits")[0].height) == (8, 6)
    assert not any("left_out" in name for name in events.Tags()["scalars"])


def test_a_run_tells_every_loss_of_every_dataset(tmp_path):
    encoder = image_encoder(tmp_path / "clip")
    config = settings(updates=3, batch=3, log_every=2, goals={"image_encoder": encoder}, save_every=3)
    Run(config, Toys(talks=4), tmp_path / "out").train()
    told = lines(tmp_path / "out")
    assert [line["update"] for line in told] == [2, 3]
    for line in told:
        assert {f"dataset/toys/{name}" for name in ("language", "image", "diffusion")} <= set(line["parts"])
        assert line["grad_norm"] > 0 and line["samples_per_s"] > 0 and 0 <= line["wait_share"] <= 1


def test_with_one_dataset_its_mean_is_the_loss(tmp_path):
    Run(settings(updates=1), Toys(), tmp_path, goals=goals).train()
    line = lines(tmp_path)[0]
    for name in ("image", "diffusion"):
        assert line["parts"][f"dataset/toys/{name}"] == pytest.approx(line[name], rel=1e-5)
