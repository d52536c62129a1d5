"""What training tells while it runs: log.jsonl always, TensorBoard and Weights & Biases if asked."""

from __future__ import annotations

import json
import resource
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate.utils import gather_object
from PIL import Image

from insightedit.core.errors import ConfigError
from insightedit.core.files import write_text
from insightedit.model.editor import STEPS, EditBatch

QUARTERS = ("0-249", "250-499", "500-749", "750-999")  # of the timesteps
NAMES = {"per_sample": "diffusion"}  # a loss that the editor reports under another name
Sums = dict[str, tuple[float, int]]
Values = dict[str, Any]
Waiting = tuple[list[str], torch.Tensor, dict[str, torch.Tensor]]  # datasets, who edits, the editor's report


class Sink(Protocol):
    """Where numbers and pictures go besides the file."""

    def numbers(self, update: int, values: dict[str, float]) -> None: ...

    def picture(self, update: int, name: str, image: Image.Image) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `out`/tensorboard; what a resumed run repeats is hidden.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, out: Path, updates: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _lacking("tensorboard", "pip install 'insightedit[train]'") from error
        self.writer: Any = SummaryWriter(str(out / "tensorboard"), purge_step=updates + 1)

    def numbers(self, update: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, update)
        self.writer.flush()

    def picture(self, update: int, name: str, image: Image.Image) -> None:
        self.writer.add_image(name, np.asarray(image.convert("RGB")), update, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """A run of Weights & Biases, named as the folder; its key and address come from the environment (WANDB_*).

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, out: Path, updates: int) -> None:
        try:
            import wandb  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise _lacking("wandb", "pip install wandb") from error
        self.wandb = wandb
        self.run = wandb.init(project="insightedit", name=out.resolve().name, dir=str(out))

    def numbers(self, update: int, values: dict[str, float]) -> None:
        self.run.log(values, step=update)

    def picture(self, update: int, name: str, image: Image.Image) -> None:
        self.run.log({name: self.wandb.Image(image)}, step=update)

    def close(self) -> None:
        self.run.finish()


SINKS: dict[str, Callable[[Path, int], Sink]] = {"tensorboard": TensorBoard, "wandb": Wandb}


def _lacking(package: str, mend: str) -> ConfigError:
    return ConfigError(f"cannot log to {package}", "it is not installed", f"{mend}, or take it out of `log`")


class Report:
    """Means over the updates between two lines of the log: of every loss, by dataset, and by quarter of the timesteps.

    Args:
        out: log.jsonl, tensorboard/.
        sinks: names of `SINKS`.
        updates: done so far; lines beyond them, of a run that was killed, are dropped.
        main: whether this process writes. All processes must `take` and `write`.

    Raises:
        ConfigError: a sink is not installed.
    """

    def __init__(self, out: Path, sinks: Sequence[str], updates: int, main: bool) -> None:
        self.path, self.main = out / "log.jsonl", main
        self.sinks = [SINKS[name](out, updates) for name in sinks] if main else []
        self.waiting: list[Waiting] = []
        self.steps: list[dict[str, float]] = []
        if main:
            kept = [line for line in _whole(self.path) if json.loads(line)["update"] <= updates]
            write_text(self.path, "".join(f"{line}\n" for line in kept))

    def take(self, batch: EditBatch, report: dict[str, torch.Tensor]) -> None:
        """What the editor reported of one batch; kept on its device until the next line, so that nothing waits."""
        told = {name: value.detach() for name, value in report.items()}
        self.waiting.append((batch.datasets, batch.editing, told))

    def step(self, values: dict[str, float]) -> None:
        """Losses of one update and the gradient's norm, which are the same in every process."""
        self.steps.append(values)

    def write(self, update: int, values: Values) -> None:
        """One line: means since the last one, over all processes, and `values` as they are."""
        merged: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
        for sums in gather_object([_sums(self.waiting)]):
            for name, (total, count) in sums.items():
                merged[name][0] += total
                merged[name][1] += count
        told = {name: total / count for name, (total, count) in sorted(merged.items())}
        means = {name: sum(step.get(name, 0.0) for step in self.steps) / len(self.steps) for name in _keys(self.steps)}
        self.waiting, self.steps = [], []
        if self.main:
            line = {"update": update} | means | values | {"memory_gb": memory_gb(), "parts": told}
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            for sink in self.sinks:
                sink.numbers(update, told | _flat(means, "loss/") | _flat(values | {"memory_gb": memory_gb()}, "run/"))

    def picture(self, update: int, name: str, image: Image.Image) -> None:
        """Hand a picture to the sinks."""
        for sink in self.sinks:
            sink.picture(update, name, image)

    def close(self) -> None:
        """Finish what the sinks have begun."""
        for sink in self.sinks:
            sink.close()


def _sums(waiting: Iterable[Waiting]) -> Sums:
    """ "dataset/NAME/LOSS" and "timestep/LOSS/RANGE" -> (sum over samples, samples)."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])

    def add(name: str, value: float) -> None:
        found[name][0] += value
        found[name][1] += 1

    for everyone, mask, report in waiting:
        editing = [name for name, edits in zip(everyone, mask.tolist(), strict=True) if edits]
        quarters = [QUARTERS[4 * int(t) // STEPS] for t in report.get("t", torch.zeros(0)).tolist()]
        for key, values in report.items():
            if key == "t":
                continue
            loss = NAMES.get(key, key)
            names = everyone if len(values) == len(everyone) else editing
            if loss == "diffusion":  # by draw, of which an edit may have several
                names = [name for name in editing for _ in range(len(values) // len(editing))]
            when = quarters if loss == "diffusion" else [""] * len(names)
            for dataset, quarter, value in zip(names, when, values.tolist(), strict=True):
                if not dataset:  # a sample that only keeps ranks in step
                    continue
                add(f"dataset/{dataset}/{loss}", value)
                if quarter:
                    add(f"timestep/{loss}/{quarter}", value)
    return {name: (total, int(count)) for name, (total, count) in found.items()}


def _keys(steps: Sequence[dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for step in steps for name in step))


def _flat(values: Values, head: str = "") -> dict[str, float]:
    """Nested numbers -> "a/b": number; what is no number stays in the file alone."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{head}{name}/")
        elif isinstance(value, int | float):
            found[head + name] = value
    return found


def memory_gb() -> float:
    """The most that this process has held: of the GPU, or of the host where there is none. 10^9 bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _whole(path: Path) -> list[str]:
    """Lines of the log; the last may have been cut when the run was killed."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [line for line in text[: text.rfind("\n") + 1].splitlines() if line]
