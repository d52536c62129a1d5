"""Two processes that divide the model among them (FSDP2 over gloo) learn, save, go on and end as one process does.

accelerate takes FSDP for GPUs alone: told of CPU processes it makes DDP of them. So the test tells it otherwise.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

HERE = Path(__file__).parent
FORCE = """
from accelerate import Accelerator, FullyShardedDataParallelPlugin, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

Accelerator(mixed_precision="{precision}")
PartialState().distributed_type = DistributedType.FSDP
AcceleratorState().fsdp_plugin = FullyShardedDataParallelPlugin(
    fsdp_version=2, auto_wrap_policy="transformer_based_wrap",
    transformer_cls_names_to_wrap=["LlamaDecoderLayer"], cpu_ram_efficient_loading=False)
if "{precision}" != "no":
    AcceleratorState().fsdp_plugin.set_mixed_precision("{precision}")
"""
SCRIPT = """
import sys, torch
sys.path.insert(0, {here!r})
torch.set_num_threads(1)
{force}
from dataclasses import replace
from pathlib import Path
from train_toys import CONFIG, Toys, goals, settings
from insightedit.model.pipeline import from_config
from insightedit.train.loop import Run

calm = replace(CONFIG, qformer=replace(CONFIG.qformer, dropout=0.0), lora=replace(CONFIG.lora, dropout=0.0))
config = settings(updates=4, batch=2 // {ranks}, save_every=2, ema=0.9, precision="{precision}",
                  checkpointing={ranks} > 1)
for part in range({parts}):
    run = Run(config, Toys(talks=3), Path(sys.argv[1]), from_config(calm), goals)
    assert run.spread == ({ranks} > 1) and run.position.updates == 2 * part
    if {parts} == 2 and part == 0:
        def stop():
            if run.position.updates == 3:
                raise KeyboardInterrupt
        try:
            run.train(stop)
        except KeyboardInterrupt:
            continue
    run.train()
run.accelerator.end_training()  # processes that leave a group without goodbye may wait for each other for ever
"""


def launch(out: Path, ranks: int, parts: int = 1, precision: str = "no") -> list[dict]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    force = FORCE.format(precision=precision) if ranks > 1 else ""
    code = SCRIPT.format(here=str(HERE), force=force, ranks=ranks, parts=parts, precision=precision)
    shared = {"ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(out)],
            env=os.environ | shared | (place | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        for one in started:
            _, said = one.communicate(timeout=900)
            assert one.returncode == 0, said[-3000:]
    finally:
        for one in started:
            one.kill()
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_divided_model_learns_saves_and_goes_on_as_a_whole_one(tmp_path):
    one, two = launch(tmp_path / "one", 1), launch(tmp_path / "two", 2, parts=2)
    assert [line["update"] for line in two] == [1, 2, 3, 4]
    for mine, other in zip(one, two, strict=True):
        for name in ("language", "diffusion", "image", "total"):
            assert abs(mine[name] - other[name]) <= 1e-4 * max(1, abs(mine[name])), (mine["update"], name)
    for kind in ("weights", "average"):
        whole, divided = (
            load_file(tmp_path / name / "checkpoints" / "update-00000004" / f"{kind}.safetensors")
            for name in ("one", "two")
        )
        assert whole.keys() == divided.keys()
        assert all((whole[name] - divided[name]).abs().max() < 5e-3 for name in whole)  # four updates at 1e-3
    files = {path.relative_to(tmp_path / "two") for path in (tmp_path / "two" / "pipeline").rglob("*.safetensors")}
    assert len(files) >= 5
    for file in files:
        whole, divided = (load_file(tmp_path / name / file) for name in ("one", "two"))
        assert {name: value.shape for name, value in whole.items()} == {
            name: value.shape for name, value in divided.items()
        }


@pytest.mark.slow
def test_a_divided_model_learns_in_half_precision(tmp_path):
    lines = launch(tmp_path, 2, precision="bf16")
    assert len(lines) == 4 and all(line["total"] > 0 for line in lines)
