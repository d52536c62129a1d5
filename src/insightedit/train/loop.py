"""The loop: update by update, killed at any of them it continues bit-equal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from hashlib import sha256
from math import isfinite
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import set_seed

from insightedit.core.errors import BackendError, ConfigError
from insightedit.core.files import write_text
from insightedit.core.seed import derive
from insightedit.model.assembly import Parts
from insightedit.model.editor import Draws, EditBatch, InsightEdit, draw
from insightedit.model.generation import DropRates
from insightedit.model.pipeline import InsightEditPipeline, from_preset
from insightedit.model.presets import PRESETS
from insightedit.model.tokens import IGNORE
from insightedit.train import checkpoint
from insightedit.train.batch import Batch, Batcher, Layout
from insightedit.train.checkpoint import Position
from insightedit.train.config import TrainConfig
from insightedit.train.data import Source, batches
from insightedit.train.optim import Average, adamw, open_groups, set_rates, share_of_peak
from insightedit.train.stages import STAGES

MEAN = 0.98  # of the running mean of the loss, per update
FREE = {"log_every", "save_every", "keep", "workers"}  # settings that a resumed run may change


def start(config: TrainConfig) -> InsightEditPipeline:
    """The pipeline that the stage begins with: a preset with random weights, or a folder."""
    if config.start in PRESETS:
        return from_preset(config.start, config.seed)
    return InsightEditPipeline.from_pretrained(config.start)


class Run:
    """One stage of training in one process of possibly many.

    Args:
        config: of the stage.
        source: the mixture.
        out: checkpoints/, log.jsonl, and pipeline/ at the end.
        pipeline: what is trained, in place; None starts as the configuration says.
        goals: adds what frozen encoders say of a batch: `embedding` of the targets, `caption` of the texts.

    Raises:
        ConfigError: `out` holds another run, or the settings cannot work.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        out: Path,
        pipeline: InsightEditPipeline | None = None,
        goals: Callable[[EditBatch], EditBatch] = lambda batch: batch,
    ) -> None:
        self.config, self.source, self.out, self.stage = config, source, out, STAGES[config.stage]
        self.goals = goals
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a batch that only talks skips the UNet
        self.accelerator = Accelerator(mixed_precision=config.precision, kwargs_handlers=[unused])
        set_seed(config.seed)
        self.pipeline = pipeline or start(config)
        one = self.pipeline
        parts = Parts(one.comprehension, one.bridge, one.image_attention, one.unet, one.vae)
        editor = InsightEdit(parts, self.stage.image_stream)
        groups = open_groups(editor, self.stage)
        if config.checkpointing:
            one.unet.enable_gradient_checkpointing()
            one.comprehension.language_model.gradient_checkpointing_enable()
        self.named = {name: p for name, p in editor.named_parameters() if p.requires_grad}
        self.names = {id(p): name for name, p in self.named.items()}
        self.layout = Layout.of(one.comprehension, config.resolution)
        self.latent = (one.unet.config.out_channels, *(2 * [config.resolution // _factor(one)]))
        self.optimiser = adamw(groups, config.optim)
        self.editor = self.accelerator.prepare(editor)
        self.average = Average(self.named.items(), config.ema) if config.ema else None
        self.position = self._resume()

    def train(self, advance: Callable[[], None] = lambda: None) -> Path:
        """All updates that are left -> the folder of the trained pipeline."""
        self._mode()
        data, waited, began = self._data(), 0.0, time.perf_counter()
        seen, left_out = 0, dict[str, str]()
        for update in range(self.position.updates, self.config.updates):
            asked = time.perf_counter()
            parts = [next(data) for _ in range(self.config.accumulation)]
            waited += time.perf_counter() - asked
            losses = self._update(update, parts)
            for part in parts:
                seen += len(part.tensors.ids)
                left_out |= part.left_out
            advance()
            if (update + 1) % self.config.log_every == 0 or update + 1 == self.config.updates:
                spent = time.perf_counter() - began
                extra = {"samples_per_s": seen / spent, "wait_share": waited / spent}
                self._log(update + 1, losses | extra, left_out)
                waited, began, seen, left_out = 0.0, time.perf_counter(), 0, {}
            if (update + 1) % self.config.save_every == 0 or update + 1 == self.config.updates:
                self._save()
        return self._finish()

    def _data(self) -> Iterator[Batch]:
        ticks = range(self.position.updates * self.config.accumulation, self.config.updates * self.config.accumulation)
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        batcher = Batcher(self.pipeline.tokenizer, self.layout, self.config.seed)
        return batches(self.source, batcher, ticks, rank, ranks, self.config.batch, self.config.workers)

    def _mode(self) -> None:
        self.editor.train()
        for frozen in (self.pipeline.vae, self.pipeline.comprehension.vision):
            frozen.eval()

    def _update(self, update: int, parts: list[Batch]) -> dict[str, float]:
        """One move of the optimiser -> the losses, averaged over the backward passes of this process."""
        torch.manual_seed(derive(self.config.seed, "dropout", update, self.accelerator.process_index))
        set_rates(self.optimiser, share_of_peak(update, self.config.updates, self.config.optim))
        sums: dict[str, float] = {}
        for place, part in enumerate(parts):
            with self._syncing(place == len(parts) - 1):
                for name, value in self._backward(part).items():
                    sums[name] = sums.get(name, 0.0) + value / len(parts)
        self.accelerator.clip_grad_norm_(list(self.named.values()), self.config.optim.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.named.items())
        self.position = self._stand(update + 1, sums["total"], parts)
        return sums

    def _syncing(self, last: bool) -> AbstractContextManager[None]:
        return nullcontext() if last else self.accelerator.no_sync(self.editor)

    def _backward(self, part: Batch) -> dict[str, float]:
        batch = self.goals(part.tensors.to(self.accelerator.device))
        weights = {name: self.config.losses.get(name, weight) for name, weight in self.stage.losses.items()}
        losses, _ = self.editor(batch, self._draws(part))
        shares = self._shares(part)
        total = sum(weights[name] * shares[name] * loss for name, loss in losses.items() if name in weights)
        if not all(isfinite(float(loss.detach())) for loss in losses.values()):
            self._stop("the loss is not a number", str({name: loss.item() for name, loss in losses.items()}), part)
        self.accelerator.backward(total / self.config.accumulation)
        return self._means({name: shares[name] * loss.detach() for name, loss in losses.items()}, weights)

    def _means(self, own: dict[str, torch.Tensor], weights: dict[str, float]) -> dict[str, float]:
        """The losses over the samples of all ranks, and their weighted sum; every rank sends every loss."""
        nothing = torch.zeros((), device=self.accelerator.device)
        sent = torch.stack([own.get(name, nothing).float() for name in weights])
        means = dict(zip(weights, self.accelerator.reduce(sent, "mean").tolist(), strict=True))
        return means | {"total": sum(weights[name] * mean for name, mean in means.items())}

    def _draws(self, part: Batch) -> Draws | None:
        if not part.places:
            return None
        rates = DropRates(**self.config.drops.model_dump())
        return draw(self.config.seed, part.places, self.latent, rates).to(self.accelerator.device)

    def _shares(self, part: Batch) -> dict[str, float]:
        """This rank's part of each mean, times the ranks: so the ranks' mean is the mean over all samples."""
        edits = len(part.places)
        words = int((part.tensors.tokens.labels[:, 1:] != IGNORE).sum())
        own = torch.tensor([words, edits, len(part.tensors.ids)], dtype=torch.float64)
        all_ = self.accelerator.reduce(own.to(self.accelerator.device), "sum").cpu()
        share = [
            float(one * self.accelerator.num_processes / of) if of else 0.0 for one, of in zip(own, all_, strict=True)
        ]
        return {"language": share[0], "diffusion": share[1], "image": share[1], "caption": share[2]}

    def _stand(self, updates: int, loss: float, parts: list[Batch]) -> Position:
        before = self.position.mean_loss
        if before is not None and loss > self.config.diverged * before:
            self._stop("the loss diverged", f"{loss:.3g} after a running mean of {before:.3g}", *parts)
        mean = loss if before is None else MEAN * before + (1 - MEAN) * loss
        return replace(self.position, updates=updates, mean_loss=mean)

    def _stop(self, what: str, why: str, *parts: Batch) -> None:
        ids = [name for part in parts for name in part.tensors.ids]
        where = f"at update {self.position.updates + 1}: {why}; samples {', '.join(ids)}"
        raise BackendError(what, where, "Look at these samples, lower optim.rates or optim.clip; the checkpoints stand")

    def _resume(self) -> Position:
        mark = fingerprint(self.config)
        whole = checkpoint.found(self.out / "checkpoints")
        if not whole:
            return Position(0, mark)
        position, weights, optimiser, average = checkpoint.load(whole[-1])
        if position.fingerprint != mark:
            raise ConfigError(f"{self.out} holds another run", "its settings differ from these",
                              "Choose another --out, or repeat its settings")  # fmt: skip
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(weights[name])
        checkpoint.fill_optimiser(self.optimiser, self.names, optimiser)
        if self.average is not None:
            self.average.values = {name: value.to(self.accelerator.device) for name, value in average.items()}
        return position

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        weights = {name: parameter.detach().cpu().contiguous() for name, parameter in self.named.items()}
        optimiser = checkpoint.optimiser_tensors(self.optimiser, self.names)
        average = self.average.values if self.average is not None else {}
        checkpoint.save(self.out / "checkpoints", self.position, weights, optimiser, average, self.config.keep)

    def _log(self, update: int, values: dict[str, float], left_out: dict[str, str]) -> None:
        if not self.accelerator.is_main_process:
            return
        path = self.out / "log.jsonl"
        before = [line for line in _lines(path) if json.loads(line)["update"] < update]  # a resumed run repeats some
        rates = {group["name"]: group["lr"] for group in self.optimiser.param_groups}
        line = json.dumps({"update": update, **values, "rates": rates, "left_out": left_out})
        write_text(path, "\n".join([*before, line]) + "\n")

    def _finish(self) -> Path:
        folder = self.out / "pipeline"
        if self.average is not None:
            with torch.no_grad():
                for name, parameter in self.named.items():
                    parameter.copy_(self.average.values[name])
        if self.stage.image_stream:
            self.pipeline.unet.set_default_attn_processor()  # the UNet on disk is a stock one
        if self.accelerator.is_main_process:
            self.pipeline.save_pretrained(folder)
        return folder


def _factor(pipeline: InsightEditPipeline) -> int:
    return 2 ** (len(pipeline.vae.config.block_out_channels) - 1)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def fingerprint(config: TrainConfig) -> str:
    """Of every setting that decides the result."""
    deciding = config.model_dump(mode="json", exclude=FREE)
    return sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]
