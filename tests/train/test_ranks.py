"""Two processes (gloo) and one, at the same global batch: the same losses, from different samples."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT = """
import sys, json, torch
sys.path.insert(0, {here!r})
torch.set_num_threads(1)
from dataclasses import replace
from pathlib import Path
from train_toys import CONFIG, Toys, goals, settings
from insightedit.model.pipeline import from_config
from insightedit.train.loop import Run

class Noted(Toys):
    def at(self, place):
        seen.append(place)
        return super().at(place)

seen = []
calm = replace(CONFIG, qformer=replace(CONFIG.qformer, dropout=0.0), lora=replace(CONFIG.lora, dropout=0.0))
ranks = int(sys.argv[2])
run = Run(settings(updates=20, batch=4 // ranks, save_every=100), Noted(), Path(sys.argv[1]), from_config(calm), goals)
run.train()
Path(sys.argv[1], f"seen-{{run.accelerator.process_index}}.json").write_text(json.dumps(seen))
"""


def launch(out: Path, ranks: int) -> list[dict]:
    out.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1",
              "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1", "LOCAL_WORLD_SIZE": str(ranks)}  # fmt: skip
    code = SCRIPT.format(here=str(HERE))
    started = []
    for rank in range(ranks):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}
        env = os.environ | ((shared | own) if ranks > 1 else {"ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"})
        arguments = [sys.executable, "-c", code, str(out), str(ranks)]
        started.append(subprocess.Popen(arguments, env=env, stderr=subprocess.PIPE, text=True))
    for one in started:
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said[-2000:]
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_learn_as_one_from_samples_of_their_own(tmp_path):
    one, two = launch(tmp_path / "one", 1), launch(tmp_path / "two", 2)
    assert len(one) == len(two) == 20
    seen = [json.loads((tmp_path / "two" / f"seen-{rank}.json").read_text()) for rank in (0, 1)]
    assert not set(seen[0]) & set(seen[1]) and sorted(seen[0] + seen[1]) == list(range(80))
    for mine, other in zip(one, two, strict=True):
        for name in ("language", "diffusion", "image", "total"):
            assert abs(mine[name] - other[name]) <= 1e-4 * max(1, abs(mine[name])), (mine["update"], name)
