"""The plan of `insightedit train --dry-run`, as data and as tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insightedit.train.config import TrainConfig

WAYS = {"ddp": "one GPU, DDP", "zero2": "ZeRO-2", "fsdp": "FSDP"}
GIB = 2**30


def report(config: TrainConfig, processes: int) -> dict[str, Any]:
    """What the run would train, take and draw from, for JSON. Nothing is loaded; the model is built on the meta device.

    Raises:
        ConfigError: the settings do not work.
        InputError: `start` is neither a preset nor a folder.
    """
    from insightedit.train.plan import plan
    from insightedit.train.shares import portions

    told = plan(config, processes)
    rates = config.optim.rates
    groups = {
        name: {
            "parameters": count,
            "trained": learns,
            "rate": rates.get(name, rates.get("default")) if learns else None,
        }
        for name, (count, learns) in told.groups.items()
    }
    return {
        "stage": config.stage,
        "start": config.start,
        "groups": groups,
        "trained": sum(count for count, learns in told.groups.values() if learns),
        "frozen": sum(count for count, learns in told.groups.values() if not learns),
        "bytes_per_gpu": {way: told.shared(way) for way in WAYS},  # type: ignore[arg-type]
        "mixture": [asdict(one) for one in portions(config.data)],
        "updates": config.updates,
        "batch": config.batch,
        "accumulation": config.accumulation,
        "processes": processes,
        "samples": config.updates * told.samples_per_update,
    }


def tables(told: dict[str, Any]) -> Any:
    """The plan for people."""
    from rich.console import Group
    from rich.text import Text

    factors = " x ".join(f"{told[name]:,} {name}" for name in ("updates", "batch", "accumulation", "processes"))
    head = Text(f"{told['stage']} from {told['start']}: {factors} = {told['samples']:,} samples\n")
    return Group(head, _groups(told), Text(""), _memory(told), Text(""), _mixture(told))


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table


def _groups(told: dict[str, Any]) -> Any:
    table = _table("Parameters", "group", "parameters", "learns at")
    for name, group in told["groups"].items():
        table.add_row(name, f"{group['parameters']:,}", f"{group['rate']:g}" if group["trained"] else "frozen")
    table.add_row("together", f"{told['trained'] + told['frozen']:,}", f"{told['trained']:,} learn")
    return table


def _memory(told: dict[str, Any]) -> Any:
    ways = told["bytes_per_gpu"]
    table = _table("GiB per GPU, activations estimated, libraries' own not counted", "", *WAYS.values())
    for name in dict.fromkeys(name for way in ways.values() for name in way):
        table.add_row(name, *(f"{ways[way][name] / GIB:.2f}" if name in ways[way] else "" for way in WAYS))
    table.add_row("together", *(f"{sum(ways[way].values()) / GIB:.2f}" for way in WAYS))
    return table


def _mixture(told: dict[str, Any]) -> Any:
    from rich.text import Text

    if not told["mixture"]:
        return Text("Mixture: none; name datasets under data.datasets, see docs/datasets.md")
    table = _table("Mixture", "dataset", "examples", "weight")
    table.add_column("")
    for one in told["mixture"]:
        examples = "" if one["examples"] is None else f"{one['examples']:,}"
        weight = "" if one["weight"] is None else f"{one['weight']:.4f}"
        table.add_row(one["name"], examples, weight, Text(f"missing: {one['missing']}" if one["missing"] else ""))
    return table
