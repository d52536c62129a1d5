"""The whole network for training: a batch of editing samples -> losses to descend and numbers to watch.

B samples, of which E edit (the others only talk about their picture); L tokens, T text and V visual tokens, h x w
latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from insightedit.core.seed import derive
from insightedit.model.assembly import Parts
from insightedit.model.bridging import Conditions
from insightedit.model.generation import DropRates, Drops, denoise, drop, install
from insightedit.model.tokens import TokenBatch

STEPS = 1000  # of the noise schedule
BETAS = (0.00085, 0.012)  # Stable Diffusion 1.5's scaled-linear schedule


@dataclass
class EditBatch:
    """Tensors of one batch. `editing` (B,) bool names the samples that source, target and the draws belong to."""

    tokens: TokenBatch
    vision: torch.Tensor | None  # (B, 3, S, S), CLIP-normalised source; None for captions
    source: torch.Tensor  # (E, 3, H, W) in [-1, 1]
    target: torch.Tensor  # (E, 3, H, W) in [-1, 1]
    editing: torch.Tensor  # (B,) bool
    ids: list[str] = field(default_factory=list)  # of the B samples, for messages
    embedding: torch.Tensor | None = None  # (E, dim): CLIP's un-normalised embedding of the target
    caption: torch.Tensor | None = None  # (B, T, C): CLIP's text states, the goal of the first stage

    def to(self, device: torch.device | str) -> EditBatch:
        """The same on another device."""
        return EditBatch(**{name: _moved(value, device) for name, value in vars(self).items()})


@dataclass
class Draws:
    """All chance of one batch. Each sample's depends on its own seed alone, not on its batch, rank or worker."""

    t: torch.Tensor  # (E,) int64 in [0, 1000)
    noise: torch.Tensor  # (E, 4, h, w)
    latent: torch.Tensor  # (E, 4, h, w): which latent of the target's distribution
    drops: Drops

    def to(self, device: torch.device | str) -> Draws:
        """The same on another device."""
        drops = Drops(*(mask.to(device) for mask in (self.drops.text, self.drops.source, self.drops.branch)))
        return Draws(self.t.to(device), self.noise.to(device), self.latent.to(device), drops)


def _moved(value: Any, device: torch.device | str) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor | TokenBatch) else value


def draw(run_seed: int, samples: Sequence[object], latent_shape: tuple[int, int, int], rates: DropRates) -> Draws:
    """Chance for E samples, each named by what tells it from all others (update and place, say).

    Timesteps are uniform. One number per sample decides on text and source, another on the image branch alone.
    """
    generators = [torch.Generator().manual_seed(derive(run_seed, "draw", name)) for name in samples]
    t = [torch.randint(STEPS, (), generator=one) for one in generators]
    p = torch.stack([torch.rand(2, generator=one) for one in generators])  # (E, 2)
    normal = [torch.randn(2, *latent_shape, generator=one) for one in generators]
    noise, latent = torch.stack(normal).unbind(1)  # (E, 4, h, w) each
    return Draws(torch.stack(t), noise, latent, drops_of(p, rates))


def drops_of(p: torch.Tensor, rates: DropRates) -> Drops:
    """Uniform numbers (E, 2) -> what is hidden. SmartEdit: below 0.05 text, to 0.10 both, to 0.15 the source."""
    first, own = p.unbind(1)
    text = first < rates.text + rates.both
    source = (first >= rates.text) & (first < rates.text + rates.both + rates.image)
    return Drops(text, source, text | (own < rates.branch))


