"""`insightedit train`: what it leaves, what it says, how it goes on and refuses; run in this process through `main`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
import yaml
from encoders import image_encoder, text_encoder
from PIL import Image
from safetensors.torch import load_file

from insightedit.app.cli.main import main
from insightedit.core.config import load
from insightedit.core.files import shipped
from insightedit.train.config import TrainConfig

SCENES = {"datasets": {"scenes": {"knobs": {"count": 50, "size": 64}}}}
TINY = {"start": "tiny", "updates": 2, "batch": 2, "resolution": 64, "log_every": 1, "save_every": 1}


@pytest.fixture
def train(monkeypatch, capfd):
    """Run the command -> (exit code, stdout, stderr)."""
    torch.set_num_threads(1)

    def call(*arguments: object, command: str = "train") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["insightedit", command, *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


def written(folder: Path, stage: str, **settings) -> Path:
    path = folder / f"{stage}.yaml"
    path.write_text(yaml.safe_dump(TINY | {"stage": stage} | settings))
    return path


def refused(answer: tuple[int, str, str], *parts: str) -> None:
    assert answer[0] == 2, answer
    assert "error: " in answer[2] and "mend: " in answer[2] and "Traceback" not in answer[2], answer[2]
    assert all(part in answer[2] for part in parts), answer[2]


def captions(folder: Path) -> dict:
    lines = [f"http://x/{place}.jpg\ta {colour} cube" for place, colour in enumerate(["red", "blue"] * 10)]
    lines[3] = "http://x/3.jpg\t" + "word " * 400
    (folder / "cc12m.tsv").write_text("\n".join(lines) + "\n")
    return {"datasets": {"cc12m": {"knobs": {"path": str(folder / "cc12m.tsv"), "max_words": 1000}}}}


def test_three_stages_one_after_the_other_leave_a_model_that_edits(train, tmp_path):
    words, pictures = text_encoder(tmp_path / "words"), image_encoder(tmp_path / "pictures")
    goals = {"align": {"text_encoder": words}, "image_align": {"image_encoder": pictures}}
    goals["joint"] = goals["image_align"]
    before, tables = "tiny", []
    for stage in ("align", "image_align", "joint"):
        data = captions(tmp_path) if stage == "align" else SCENES
        updates = 10 if stage == "align" else 2  # all twenty captions are drawn
        config = written(tmp_path, stage, start=before, data=data, goals=goals[stage], updates=updates)
        code, said, warned = train(config, "--out", tmp_path / stage, "--json")
        assert code == 0, warned
        told = json.loads(said)
        before = str(tmp_path / stage / "pipeline")
        assert told["pipeline"] == before and told["updates"] == updates and told["samples"] == 2 * updates
        assert Path(told["checkpoints"]).is_dir() and len(Path(told["log"]).read_text().splitlines()) == updates
        assert len(told["skipped"]) == (stage == "align"), told["skipped"]
        assert all("words_do_not_fit" in line for line in told["skipped"])
        assert f"{stage} {updates}/{updates}: loss" in warned and "samples/s, ETA 0:00:00" in warned
        (weights,) = (tmp_path / stage / "pipeline" / "comprehension").glob("*.safetensors")
        tables.append(load_file(weights))
    old = [name for name in tables[0] if "embed_tokens" in name or "lm_head" in name]
    assert len(old) == 2 and all(torch.equal(tables[0][name], tables[2][name]) for name in old)
    assert not torch.equal(tables[0]["new_input"], tables[2]["new_input"])
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photo.png")
    arguments = ("make it blue", "-o", tmp_path / "out.png", "--model", before, "--steps", 1, "--device", "cpu")
    assert train(tmp_path / "photo.png", *arguments, command="edit")[0] == 0
    with Image.open(tmp_path / "out.png") as edited:
        assert edited.size == (64, 64)


def test_a_finished_run_is_told_again_and_another_one_refused(train, tmp_path):
    config = written(tmp_path, "image_align", data=SCENES, losses={"image": 0})
    assert train(config, "--out", tmp_path / "run")[0] == 0
    code, said, _ = train(config, "--out", tmp_path / "run")
    assert code == 0 and "2 updates, 4 samples, nothing was left to do" in said
    assert all(str(tmp_path / "run" / name) in said for name in ("pipeline", "checkpoints", "log.jsonl"))
    refused(train(config, "--out", tmp_path / "run", "--set", "seed=7"), "another run")


def test_the_plan_names_what_learns_what_it_takes_and_what_is_missing(train, tmp_path):
    data = {
        "datasets": {"scenes": {"share": 0.5, "knobs": {"count": 50}}, "magicbrush": {"knobs": {"path": "nowhere"}}}
    }
    config = written(tmp_path, "joint", data=data, accumulation=4)
    code, said, _ = train(
        config, "--dry-run", "--processes", 8, "--json", "--set", "data.datasets.scenes.knobs.count=7"
    )
    told = json.loads(said)
    assert code == 0 and told["samples"] == 2 * 2 * 4 * 8
    assert told["groups"]["lora"]["trained"] and told["groups"]["language"]["rate"] is None
    assert told["trained"] == sum(one["parameters"] for one in told["groups"].values() if one["trained"])
    mixture = {one["name"]: one for one in told["mixture"]}
    assert mixture["scenes"]["examples"] == 14 and mixture["magicbrush"]["examples"] is None
    assert "nowhere" in mixture["magicbrush"]["missing"]
    assert (
        told["bytes_per_gpu"]["fsdp"]["optimiser"] == told["trained"] == told["bytes_per_gpu"]["ddp"]["optimiser"] // 8
    )
    code, said, _ = train(config, "--dry-run")
    assert code == 0 and all(word in said for word in ("image_attention", "FSDP", "magicbrush", "missing: ", "frozen"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("optmi.clip=1",), ("Did you mean 'optim'",)),
        (("data.datasets.scenes.knobs.sise=64",), ("Did you mean 'size'",)),
        (("data.datasets.scenes.reader=scense",), ("Did you mean 'scenes'",)),
        (("updates=none",), ("updates",)),
        (("start=tyni",), ("tyni",)),
        (("start=insightedit-7b",), ("random weights", "start=FOLDER")),
        (("data={datasets: {magicbrush: {knobs: {path: nowhere}}}}",), ("nowhere",)),
    ],
)
def test_wrong_settings_are_refused_with_a_mend(train, tmp_path, settings, parts):
    config = written(tmp_path, "image_align", data=SCENES, losses={"image": 0})
    options = [word for setting in settings for word in ("--set", setting)]
    refused(train(config, "--out", tmp_path / "run", *options), *parts)
    assert not (tmp_path / "run").exists()


def test_a_run_without_data_is_refused(train, tmp_path):
    refused(train(written(tmp_path, "joint"), "--out", tmp_path / "run"), "nothing to train from", "docs/datasets.md")
    refused(train("jiont"), "Did you mean 'joint'")


@pytest.mark.parametrize("name", ["align", "image_align", "joint"])
def test_the_presets_are_whole(name):
    config = load(TrainConfig, shipped(f"configs/train/{name}.yaml"))
    assert config.stage == name and config.data.datasets
    assert config.batch * config.accumulation * 8 == 128


@pytest.mark.parametrize("name", ["ddp8", "fsdp", "zero2"])
def test_accelerate_reads_its_configurations(name):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(Path("configs/accelerate") / f"{name}.yaml"))
    assert config.num_processes == 8


def started(config: Path, out: Path, *launcher: str) -> subprocess.Popen:
    command = [sys.executable, *(launcher or ("-m", "insightedit")), "train", str(config), "--out", str(out)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_run_killed_anywhere_ends_bit_equal(train, tmp_path):
    config = written(tmp_path, "joint", data=SCENES, losses={"image": 0}, updates=8, ema=0.9, workers=1)
    first = started(config, tmp_path / "cut")
    while not list((tmp_path / "cut" / "checkpoints").glob("update-*3")):
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not (tmp_path / "cut" / "pipeline").exists()
    for name in ("cut", "whole"):
        assert train(config, "--out", tmp_path / name)[0] == 0
    last = Path("checkpoints", "update-00000008")
    files = [last / f"{name}.safetensors" for name in ("weights", "optimiser", "average")]
    ours, theirs = ({file: load_file(tmp_path / name / file) for file in files} for name in ("cut", "whole"))
    for file, tensors in theirs.items():
        assert all(torch.equal(value, ours[file][name]) for name, value in tensors.items()), file


@pytest.mark.slow
def test_only_the_first_of_two_processes_speaks(tmp_path):
    config = written(tmp_path, "image_align", data=SCENES, losses={"image": 0})
    options = "--num_processes 2 --num_machines 1 --multi_gpu --mixed_precision no --dynamo_backend no"
    launcher = f"-m accelerate.commands.launch {options} --main_process_port 0 -m insightedit".split()
    both = started(config, tmp_path / "run", *launcher)
    said, warned = both.communicate(timeout=300)
    assert both.returncode == 0, warned
    assert said.count("2 updates, 8 samples") == 1 and warned.count("image_align 2/2: loss") == 1
