"""The recipe of the small model, step by step, each step continuing where it was: scenes, a small CLIP, five stages,
and packing.

Every stage is `insightedit train` with a configuration of configs/train/tiny, run inside the folder of the recipe, by
two processes of one thread each where there is no GPU: that is faster than one process of two threads.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from insightedit.core.config import load
from insightedit.core.errors import BackendError
from insightedit.core.files import shipped
from insightedit.model.tokens import BOS, EOS, PAD

SEED_OF_SCENES, SIZE = 20, 64  # as in configs/train/tiny
STAGES = ("align", "comprehend", "image_align", "joint", "refine")
STEPS = len(STAGES) + 3
# glibc gives big blocks back to the system and takes them again all the time: a third of the CPU's work
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}


@dataclass(frozen=True)
class Scale:
    """How much of everything. None: as the configurations say."""

    pairs: int = 60_000
    eye: int | None = None  # updates
    stage: int | None = None  # updates of each
    batch: int | None = None


FULL = Scale()
SMOKE = Scale(pairs=64, eye=4, stage=3, batch=8)


def recipe(out: Path, scale: Scale, processes: int, tell: Callable[[str], None]) -> Path:
    """All steps that `out` lacks -> the folder of the packed pipeline, which `edit --editor scenes --model` takes.

    Raises:
        BackendError: a stage failed; its last words are in the message.
    """
    out.mkdir(parents=True, exist_ok=True)
    tell(f"1/{STEPS} scenes: {scale.pairs} pairs")
    draw(out, scale, processes)
    tell(f"2/{STEPS} a small CLIP")
    if not (out / "eye" / "text_encoder" / "tokenizer_config.json").exists():
        command = ["train-small", ".", "--step", "eye", *(["--smoke"] if scale == SMOKE else [])]
        launch(out, command, processes)
    if not (out / "begin" / "model_index.json").exists():
        begin(out)
    for place, stage in enumerate(STAGES):
        tell(f"{place + 3}/{STEPS} {stage}")
        if not (out / stage / "pipeline" / "model_index.json").exists():
            config = shipped(f"configs/train/tiny/{stage}.yaml").resolve()
            launch(out, ["train", str(config), "--out", stage, *_changes(stage, scale)], processes)
    tell(f"{STEPS}/{STEPS} pack")
    packed = out / "scenes"
    if not packed.exists():
        launch(out, ["train-small", ".", "--step", "pack", *(["--smoke"] if scale == SMOKE else [])], 1)
    return packed


def draw(out: Path, scale: Scale, workers: int) -> None:
    """Step 1: the pairs as arrays."""
    from insightedit.datasets.drawn import draw_all

    draw_all(out / "drawn", scale.pairs, SIZE, SEED_OF_SCENES, workers)


def see(out: Path, scale: Scale, tell: Callable[[str], None]) -> None:
    """Step 2, in one process of possibly many: the small CLIP."""
    import torch

    from insightedit.datasets.drawn import opened
    from insightedit.model.presets import preset
    from insightedit.model.toy_tokenizer import toy_tokenizer
    from insightedit.train.eye import EyeConfig, Scenery, train_eye

    changes = [] if scale.eye is None else [f"updates={scale.eye}", f"warmup={scale.eye // 2}", f"batch={scale.batch}"]
    settings = load(EyeConfig, shipped("configs/train/tiny/eye.yaml"), changes)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    model, drawn = preset("scenes"), opened(out / "drawn", scale.pairs, SIZE, SEED_OF_SCENES)
    scenery = Scenery(drawn, model, toy_tokenizer(model.language.vocabulary))
    train_eye(model, scenery, settings, out / "eye", _every(tell, max(1, settings.updates // 30)))


def begin(out: Path) -> None:
    """Step 3: a pipeline with the small CLIP's vision tower and null text, and otherwise random weights."""
    import torch
    from transformers import CLIPTextModel, CLIPVisionModel

    from insightedit.model.pipeline import from_preset

    pipeline = from_preset("scenes", seed=42)
    learned = CLIPVisionModel.from_pretrained(out / "eye" / "image_encoder")
    pipeline.comprehension.vision.load_state_dict(learned.state_dict())
    words = CLIPTextModel.from_pretrained(out / "eye" / "text_encoder").eval()
    queries = pipeline.bridge.null_text.shape[1]
    with torch.no_grad():
        ids = torch.tensor([[BOS, EOS, *[PAD] * (queries - 2)]])
        pipeline.bridge.null_text.copy_(words(ids).last_hidden_state)
    pipeline.save_pretrained(out / "begin")


def pack(out: Path, scale: Scale, tell: Callable[[str], None]) -> None:
    """The last step, in a process of its own: what was trained -> OUT/scenes."""
    from insightedit.app.pack import SCENES, WORDED
    from insightedit.app.pack import pack as packed

    few = scale == SMOKE
    packed(out / STAGES[-1] / "pipeline", out / "scenes", tell, 80 if few else SCENES, 50 if few else WORDED)


def _every(tell: Callable[[str], None], updates: int) -> Callable[[dict[str, float]], None]:
    done, sums = 0, dict[str, float]()

    def advance(values: dict[str, float]) -> None:
        nonlocal done
        done += 1
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value / updates
        if done % updates == 0:
            tell(f"  {done}: " + ", ".join(f"{name} {value:.3f}" for name, value in sums.items()))
            sums.clear()

    return advance


def launch(out: Path, arguments: list[str], processes: int) -> None:
    """`insightedit` in so many processes, inside `out`, because the configurations' paths start there.

    Raises:
        BackendError: one of them failed.
    """
    command = [sys.executable, "-m", "insightedit", *arguments]
    shared = os.environ | KEEP_MEMORY | _meeting(processes)
    started = [
        subprocess.Popen(command, cwd=out, env=shared | _rank(rank, processes), stderr=None if rank == 0 else -1)
        for rank in range(processes)
    ]
    try:
        failed = [rank for rank, one in enumerate(started) if one.wait()]
    finally:
        for one in started:
            one.kill()
    if failed:
        raise BackendError(f"`insightedit {arguments[0]}` stopped", f"process {failed[0]} of {processes} failed, see "
                           "above", "Run the same command again: it continues at the last checkpoint")  # fmt: skip


def _changes(stage: str, scale: Scale) -> list[str]:
    """What a smaller scale sets over the configuration."""
    data = "scene_captions" if stage == "align" else "scenes"
    changes = [f"data.datasets.{data}.knobs.count={scale.pairs}"]
    if scale.stage is not None:
        changes += [f"updates={scale.stage}", f"batch={scale.batch}", "optim.warmup=1", "log_every=1"]
        changes += ["goals.variance=16"] if stage == "comprehend" else []
    return [word for change in changes for word in ("--set", change)]


def _meeting(processes: int) -> dict[str, str]:
    if processes == 1:
        return {}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}  # fmt: skip


def _rank(rank: int, processes: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