class InsightEdit(nn.Module):
    """All parts under one roof.

    Args:
        parts: from `assembly.assemble` or a pipeline's components.
        image_stream: feed f_img to the UNet; the second stage trains the Mapper without.
    """

    def __init__(self, parts: Parts, image_stream: bool = True) -> None:
        super().__init__()
        self.comprehension, self.bridge, self.unet, self.vae = parts.comprehension, parts.bridge, parts.unet, parts.vae
        self.image_attention = parts.image_attention
        self.image_stream = image_stream and parts.image_attention is not None
        if image_stream and parts.image_attention is not None:
            install(self.unet, parts.image_attention)
        betas = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, STEPS) ** 2
        self.register_buffer("kept", torch.cumprod(1 - betas, dim=0), persistent=False)  # (1000,) alpha bar

    def forward(self, batch: EditBatch, draws: Draws | None) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Batch and chance -> (losses, report). Losses: language, caption, image, diffusion, where they apply.

        `draws` may be None where no sample edits.
        """
        mllm, editing = self.comprehension, batch.editing
        seen = mllm(batch.tokens, batch.vision)
        states = seen.states  # (B, L, D)
        losses = {"language": mllm.language_loss(states, batch.tokens.labels)}
        if batch.caption is not None:
            h = mllm.mm_states(states, batch.tokens)  # (B, r, D)
            losses["caption"] = F.mse_loss(self.bridge.qformer(h), batch.caption)
            return losses, {}
        if draws is None or seen.v is None or not editing.any():
            return losses, {}
        h = mllm.mm_states(states[editing], batch.tokens.pick(editing))  # (E, r, D)
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        size = (batch.source.shape[2] // factor, batch.source.shape[3] // factor)
        conditions = self.bridge(h, seen.v[editing], size)
        iaa = self.bridge.iaa
        if iaa is not None and conditions.embedding is not None and batch.embedding is not None:  # before any drop
            losses["image"] = image_alignment(conditions.embedding, batch.embedding, iaa.loss, iaa.variance)
        error = self.diffusion_error(batch, draws, conditions)  # (E, 4, h, w)
        losses["diffusion"] = error.mean()
        return losses, {"per_sample": error.detach().flatten(1).mean(1), "t": draws.t}

    def diffusion_error(self, batch: EditBatch, draws: Draws, conditions: Conditions) -> torch.Tensor:
        """Squared error of the predicted noise (E, 4, h, w); target latents are scaled, source latents are not."""
        with torch.no_grad():
            goal = self.vae.encode(batch.target).latent_dist  # of (E, 4, h, w)
            z = (goal.mean + goal.std * draws.latent) * self.vae.config.scaling_factor
            source = self.vae.encode(batch.source).latent_dist.mode()
        if not self.image_stream:
            conditions = Conditions(conditions.text, conditions.residual, nulls=conditions.nulls)
        conditions, source = drop(conditions, source, draws.drops)
        kept = self.kept[draws.t].view(-1, 1, 1, 1)  # type: ignore[index]
        noisy = kept.sqrt() * z + (1 - kept).sqrt() * draws.noise  # (E, 4, h, w)
        eps = denoise(self.unet, noisy, source, draws.t, conditions)
        return (eps.float() - draws.noise.float()) ** 2

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter, once, by the group that a stage trains or freezes."""
        found: dict[str, list[nn.Parameter]] = {name: [] for name in GROUPS}
        for name, parameter in self.named_parameters():
            found[group_of(name)].append(parameter)
        return found


GROUPS = ("vision", "projector", "language", "lora", "new_rows", "qformer", "bim", "mapper", "image_head",
          "image_attention", "unet", "vae")  # fmt: skip

PLACES = (  # first match wins
    ("lora_", "lora"),
    ("comprehension.new_", "new_rows"),
    ("comprehension.vision.", "vision"),
    ("comprehension.projector.", "projector"),
    ("comprehension.language_model.", "language"),
    ("bridge.qformer.", "qformer"),
    ("bridge.bim.", "bim"),
    ("bridge.iaa.mapper.", "mapper"),
    ("bridge.iaa.projection.", "image_head"),
    ("image_attention.", "image_attention"),
    (".processor.", "image_attention"),  # the same layers, met in the UNet first
    ("unet.", "unet"),
    ("vae.", "vae"),
)


def group_of(name: str) -> str:
    """The group of a parameter of `InsightEdit`, by its full name."""
    return next(group for mark, group in PLACES if mark in name)


def image_alignment(
    predicted: torch.Tensor, target: torch.Tensor, kind: str = "scaled", variance: float = 1.0
) -> torch.Tensor:
    """How far e_hat is from CLIP's embedding of the target; (E, dim) each -> scalar.

    "squared" is the mean squared error; "scaled" that in units of the targets' variance, plus one minus the cosine. The
    variance is a constant: one of the batch would depend on its neighbours and on the number of processes.
    CLIP embeddings are not normalised here: IP-Adapter's head was trained on their natural scale. "scaled" is
    our choice: scale matters as well as direction.
    """
    predicted, target = predicted.float(), target.float()
    if kind == "squared":
        return F.mse_loss(predicted, target)
    cosine = F.cosine_similarity(predicted, target, dim=-1).mean()
    return F.mse_loss(predicted, target) / variance + 1 - cosine


def trainable(editor: InsightEdit, groups: Sequence[str]) -> Iterator[nn.Parameter]:
    """Set `requires_grad` to exactly the named groups, and give their parameters.

    Raises:
        KeyError: no such group.
    """
    for name, parameters in editor.groups().items():
        for parameter in parameters:
            parameter.requires_grad_(name in groups)
    found = editor.groups()
    return (parameter for name in groups for parameter in found[name])
