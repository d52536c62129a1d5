"""Checkpoints: a folder appears whole or not at all; it holds what learns, the optimiser, and where the data was.

No generator's state is kept, because none is used: every draw depends on (run seed, place of the sample), dropout on
(run seed, update, rank).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from insightedit.core.errors import InputError, OutputError

Tensors = dict[str, torch.Tensor]
NAME = re.compile(r"update-(\d{8})")


@dataclass(frozen=True)
class Position:
    """Where a run stands: updates done, of which run (a fingerprint of everything that must not change)."""

    updates: int
    fingerprint: str
    mean_loss: float | None = None


def save(folder: Path, position: Position, weights: Tensors, optimiser: Tensors, average: Tensors, keep: int) -> Path:
    """Write `folder`/update-N and drop the oldest beyond `keep`.

    Raises:
        OutputError: the place cannot be written.
    """
    final = folder / f"update-{position.updates:08d}"
    unfinished = folder / f".{final.name}.unfinished"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, tensors in (("weights", weights), ("optimiser", optimiser), ("average", average)):
            if tensors:
                save_file(tensors, unfinished / f"{name}.safetensors")
        (unfinished / "position.json").write_text(json.dumps(asdict(position)))
        _sync(unfinished)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(unfinished, final)
        for old in found(folder)[:-keep]:
            shutil.rmtree(old)
    except OSError as error:
        raise OutputError(f"cannot write {final}", error.strerror or str(error), "Free some space") from error
    return final


def _sync(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def found(folder: Path) -> list[Path]:
    """The whole checkpoints, oldest first."""
    return sorted(path for path in folder.glob("update-*") if NAME.fullmatch(path.name)) if folder.is_dir() else []


def load(path: Path) -> tuple[Position, Tensors, Tensors, Tensors]:
    """Position, weights, optimiser, average (empty where none was kept).

    Raises:
        InputError: a file is missing or damaged.
    """
    try:
        position = Position(**json.loads((path / "position.json").read_text()))
        average = path / "average.safetensors"
        parts = [load_file(path / f"{name}.safetensors") for name in ("weights", "optimiser")]
        return position, parts[0], parts[1], load_file(average) if average.exists() else {}
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise InputError(
            f"cannot read {path}", str(error)[:200], "Delete that folder: the one before is used"
        ) from error


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: dict[int, str]) -> Tensors:
    """AdamW's state by parameter name; `names` maps id(parameter) to it."""
    return {
        f"{names[id(parameter)]}|{key}": value.contiguous()
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def fill_optimiser(optimiser: torch.optim.Optimizer, names: dict[int, str], tensors: Tensors) -> None:
    """The reverse of `optimiser_tensors`."""
    states: dict[str, Tensors] = {}
    for key, value in tensors.items():
        name, _, part = key.rpartition("|")
        states.setdefault(name, {})[part] = value
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if state := states.get(names[id(parameter)]):
                optimiser.state[parameter] = {part: _placed(part, value, parameter) for part, value in state.items()}


def _placed(part: str, value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    return value if part == "step" else value.to(parameter.device)  # AdamW counts its steps on the CPU
