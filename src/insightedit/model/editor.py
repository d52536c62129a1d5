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
from insightedit.model.codec import factor_of
from insightedit.model.generation import DropRates, Drops, denoise, drop, install, schedule
from insightedit.model.tokens import IGNORE, TokenBatch

STEPS = 1000  # of the noise schedule
MASK_WEIGHT = 4.0  # of a cell that changes, in the mask's loss: about a quarter of all do


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
    mask: torch.Tensor | None = None  # (E, H, W) bool: what changes, where that is known
    answer: torch.Tensor | None = None  # (E, k) int64, k <= r: what the [MM] states should say in words; or IGNORE
    caption: torch.Tensor | None = None  # (B, T, C): CLIP's text states, the goal of the first stage
    texts: list[str] = field(default_factory=list)  # of the B samples: instruction or caption; a talk has ""
    datasets: list[str] = field(default_factory=list)  # of the B samples, for reports
    moments_source: torch.Tensor | None = None  # (E, 2 * 4, h, w): see `moments`; None encodes the pictures
    moments_target: torch.Tensor | None = None  # (E, 2 * 4, h, w)
    features: torch.Tensor | None = None  # (B, N, W): what the vision encoder makes of `vision`, if it is known

    def to(self, device: torch.device | str) -> EditBatch:
        """The same on another device."""
        return EditBatch(**{name: _moved(value, device) for name, value in vars(self).items()})


@dataclass
class Draws:
    """All chance of one batch. Each draw depends on its own seed alone, not on its batch, rank or worker.

    An edit may have several draws, side by side: D = E times their number.
    """

    t: torch.Tensor  # (D,) int64 in [0, 1000)
    noise: torch.Tensor  # (D, 4, h, w)
    latent: torch.Tensor  # (D, 4, h, w): which latent of the target's distribution
    drops: Drops

    def to(self, device: torch.device | str) -> Draws:
        """The same on another device."""
        drops = Drops(*(mask.to(device) for mask in (self.drops.text, self.drops.source, self.drops.branch)))
        return Draws(self.t.to(device), self.noise.to(device), self.latent.to(device), drops)


def _moved(value: Any, device: torch.device | str) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor | TokenBatch) else value


