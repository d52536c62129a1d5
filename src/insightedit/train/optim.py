"""AdamW over the groups of a stage, its schedule, and the average of weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from insightedit.core.errors import ConfigError
from insightedit.core.lookup import suggest
from insightedit.model.editor import GROUPS, InsightEdit, trainable
from insightedit.train.config import OptimKnobs
from insightedit.train.muon import MuonAdamW, is_inner
from insightedit.train.stages import Stage


def open_groups(
    editor: InsightEdit, stage: Stage, also: Sequence[str] = (), frozen: Sequence[str] = ()
) -> dict[str, list[nn.Parameter]]:
    """Let exactly the stage's groups and those in `also` learn, but for those in `frozen` -> their parameters; what the
    model lacks is left out.

    Raises:
        ConfigError: `also` or `frozen` names no group.
    """
    for name in (*also, *frozen):
        if name not in GROUPS:
            raise ConfigError(f"groups: no group '{name}'", "it is not in the model", suggest(name, GROUPS))
    wanted = tuple(name for name in dict.fromkeys((*stage.groups, *also)) if name not in frozen)
    for _ in trainable(editor, wanted):
        pass
    found = editor.groups()
    return {name: found[name] for name in wanted if found[name]}


def optimiser(groups: dict[str, list[nn.Parameter]], knobs: OptimKnobs, names: dict[int, str]) -> torch.optim.AdamW:
    """AdamW or Muon with it, as configured; `names` maps id(parameter) to its name. Raises as `adamw`."""
    plain = adamw(groups, knobs)
    if knobs.kind == "adamw":
        return plain
    every = [parameter for parameters in groups.values() for parameter in parameters]
    inner = {id(parameter) for parameter in every if is_inner(names[id(parameter)], parameter)}
    return MuonAdamW(plain.param_groups, inner, betas=knobs.betas, eps=knobs.eps, weight_decay=knobs.weight_decay)


def adamw(groups: dict[str, list[nn.Parameter]], knobs: OptimKnobs) -> torch.optim.AdamW:
    """One parameter group of the optimiser per group of the model, with its own peak rate.

    Raises:
        ConfigError: a rate for a group that does not exist, or none for one that learns.
    """
    for name in knobs.rates:
        if name not in (*GROUPS, "default"):
            raise ConfigError(f"optim.rates: no group '{name}'", "it is not in the model", suggest(name, GROUPS))
    missing = [name for name in groups if name not in knobs.rates and "default" not in knobs.rates]
    if missing:
        raise ConfigError(f"optim.rates: no rate for '{missing[0]}'", "it learns in this stage", "Give it, or default")
    table = [
        {"params": parameters, "name": name, "lr": knobs.rates.get(name, knobs.rates.get("default", 0.0))}
        for name, parameters in groups.items()
    ]
    for group in table:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(table, betas=knobs.betas, eps=knobs.eps, weight_decay=knobs.weight_decay)


def share_of_peak(update: int, updates: int, knobs: OptimKnobs) -> float:
    """The schedule: linear warm-up from zero, then constant, or cosine down to `floor` at the last update."""
    if update < knobs.warmup:
        return (update + 1) / knobs.warmup
    if knobs.schedule == "constant":
        return 1.0
    past = (update - knobs.warmup) / max(1, updates - 1 - knobs.warmup)
    return knobs.floor + (1 - knobs.floor) * (1 + math.cos(math.pi * min(1.0, past))) / 2


def set_rates(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Every group at `share` of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = share * group["peak"]


class Average:
    """An exponential moving average of named parameters, in fp32."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], decay: float) -> None:
        self.decay = decay
        self.values = {name: parameter.detach().float().clone() for name, parameter in named}

    @torch.no_grad()
    def update(self, named: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Move towards the parameters as they are now."""
        for name, parameter in named:
            self.values[name].lerp_(parameter.detach().float(), 1 - self.decay)
