"""The variant of the ablation that has words alone, after InstructPix2Pix (Brooks et al. 2023): no MLLM, no Q-Former,
no BIM, no IAA. `python -m benchmarks.text_only CONFIG WORDS OUT [--set k=v]`; `benchmarks.variants` calls it.

The UNet is that of the other variants down to its random weights, fed the source in the same channels and trained by
the same configuration: same samples, noise, loss, optimiser, schedule, average. Its cross-attention reads the states of
a CLIP text encoder, padding included, as Stable Diffusion's does.

InstructPix2Pix freezes CLIP, which has read hundreds of millions of captions. Ours, the recipe's, has read captions of
scenes only: 52 % of the tokens of training's instructions (48 of them: "remove", "left", "nearest", ...) never occurred
there, so their rows are random still. Frozen it would be a straw man; so it starts from there and learns with the UNet,
at the UNet's rate, because like it it has nearly everything to learn.

What the comparison holds equal: updates and samples of this stage. The others begin with a language model that was
taught what is asked and where (stage `comprehend`); an update of this one takes 0.7 of the full model's CPU time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from transformers import AutoTokenizer, CLIPTextModel, PreTrainedTokenizerBase

from insightedit.app.small_model import KEEP_MEMORY
from insightedit.core.config import load
from insightedit.core.errors import BackendError, ConfigError, InputError, InsightEditError
from insightedit.datasets.mixture import Skipped, mixture
from insightedit.model.assembly import Parts
from insightedit.model.bridging import Conditions, Nulls
from insightedit.model.codec import Codec, factor_of
from insightedit.model.editor import Draws, EditBatch, InsightEdit, draw
from insightedit.model.generation import DropRates
from insightedit.model.pipeline import InsightEditPipeline
from insightedit.model.pixels import working_size
from insightedit.model.request import Generators, Group, Pictures, Settings, StepEnd, grouped, pair, per_picture
from insightedit.train import checkpoint
from insightedit.train.batch import Batcher, Layout
from insightedit.train.checkpoint import Position
from insightedit.train.config import TrainConfig
from insightedit.train.data import Fits, Read, Source, batches
from insightedit.train.loop import fingerprint
from insightedit.train.optim import Average, optimiser, set_rates, share_of_peak
from insightedit.train.plan import pipeline_folder
from insightedit.train.report import Report
from insightedit.train.stages import STAGES

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("resolution", "square", "residual", "sampling")  # settings of the other variants' pipeline


class TextOnlyPipeline(InsightEditPipeline):
    """Words and source picture in, edited picture out; samples as `InsightEditPipeline`, which says the rest.

    Args:
        text_encoder, tokenizer: CLIP's; the tokenizer puts [BOS] and [EOS] around the words.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components: list[str] = []
    _exclude_from_cpu_offload: list[str] = []
    image_attention = None  # which sampling asks for

    def __init__(
        self,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        unet: UNet2DConditionModel,
        vae: Codec,
        scheduler: SchedulerMixin,
        resolution: int = 512,
        square: bool = False,
        residual: bool = False,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        DiffusionPipeline.__init__(self)
        self.register_modules(text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, vae=vae, scheduler=scheduler)
        self.register_to_config(resolution=resolution, square=square, residual=residual, sampling=dict(sampling or {}))

    def ids(self, texts: Sequence[str]) -> torch.Tensor:
        """n texts -> [BOS] words [EOS] and padding, (n, T) int64.

        Raises:
            InputError: one has more words than the encoder reads.
        """
        most = self.text_encoder.config.max_position_embeddings
        found = self.tokenizer(list(texts), padding="max_length", padding_side="right", max_length=most).input_ids
        longest = max(map(len, found))
        if longest > most:
            raise InputError("the instruction is too long", f"{longest} tokens, at most {most}", "Shorten it")
        return torch.tensor(found)

    def comprehend(self, group: Group, check_mm: bool = False) -> tuple[Conditions, None]:
        """B instructions -> conditions of B rows: text alone."""
        ids = torch.stack(group.tokens).to(self._execution_device)  # (B, T)
        text = self.text_encoder(ids).last_hidden_state  # (B, T, C)
        return Conditions(text, text.new_zeros(1, 1, 1, 1)), None

    def sample(self, group: Group, conditions: Conditions, settings: Settings, step_end: StepEnd) -> torch.Tensor:
        """As `InsightEditPipeline`.

        Raises:
            InputError: guidance is asked for.
        """
        if settings.guidance.needed:
            raise InputError("this variant takes no guidance", "its training hides nothing", "Use scales of 1")
        return super().sample(group, conditions, settings, step_end)

    def _groups(
        self, image: Pictures, instruction: str | Sequence[str], side: int, generator: Generators
    ) -> tuple[list[Group], Callable[[], None]]:
        images, texts = pair(image, instruction)
        generators, finish = per_picture(generator, len(images), self._execution_device)
        sizes = [working_size(*one.size, side, self.multiple, self.config.square) for one in images]
        return grouped(images, list(self.ids(texts)), generators, sizes), finish


class TextOnly(InsightEdit):
    """The training forward. `unet`, `vae` and the loss of diffusion are `InsightEdit`'s; the text encoder stands where
    that has its MLLM, and there is no bridge.
    """

    def __init__(self, pipeline: TextOnlyPipeline, region: float) -> None:
        parts = Parts(pipeline.text_encoder, None, None, pipeline.unet, pipeline.vae)
        says = "residual" if pipeline.config.residual else "noise"
        super().__init__(parts, image_stream=False, prediction=says, region=region)
        self.register_buffer("nothing", pipeline.ids([""]), persistent=False)  # (1, T), for text that is hidden

    def forward(self, batch: EditBatch, draws: Draws, ids: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
        """E edits with the ids (E, T) of their words -> the loss of diffusion, and the report of `InsightEdit`."""
        states = self.comprehension(torch.cat([ids, self.nothing])).last_hidden_state  # (E + 1, T, C)
        conditions = Conditions(states[:-1], states.new_zeros(1, 1, 1, 1), nulls=Nulls(states[-1:], None))
        error = self.diffusion_error(batch, draws, conditions)  # (E, 4, h, w)
        return error.mean(), {"per_sample": error.detach().flatten(1).mean(1), "t": draws.t}


def begin(config: TrainConfig, words: Path) -> tuple[TextOnlyPipeline, Batcher]:
    """The start of the other variants with this text encoder in place of the MLLM, and the batches that they see.

    Raises:
        InputError: a folder is not there, or not as expected.
        ConfigError: the UNet cannot read that encoder.
    """
    whole = InsightEditPipeline.from_pretrained(pipeline_folder(config.start))
    if not (words / "tokenizer_config.json").exists():
        raise InputError(f"no text encoder in {words}", "the recipe's step 'eye' is not done",
                         "Run insightedit train-small first")  # fmt: skip
    encoder, context = CLIPTextModel.from_pretrained(words), whole.unet.config.cross_attention_dim
    if encoder.config.hidden_size != context:
        raise ConfigError(f"{words} does not fit", f"its states have {encoder.config.hidden_size} numbers, the UNet "
                          f"reads {context}", "Use the text encoder of that recipe")  # fmt: skip
    settings = {name: whole.config[name] for name in KEPT}
    tokenizer = AutoTokenizer.from_pretrained(words)
    pipeline = TextOnlyPipeline(encoder, tokenizer, whole.unet, whole.vae, whole.scheduler, **settings)
    return pipeline, Batcher(whole.tokenizer, Layout.of(whole.comprehension, config.resolution), config.seed)


class Training:
    """Updates of the configuration, in one process of possibly many; stopped anywhere it continues bit-equal.

    Args:
        config: of stage 3; what it says of parts that are not here has no effect.
        source: the mixture, of edits alone.
        batcher: samples -> tensors.
        pipeline: what learns, in place.
        out: checkpoints/, log.jsonl, and pipeline/ at the end.

    Raises:
        ConfigError: `out` holds another run.
    """

    def __init__(
        self, config: TrainConfig, source: Source, batcher: Batcher, pipeline: TextOnlyPipeline, out: Path
    ) -> None:
        self.config, self.source, self.batcher, self.pipeline, self.out = config, source, batcher, pipeline, out
        self.accelerator = Accelerator(mixed_precision=config.precision)
        self.latent = (pipeline.unet.config.out_channels, *(2 * [config.resolution // factor_of(pipeline.vae)]))
        network = TextOnly(pipeline, config.region).requires_grad_(True)
        pipeline.vae.requires_grad_(False)
        groups = {"unet": list(pipeline.unet.parameters()), "language": list(pipeline.text_encoder.parameters())}
        rates = config.optim.rates
        knobs = config.optim.model_copy(update={"rates": rates | {"language": rates.get("unet", rates["default"])}})
        names = {id(p): name for name, p in network.named_parameters()}
        self.network, self.optimiser = self.accelerator.prepare(network, optimiser(groups, knobs, names))
        whole = self.accelerator.unwrap_model(self.network)
        self.named = {name: p for name, p in whole.named_parameters() if p.requires_grad}
        self.names = {id(p): name for name, p in self.named.items()}
        self.average = Average(self.named.items(), config.ema) if config.ema else None
        self.skipped, self.position = Skipped(), self._resume()
        self.report = Report(out, config.log, self.position.updates, self.accelerator.is_main_process)

    def train(self, tell: Callable[[str], None] = lambda line: None) -> Path:
        """All updates that are left -> the folder of the trained pipeline."""
        self.network.train()
        config, ranks = self.config, self.accelerator.num_processes
        ticks = range(self.position.updates, config.updates)
        rank = self.accelerator.process_index
        data = batches(self.source, self.batcher, ticks, rank, ranks, config.batch, config.workers)
        began, worked, before = time.perf_counter(), time.process_time(), self.position.updates
        for update, part in zip(ticks, data, strict=True):
            loss, done = self._update(update, part), update + 1
            if done % config.log_every == 0 or done == config.updates:
                spent = (time.perf_counter() - began) / (done - before)
                cpu = (time.process_time() - worked) / (done - before)  # of this process, however busy the machine is
                speed = {"s_per_update": spent, "cpu_s_per_update": cpu, "samples_per_s": ranks * config.batch / spent}
                self.report.write(done, speed | {"left_out": part.left_out})
                tell(f"text-only {done}/{config.updates}: diffusion {loss:.4f}, {spent:.2f} s an update")
                began, worked, before = time.perf_counter(), time.process_time(), done
            if done % config.save_every == 0 or done == config.updates:
                self._save()
        self.report.close()
        return self._finish()

    def _update(self, update: int, part: Read) -> float:
        """One move of the optimiser -> the loss over all processes."""
        config, device = self.config, self.accelerator.device
        set_rates(self.optimiser, share_of_peak(update, config.updates, config.optim))
        batch, rates = part.tensors.to(device), DropRates(**config.drops.model_dump())
        draws = draw(config.seed, part.places, self.latent, rates, config.timesteps == "high").to(device)
        loss, told = self.network(batch, draws, self.pipeline.ids(batch.texts).to(device))
        if not torch.isfinite(loss):
            where = f"at update {update + 1}: {loss.item()}; samples {', '.join(batch.ids)}"
            raise BackendError("the loss is not a number", where, "Look at these samples, or lower optim.rates")
        weight = (STAGES[config.stage].losses | config.losses)["diffusion"]
        self.accelerator.backward(weight * loss)
        norm = self.accelerator.clip_grad_norm_(list(self.named.values()), config.optim.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.named.items())
        for taken in part.taken:
            self.skipped.take(*taken)
        mean = float(self.accelerator.reduce(loss.detach(), "mean"))
        self.report.take(batch, told)
        self.report.step({"diffusion": mean, "grad_norm": float(norm)})
        self.position = replace(self.position, updates=update + 1)
        return mean

    def _resume(self) -> Position:
        mark = fingerprint(self.config, self.accelerator.num_processes)
        whole = checkpoint.found(self.out / "checkpoints")
        if not whole:
            return Position(0, mark)
        position, weights, moved, average = checkpoint.load(whole[-1])
        if position.fingerprint != mark:
            raise ConfigError(f"{self.out} holds another run", "its settings differ from these",
                              "Choose another folder, or repeat its settings")  # fmt: skip
        self._set(weights)
        checkpoint.fill_optimiser(self.optimiser, self.names, moved)
        if self.average is not None:
            self.average.values = {name: value.to(self.accelerator.device) for name, value in average.items()}
        return position

    @torch.no_grad()
    def _set(self, weights: dict[str, torch.Tensor]) -> None:
        for name, parameter in self.named.items():
            parameter.copy_(weights[name])

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        moved = checkpoint.optimiser_tensors(self.optimiser, self.names)
        average = self.average.values if self.average is not None else {}
        weights, moved, average = (checkpoint.gathered(part, True) for part in (self.named, moved, average))
        checkpoint.save(self.out / "checkpoints", self.position, weights, moved, average, self.config.keep)

    def _finish(self) -> Path:
        folder = self.out / "pipeline"
        if self.average is not None:
            self._set(self.average.values)
        if self.accelerator.is_main_process:
            with checkpoint.replacing(folder) as unfinished:
                self.pipeline.save_pretrained(unfinished)
        self.accelerator.wait_for_everyone()
        return folder


def launch(folder: Path, arguments: Sequence[str], processes: int) -> None:
    """This module in so many processes of one thread, inside `folder`, because the configuration's paths start there.

    Raises:
        BackendError: one of them failed.
    """
    many = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
    alone = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"} if processes > 1 else {}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", *many, "benchmarks.text_only", *arguments]
    answer = subprocess.run(command, cwd=folder, env=os.environ | KEEP_MEMORY | alone | {"PYTHONPATH": path})
    if answer.returncode:
        raise BackendError("training of text-only stopped", "a process failed, see above",
                           "Run the same command again: it continues at the last checkpoint")  # fmt: skip


def main(given: Sequence[str] | None = None) -> None:
    """Train, in one process of possibly many."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.text_only", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("config", type=Path, help="of stage 3; `start` names where all variants begin")
    parser.add_argument("words", type=Path, help="folder of the recipe's text encoder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="changes", help="key=value over the configuration")
    asked = parser.parse_args(given)
    try:
        config = load(TrainConfig, asked.config, asked.changes)
        pipeline, batcher = begin(config, asked.words)
        source = mixture(config.data, config.seed, Fits(batcher))
        run = Training(config, source, batcher, pipeline, asked.out)
        run.train(lambda line: print(line, file=sys.stderr) if run.accelerator.is_main_process else None)
    except InsightEditError as error:
        sys.exit(str(error))
    run.accelerator.end_training()


if __name__ == "__main__":
    main()