def draw(
    run_seed: int,
    samples: Sequence[object],
    latent_shape: tuple[int, int, int],
    rates: DropRates,
    high: bool = False,
) -> Draws:
    """Chance for E samples, each named by what tells it from all others (update and place, say).

    Timesteps are uniform, or with `high` more often noisy: 1 - u^2 of the way, u uniform. One number per sample decides
    on text and source, another on the image branch alone.
    """
    generators = [torch.Generator().manual_seed(derive(run_seed, "draw", name)) for name in samples]
    t = [torch.randint(STEPS, (), generator=one) for one in generators]
    p = torch.stack([torch.rand(2, generator=one) for one in generators])  # (E, 2)
    normal = [torch.randn(2, *latent_shape, generator=one) for one in generators]
    noise, latent = torch.stack(normal).unbind(1)  # (E, 4, h, w) each
    steps = torch.stack(t)
    if high:
        steps = ((1 - ((steps + 0.5) / STEPS) ** 2) * STEPS).long()
    return Draws(steps, noise, latent, drops_of(p, rates))


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
        prediction: "noise" or "residual", as the model's configuration says.
        region: how much more an error counts where the edit is; 0 treats all places alike (the paper).
        painting: run the UNet; a stage that only learns to understand does not.
    """

    def __init__(
        self,
        parts: Parts,
        image_stream: bool = True,
        prediction: str = "noise",
        region: float = 0.0,
        painting: bool = True,
    ) -> None:
        super().__init__()
        self.prediction, self.region, self.painting = prediction, region, painting
        self.comprehension, self.bridge, self.unet, self.vae = parts.comprehension, parts.bridge, parts.unet, parts.vae
        self.image_attention = parts.image_attention
        self.image_stream = image_stream and parts.image_attention is not None
        if image_stream and parts.image_attention is not None:
            install(self.unet, parts.image_attention)
        self.register_buffer("kept", schedule(prediction).alphas_cumprod.float(), persistent=False)  # (1000,) alpha bar

    def forward(self, batch: EditBatch, draws: Draws | None) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Batch and chance -> (losses, report). Losses: language, caption, image, diffusion, where they apply.

        The report holds losses by sample (language and caption of B, image of E), and by draw t and, as `per_sample`,
        diffusion. `draws` may be None where no sample edits.
        """
        mllm, editing = self.comprehension, batch.editing
        seen = mllm(batch.tokens, batch.vision, v=batch.features)
        states = seen.states  # (B, L, D)
        words = mllm.token_losses(states, batch.tokens.labels)  # (n,)
        losses, report = {"language": words.mean()}, {"language": per_row(words, batch.tokens.labels)}
        if batch.caption is not None:
            h = mllm.mm_states(states, batch.tokens)  # (B, r, D)
            apart = (self.bridge.qformer(h) - batch.caption).square().flatten(1).mean(1)  # (B,)
            return losses | {"caption": apart.mean()}, report | {"caption": apart.detach()}
        if draws is None or seen.v is None or not editing.any():
            return losses, report
        h = mllm.mm_states(states[editing], batch.tokens.pick(editing))  # (E, r, D)
        if batch.answer is not None:
            losses["answer"] = mllm.answer_loss(h, batch.answer)
        factor = factor_of(self.vae)
        size = (batch.source.shape[2] // factor, batch.source.shape[3] // factor)
        conditions = self.bridge(h, seen.v[editing], size)
        iaa = self.bridge.iaa
        if iaa is not None and conditions.embedding is not None and batch.embedding is not None:  # before any drop
            apart = alignment_errors(conditions.embedding, batch.embedding, iaa.loss, iaa.variance)  # (E,)
            losses["image"], report["image"] = apart.mean(), apart.detach()
        if conditions.mask is not None and batch.mask is not None:
            losses["mask"] = mask_loss(conditions.mask, batch.mask)
        if not self.painting:
            return losses, report
        error = self.diffusion_error(batch, draws, conditions)  # (D, 4, h, w)
        losses["diffusion"] = error.mean()
        return losses, report | {"per_sample": error.detach().flatten(1).mean(1), "t": draws.t}

    def diffusion_error(self, batch: EditBatch, draws: Draws, conditions: Conditions) -> torch.Tensor:
        """Squared error of the predicted noise (D, 4, h, w); target latents are scaled, source latents are not."""
        times = len(draws.t) // len(batch.source)  # draws of one edit, which is understood and encoded once
        with torch.no_grad():
            goal = moments(self.vae, batch.target) if batch.moments_target is None else batch.moments_target
            seen = moments(self.vae, batch.source) if batch.moments_source is None else batch.moments_source
            seen = seen.repeat_interleave(times, dim=0)
            mean, std = goal.repeat_interleave(times, dim=0).chunk(2, dim=1)  # (D, 4, h, w) each
            z = (mean + std * draws.latent) * self.vae.config.scaling_factor
            source = seen.chunk(2, dim=1)[0]  # the mode
        if not self.image_stream:
            conditions = Conditions(conditions.text, conditions.residual, nulls=conditions.nulls)
        conditions, source = drop(conditions.each(times), source, draws.drops)
        kept = self.kept[draws.t].view(-1, 1, 1, 1)  # type: ignore[index]
        noisy = kept.sqrt() * z + (1 - kept).sqrt() * draws.noise  # (D, 4, h, w)
        said = denoise(self.unet, noisy, source, draws.t, conditions).float()
        error = (said - (z - source if self.prediction == "residual" else draws.noise).float()) ** 2
        if self.region and batch.mask is not None:
            where = F.interpolate(batch.mask[:, None].float(), error.shape[2:], mode="area")  # (E, 1, h, w)
            error = error * (1 + self.region * (where > 0).repeat_interleave(times, dim=0))
        return error

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


def mask_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of a coarse map: logits (E, s, s), mask (E, H, W) bool; a cell counts if any of it changes."""
    cells = F.adaptive_max_pool2d(mask[:, None].float(), logits.shape[1:])[:, 0]  # (E, s, s)
    weight = torch.full((), MASK_WEIGHT, device=logits.device)
    return F.binary_cross_entropy_with_logits(logits.float(), cells, pos_weight=weight)


def image_alignment(
    predicted: torch.Tensor, target: torch.Tensor, kind: str = "scaled", variance: float = 1.0
) -> torch.Tensor:
    """How far e_hat is from CLIP's embedding of the target; (E, dim) each -> scalar.

    "squared" is the mean squared error; "scaled" that in units of the targets' variance, plus one minus the cosine. The
    variance is a constant: one of the batch would depend on its neighbours and on the number of processes.
    CLIP embeddings are not normalised here: IP-Adapter's head was trained on their natural scale. "scaled" is
    our choice: scale matters as well as direction.
    """
    return alignment_errors(predicted, target, kind, variance).mean()


def alignment_errors(predicted: torch.Tensor, target: torch.Tensor, kind: str, variance: float) -> torch.Tensor:
    """`image_alignment` of each sample: (E, dim) each -> (E,)."""
    predicted, target = predicted.float(), target.float()
    squared = (predicted - target).square().mean(1)
    if kind == "squared":
        return squared
    return squared / variance + 1 - F.cosine_similarity(predicted, target, dim=-1)


@torch.no_grad()
def per_row(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean per sample of what `Comprehension.token_losses` gives: (n,), labels (B, L) -> (B,); 0 where none is."""
    supervised = labels[:, 1:] != IGNORE  # (B, L - 1)
    sums = torch.zeros(len(labels), device=values.device).index_add(0, supervised.nonzero()[:, 0], values.float())
    return sums / supervised.sum(1).clamp(min=1)


@torch.no_grad()
def moments(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Pictures (E, 3, H, W) -> mean and standard deviation of their latents (E, 2 * 4, h, w), not scaled."""
    latents = vae.encode(pixels).latent_dist
    return torch.cat([latents.mean, latents.std], dim=1)


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
