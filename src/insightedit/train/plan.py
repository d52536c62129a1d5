"""The plan of a run, before anything is loaded: what learns, what it takes, on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import nn

from insightedit.core.errors import InputError
from insightedit.core.lookup import suggest
from insightedit.model.assembly import Parts, assemble
from insightedit.model.bridging import Bridge
from insightedit.model.comprehension import Comprehension
from insightedit.model.editor import InsightEdit
from insightedit.model.generation import ImageAttention
from insightedit.model.presets import PRESETS, preset
from insightedit.train.activations import checkpoint_activations
from insightedit.train.config import TrainConfig
from insightedit.train.optim import open_groups
from insightedit.train.stages import STAGES

TEXT = 128  # tokens besides the image's that an edit takes, about


@dataclass(frozen=True)
class Plan:
    """Parameters by group, whether they learn, and bytes of one process. `activations` is what backward keeps.

    `gathered` are the bytes of weights that FSDP holds whole at a time: all but the language model's layers, and two
    of those.
    """

    groups: dict[str, tuple[int, bool]]
    weights: int
    gradients: int
    optimiser: int
    average: int
    activations: int
    gathered: int
    samples_per_update: int
    processes: int

    @property
    def total(self) -> int:
        """Bytes of one process that shares nothing (one GPU, DDP), without the libraries' own."""
        return sum(self.shared("ddp").values())

    def shared(self, how: Literal["ddp", "zero2", "fsdp"]) -> dict[str, int]:
        """Bytes of one process by what takes them, where processes share as configs/accelerate says.

        ZeRO-2 divides gradients and the optimiser's state, to which the weights' own fp32 copy belongs; FSDP divides
        all but activations. Average: as kept here, which ZeRO-2 does not divide.
        """
        learns = self.gradients // 4
        kept = {"weights": self.weights, "gradients": self.gradients, "optimiser": self.optimiser,
                "average": self.average, "activations": self.activations}  # fmt: skip
        if how == "zero2":
            return kept | {"gradients": self.gradients // self.processes, "optimiser": 12 * learns // self.processes}
        if how == "fsdp":
            parts = {name: kept[name] // self.processes for name in ("weights", "gradients", "optimiser", "average")}
            return kept | parts | {"gathered": self.gathered}
        return kept


def plan(config: TrainConfig, processes: int = 1) -> Plan:
    """What the run will train and take. Nothing is loaded: 13B takes seconds.

    Weights that learn count 4 bytes, their gradients 4, AdamW 8, their average 4; frozen ones 4, but those of the
    language model 2 in bf16 or fp16, as the loop holds them.
    Activations are counted from a forward pass of UNet, bridge and language model on the meta device, in fp32 or half.

    Raises:
        InputError: `start` is neither a preset nor a pipeline's folder.
    """
    with torch.device("meta"):
        parts = assemble(preset(config.start)) if config.start in PRESETS else _parts(pipeline_folder(config.start))
    stage = STAGES[config.stage]
    editor = InsightEdit(parts, stage.image_stream)
    learning = open_groups(editor, stage, config.groups, config.frozen)
    sizes = {name: sum(p.numel() for p in parameters) for name, parameters in editor.groups().items() if parameters}
    learns = sum(sizes[name] for name in learning)
    small = 4 if config.precision == "no" else 2
    cut = 4 - small if "language" not in learning else 0  # what half precision saves in a parameter
    language = parts.comprehension.language_model.model.layers
    layers = sum(p.numel() for p in language.parameters())
    return Plan(
        groups={name: (count, name in learning) for name, count in sizes.items()},
        weights=4 * sum(sizes.values()) - cut * sizes["language"],
        gradients=4 * learns,
        optimiser=8 * learns,
        average=4 * learns if config.ema else 0,
        activations=_activations(parts, config) * small // 4,
        gathered=small * (sum(sizes.values()) - layers + 2 * layers // len(language)),
        samples_per_update=config.batch * config.accumulation * processes,
        processes=processes,
    )


def pipeline_folder(start: str) -> Path:
    """The folder that a run starts from, where `start` is no preset.

    Raises:
        InputError: it is not a pipeline's.
    """
    if not (Path(start) / "model_index.json").is_file():
        mend = f"{suggest(start, PRESETS)}, or a folder of `insightedit convert` or of an earlier stage"
        raise InputError(f"cannot start from {start}", "it is no preset and no pipeline's folder", mend)
    return Path(start)


def _parts(folder: Path) -> Parts:
    """The parts of a pipeline's folder, by their configurations alone."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    def built(kind: type, name: str) -> nn.Module:
        return kind.from_config(kind.load_config(folder / name))  # type: ignore[attr-defined]

    branch = built(ImageAttention, "image_attention") if (folder / "image_attention").is_dir() else None
    return Parts(
        built(Comprehension, "comprehension"),  # type: ignore[arg-type]
        built(Bridge, "bridge"),  # type: ignore[arg-type]
        branch,  # type: ignore[arg-type]
        built(UNet2DConditionModel, "unet"),
        built(AutoencoderKL, "vae"),
    )


def _activations(parts: Parts, config: TrainConfig) -> int:
    """Bytes in fp32 that one backward pass keeps, without weights; each storage once."""
    mllm, modules = parts.comprehension, [module for module in vars(parts).values() if module is not None]
    own = {p.untyped_storage()._cdata for module in modules for p in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in own:
            kept[place] = tensor.untyped_storage().nbytes()
        held.append(tensor)  # a storage that is freed would lend its number to the next
        return tensor

    held: list[torch.Tensor] = []
    if config.checkpointing:
        checkpoint_activations(parts)
        for module in (parts.unet, mllm):
            module.train()
    fused = patch.object(F, "scaled_dot_product_attention", lambda q, k, v, *_, **__: _Fused.apply(q, k, v))
    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), fused:
        _forward(parts, config)
    return sum(kept.values())


class _Fused(torch.autograd.Function):
    """Attention as fused kernels keep it: inputs and output. On the meta device torch would keep its matrix."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out)
        return out


def _forward(parts: Parts, config: TrainConfig) -> None:
    mllm, batch, eye = parts.comprehension, config.batch, parts.comprehension.eye
    length = TEXT + (eye.grid**2 if config.stage != "align" else 0)
    words = torch.zeros(batch, length, mllm.sizes.width, requires_grad=True)
    causal = torch.zeros(1, 1, length, length)  # given whole, for making one looks at values, which meta has none of
    states = mllm.language_model.model(inputs_embeds=words, attention_mask=causal, use_cache=False)[0]
    h = states[:, : mllm.sizes.mm_tokens]
    if config.stage == "align":
        parts.bridge.qformer(h)
        return
    side = config.resolution // 2 ** (len(parts.vae.config.block_out_channels) - 1)
    conditions = parts.bridge(h, torch.zeros(batch, eye.grid**2, eye.width), (side, side))
    text: object = conditions.text
    if conditions.image is not None and STAGES[config.stage].image_stream:
        text = (conditions.text, [conditions.image])
    noisy = torch.zeros(batch, parts.unet.config.in_channels, side, side)
    parts.unet(noisy, torch.zeros(batch), encoder_hidden_states=text)
