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
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType, set_seed
from torch import nn

from insightedit.core.errors import BackendError, ConfigError
from insightedit.core.seed import derive
from insightedit.datasets.mixture import Skipped
from insightedit.model.assembly import Parts
from insightedit.model.codec import factor_of
from insightedit.model.editor import Draws, EditBatch, InsightEdit, draw
from insightedit.model.generation import DropRates
from insightedit.model.pipeline import InsightEditPipeline
from insightedit.model.tokens import IGNORE
from insightedit.train import checkpoint
from insightedit.train.activations import checkpoint_activations
from insightedit.train.batch import Batcher, Layout
from insightedit.train.checkpoint import Position
from insightedit.train.config import PartsKnobs, TrainConfig
from insightedit.train.data import Read, Source, batches, deciding
from insightedit.train.frozen import Frozen, fix_variance
from insightedit.train.frozen import goals as frozen_goals
from insightedit.train.grid import Grids
from insightedit.train.optim import Average, open_groups, optimiser, set_rates, share_of_peak
from insightedit.train.report import Report
from insightedit.train.stages import STAGES
from insightedit.train.start import start

MEAN = 0.98  # of the running mean of the loss, per update
FREE = {"log_every", "save_every", "keep", "workers", "cache", "log", "grid_every", "grid_count", "grid_steps"}
SPREAD = {DistributedType.FSDP, DistributedType.DEEPSPEED}  # ranks that share weights or optimiser
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def network(parts: Parts, config: TrainConfig, residual: bool) -> InsightEdit:
    """What a stage trains, as its configuration wants it; `residual` is the pipeline's."""
    stage, says = STAGES[config.stage], "residual" if residual else "noise"
    return InsightEdit(parts, stage.image_stream, says, config.region, painting="diffusion" in stage.losses)


