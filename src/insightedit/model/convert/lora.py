"""Low-rank adapters in a checkpoint: reading their configuration, starting, wrapping and merging them."""

from __future__ import annotations

import math
from pathlib import Path

from insightedit.core.errors import InputError
from insightedit.core.files import read_json
from insightedit.model.config import LoraConfig
from insightedit.model.convert.match import Part

BASE = "base_layer.weight"


def read_lora(path: Path) -> LoraConfig:
    """peft's `adapter_config.json`.

    Raises:
        InputError: not one, or of a kind that is not plain LoRA on query and value.
    """
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise InputError(f"{path} is not an adapter's configuration", "it holds no settings", "Download it again")
    wanted = {"peft_type": "LORA", "bias": "none", "fan_in_fan_out": False}
    for name, value in wanted.items():
        if raw.get(name, value) != value:
            raise InputError(f"{path} is another adapter", f"{name} is {raw[name]}, wanted {value}", "Use SmartEdit's")
    rank, alpha, targets = raw.get("r"), raw.get("lora_alpha"), raw.get("target_modules")
    if not isinstance(rank, int) or not isinstance(alpha, int) or sorted(targets or ()) != ["q_proj", "v_proj"]:
        raise InputError(f"{path} is another adapter", f"r {rank}, lora_alpha {alpha}, target_modules {targets}",
                         "Expected whole numbers, and q_proj and v_proj")  # fmt: skip
    return LoraConfig(rank=rank, alpha=alpha, dropout=float(raw.get("lora_dropout", 0.0)))


def wrap_targets(part: Part, lora: LoraConfig) -> None:
    """`q_proj.weight` -> `q_proj.base_layer.weight` for the adapters' targets, as peft names what it wraps."""
    for name in list(part.tensors):
        stem, _, last = name.rpartition(".")
        if name.startswith("language_model.model.layers.") and stem.endswith(lora.targets):
            part.move(name, f"{stem}.base_layer.{last}")


def add_fresh_lora(part: Part, lora: LoraConfig, seed: int = 0) -> None:
    """Wrap the targets and add adapters as peft starts them: A uniform (Kaiming), B zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    wrap_targets(part, lora)
    for name in [name for name in part.tensors if name.endswith(BASE)]:
        weight = part.tensors[name]  # (out, in)
        a = torch.empty(lora.rank, weight.shape[1])
        torch.nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
        stem = name.removesuffix(BASE)
        part.tensors[f"{stem}lora_A.default.weight"] = a.to(weight.dtype)
        part.tensors[f"{stem}lora_B.default.weight"] = torch.zeros(weight.shape[0], lora.rank, dtype=weight.dtype)


def merge(part: Part, lora: LoraConfig) -> list[str]:
    """W + alpha / r * B A into every wrapped weight, in float32; the adapters are gone. Returns what was merged.

    An adapter without its half, or without a weight, stays as it is: the check against the module names it.
    """
    merged = []
    for name in [name for name in part.tensors if name.endswith(BASE)]:
        stem = name.removesuffix(BASE)
        a, b = (part.tensors.get(f"{stem}lora_{half}.default.weight") for half in "AB")
        if a is None or b is None:
            continue
        weight = part.tensors[name]
        if (b.shape[0], a.shape[1]) != tuple(weight.shape) or a.shape[0] != lora.rank or b.shape[1] != lora.rank:
            raise InputError(f"an adapter of rank {lora.rank} does not fit {part.origin.get(name, name)}",
                             f"A is {tuple(a.shape)}, B {tuple(b.shape)}, the weight {tuple(weight.shape)}",
                             "Check adapter_config.json")  # fmt: skip
        delta = lora.alpha / lora.rank * (b.float() @ a.float())  # (out, in)
        part.move(name, f"{stem}weight")
        part.tensors[f"{stem}weight"] = (weight.float() + delta).to(weight.dtype)
        for half in "AB":
            part.forget(f"{stem}lora_{half}.default.weight")
        merged.append(f"{stem}weight")
    return merged