class Run:
    """One stage of training in one process of possibly many.

    Args:
        config: of the stage.
        source: the mixture.
        out: checkpoints/, log.jsonl, and pipeline/ at the end.
        pipeline: what is trained, in place; None starts as the configuration says.
        goals: adds what frozen encoders say of a batch: `embedding` of the targets, `caption` of the texts; None
            takes the encoders that the configuration names.

    Raises:
        ConfigError: `out` holds another run, or the settings cannot work.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        out: Path,
        pipeline: InsightEditPipeline | None = None,
        goals: Callable[[EditBatch], EditBatch] | None = None,
    ) -> None:
        self.config, self.source, self.out, self.stage = config, source, out, STAGES[config.stage]
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a batch that only talks skips the UNet
        self.accelerator = Accelerator(mixed_precision=config.precision, kwargs_handlers=[unused])
        self.spread = self.accelerator.distributed_type in SPREAD
        set_seed(config.seed)
        self.pipeline = pipeline or start(config)
        self.goals = goals or self._frozen()
        one = self.pipeline
        parts = Parts(one.comprehension, one.bridge, one.image_attention, one.unet, one.vae)
        editor = network(parts, config, one.config.residual)
        groups = open_groups(editor, self.stage, config.groups, config.frozen)
        if config.checkpointing:
            checkpoint_activations(parts)
        if config.precision in HALF and "language" not in groups:
            for frozen in editor.groups()["language"]:  # 7 billion numbers that never move need no fp32
                frozen.data = frozen.data.to(HALF[config.precision])
        self.skipped, self.losses = Skipped(), dict[str, float]()  # of this process; of the last update
        self.layout = Layout.of(one.comprehension, config.resolution)
        self.latent = (one.unet.config.out_channels, *(2 * [config.resolution // factor_of(one.vae)]))
        self.editor, self.optimiser = self._prepared(editor, groups)
        whole = self.accelerator.unwrap_model(self.editor)
        self.named = {name: p for name, p in whole.named_parameters() if p.requires_grad}
        self.names = {id(p): name for name, p in self.named.items()}
        self.average = Average(self.named.items(), config.ema) if config.ema else None
        self.position = self._resume()
        self.report = Report(out, config.log, self.position.updates, self.accelerator.is_main_process)
        whole = self.accelerator.distributed_type != DistributedType.FSDP
        self.grids = Grids(config, source, self.pipeline, out, whole)

    def _frozen(self) -> Frozen:
        found = frozen_goals(self.config, self.pipeline, self.accelerator)
        fix_variance(found, self.config, self.pipeline, self.accelerator, self.source, self.out)
        return found

    @property
    def samples(self) -> int:
        """Of one update, over all ranks."""
        return self.config.batch * self.config.accumulation * self.accelerator.num_processes

    def _prepared(self, editor: InsightEdit, groups: dict[str, list[nn.Parameter]]) -> tuple[Any, Any]:
        """Model and optimiser as accelerate distributes them."""
        config, state = self.config, self.accelerator.state
        if config.optim.kind == "muon" and self.spread:
            raise ConfigError("optim.kind=muon needs whole matrices", f"{state.distributed_type} cuts them into parts",
                              "Use adamw, or DDP")  # fmt: skip
        if state.distributed_type == DistributedType.DEEPSPEED:  # what it would want to learn from a data loader
            known = state.deepspeed_plugin.deepspeed_config
            known |= {"train_micro_batch_size_per_gpu": config.batch, "gradient_clipping": config.optim.clip}
        if self.spread and config.precision in HALF:  # accelerate does so for DDP alone
            cast = torch.autocast(self.accelerator.device.type, HALF[config.precision])
            editor.forward = cast(editor.forward)  # type: ignore[method-assign]
        names = {id(p): name for name, p in editor.named_parameters()}
        return tuple(self.accelerator.prepare(editor, optimiser(groups, config.optim, names)))

    def train(self, advance: Callable[[], None] = lambda: None) -> Path:
        """All updates that are left -> the folder of the trained pipeline."""
        self._mode()
        data, waited, began = self._data(), 0.0, time.perf_counter()
        seen, left_out = 0, dict[str, str]()
        for update in range(self.position.updates, self.config.updates):
            asked = time.perf_counter()
            parts = [next(data) for _ in range(self.config.accumulation)]
            waited += time.perf_counter() - asked
            self.losses = self._update(update, parts)
            for part in parts:
                for taken in part.taken:
                    self.skipped.take(*taken)
                seen += len(part.tensors.ids) - part.stand_in
                left_out |= part.left_out
            advance()
            if (update + 1) % self.config.log_every == 0 or update + 1 == self.config.updates:
                spent = time.perf_counter() - began
                extra = {"samples_per_s": seen / spent, "wait_share": waited / spent}
                self._log(update + 1, extra, left_out)
                waited, began, seen, left_out = 0.0, time.perf_counter(), 0, {}
            if (update + 1) % self.config.save_every == 0 or update + 1 == self.config.updates:
                self._save()
            began += self._grid(update + 1)
        self.report.close()
        return self._finish()

    def _data(self) -> Iterator[Read]:
        ticks = range(self.position.updates * self.config.accumulation, self.config.updates * self.config.accumulation)
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        batcher = Batcher(self.pipeline.tokenizer, self.layout, self.config.seed)
        size, workers = self.config.batch, self.config.workers
        return batches(self.source, batcher, ticks, rank, ranks, size, workers, alike=self.spread)

    def _mode(self) -> None:
        self.editor.train()
        for frozen in (self.pipeline.vae, self.pipeline.comprehension.vision):
            frozen.eval()

    def _update(self, update: int, parts: list[Read]) -> dict[str, float]:
        """One move of the optimiser -> the losses, averaged over the backward passes of this process."""
        torch.manual_seed(derive(self.config.seed, "dropout", update, self.accelerator.process_index))
        set_rates(self.optimiser, share_of_peak(update, self.config.updates, self.config.optim))
        sums: dict[str, float] = {}
        for place, part in enumerate(parts):
            with self._syncing(place == len(parts) - 1):
                for name, value in self._backward(part).items():
                    sums[name] = sums.get(name, 0.0) + value / len(parts)
        norm = self.accelerator.clip_grad_norm_(list(self.named.values()), self.config.optim.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.named.items())
        self.position = self._stand(update + 1, sums["total"], parts)
        self.report.step(sums | ({} if norm is None else {"grad_norm": float(norm)}))
        return sums

    def _syncing(self, last: bool) -> AbstractContextManager[None]:
        self.accelerator.sync_gradients = last  # DeepSpeed moves its optimiser within the backward pass that syncs
        return nullcontext() if last else self.accelerator.no_sync(self.editor)

    def _backward(self, part: Read) -> dict[str, float]:
        batch = self.goals(part.tensors).to(self.accelerator.device)
        weights = self.stage.losses | self.config.losses
        losses, told = self.editor(batch, self._draws(part))
        if not part.stand_in:
            self.report.take(batch, told)
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

    def _draws(self, part: Read) -> Draws | None:
        if not part.places:
            return None
        rates = DropRates(**self.config.drops.model_dump())
        high = self.config.timesteps == "high"
        samples = [
            place if again == 0 else (place, again) for place in part.places for again in range(self.config.draws)
        ]
        return draw(self.config.seed, samples, self.latent, rates, high).to(self.accelerator.device)

    def _shares(self, part: Read) -> dict[str, float]:
        """This rank's part of each mean, times the ranks: so the ranks' mean is the mean over all samples."""
        edits = 0 if part.stand_in else len(part.places)
        words = int((part.tensors.tokens.labels[:, 1:] != IGNORE).sum())
        own = torch.tensor([words, edits, len(part.tensors.ids)], dtype=torch.float64)
        all_ = self.accelerator.reduce(own.to(self.accelerator.device), "sum").cpu()
        share = [
            float(one * self.accelerator.num_processes / of) if of else 0.0 for one, of in zip(own, all_, strict=True)
        ]
        by_edits = dict.fromkeys(("diffusion", "image", "answer", "mask"), share[1])
        return {"language": share[0], "caption": share[2], **by_edits}

    def _stand(self, updates: int, loss: float, parts: list[Read]) -> Position:
        before = self.position.mean_loss
        if before is not None and loss > self.config.diverged * before:
            self._stop("the loss diverged", f"{loss:.3g} after a running mean of {before:.3g}", *parts)
        mean = loss if before is None else MEAN * before + (1 - MEAN) * loss
        return replace(self.position, updates=updates, mean_loss=mean)

    def _stop(self, what: str, why: str, *parts: Read) -> None:
        ids = [name for part in parts for name in part.tensors.ids]
        where = f"at update {self.position.updates + 1}: {why}; samples {', '.join(ids)}"
        raise BackendError(what, where, "Look at these samples, lower optim.rates or optim.clip; the checkpoints stand")

    def _resume(self) -> Position:
        mark = fingerprint(self.config, self.accelerator.num_processes)
        whole = checkpoint.found(self.out / "checkpoints")
        if not whole:
            return Position(0, mark)
        position, weights, moved, average = checkpoint.load(whole[-1])
        if position.fingerprint != mark:
            raise ConfigError(f"{self.out} holds another run", "its settings differ from these",
                              "Choose another --out, or repeat its settings")  # fmt: skip
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(checkpoint.laid(weights[name], parameter))
        if self._deepspeed():
            engine = self.out / "checkpoints" / checkpoint.engine_name(position.updates)
            self.accelerator.load_state(str(engine), load_module_strict=False)
        else:
            checkpoint.fill_optimiser(self.optimiser, self.names, moved)
        if self.average is not None:
            self.average.values = {name: checkpoint.laid(value, self.named[name]) for name, value in average.items()}
        return position

    def _save(self) -> None:
        folder, main = self.out / "checkpoints", self.accelerator.is_main_process
        moved = {} if self._deepspeed() else checkpoint.optimiser_tensors(self.optimiser, self.names)
        parts = (self.named, moved, self.average.values if self.average is not None else {})
        weights, moved, average = (checkpoint.gathered(part, main) for part in parts)
        if self._deepspeed():
            engine = folder / checkpoint.engine_name(self.position.updates)
            self.accelerator.save_state(str(engine), exclude_frozen_parameters=True)
        if main:
            checkpoint.save(folder, self.position, weights, moved, average, self.config.keep)

    def _deepspeed(self) -> bool:
        return self.accelerator.distributed_type == DistributedType.DEEPSPEED

    def _log(self, update: int, values: dict[str, float], left_out: dict[str, str]) -> None:
        rates = {group["name"]: group["lr"] for group in self.optimiser.param_groups}
        caches = self.goals.told() if isinstance(self.goals, Frozen) else {}
        self.report.write(update, values | {"rates": rates, "left_out": left_out} | caches)

    def _grid(self, update: int) -> float:
        """Edits to look at, now and then -> seconds that they took."""
        if not (self.grids.due(update) and self.accelerator.is_main_process):
            return 0.0
        average = self.average.values if self.average is not None else None
        with self.accelerator.autocast():
            return self.grids.draw(update, self.named, average, self.report)

    def _finish(self) -> Path:
        folder = self.out / "pipeline"
        if self.average is not None:
            with torch.no_grad():
                for name, parameter in self.named.items():
                    parameter.copy_(self.average.values[name])
        checkpoint.make_whole(self.accelerator.unwrap_model(self.editor), self.accelerator.is_main_process)
        if self.stage.image_stream:
            self.pipeline.unet.set_default_attn_processor()  # the UNet on disk is a stock one
        if self.accelerator.is_main_process:
            with checkpoint.replacing(folder) as unfinished:
                self.pipeline.save_pretrained(unfinished)
        self.accelerator.wait_for_everyone()
        return folder


def fingerprint(config: TrainConfig, processes: int = 1) -> str:
    """Of every setting that decides the result: not where data lie, nor how an update's samples are divided.

    Raises:
        UnknownName: a dataset names no reader.
    """
    other = {"batch", "accumulation", "data"} | ({"parts"} if config.parts == PartsKnobs() else set())
    settings = config.model_dump(mode="json", exclude=FREE | other)
    settings |= {"samples": config.batch * config.accumulation * processes, "data": deciding(config.data)}
    return sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
