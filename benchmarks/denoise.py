"""A denoising step of ours against diffusers' InstructPix2Pix pipeline, with one and the same random UNet.

Ours carries a second stream of cross-attention and the spatial residual, and keeps what does not change over the steps.
Both run as pipelines in one process, a step of one and then a step of the other; the first step of each is left out.
Memory: each in a process of its own. Ours may need the stock pipeline's plus the weights of the bridge.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import threading
import time
from dataclasses import replace

import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.process import measured
from insightedit.model.assembly import Parts, assemble
from insightedit.model.bridging import Conditions
from insightedit.model.config import InsightEditConfig, LanguageConfig, UNetConfig, VisionConfig
from insightedit.model.pipeline import InsightEditPipeline
from insightedit.model.request import Group, Guidance, Settings, StepEnd
from insightedit.model.sampling import keeping
from insightedit.model.tokens import TokenSequence

SD15 = replace(InsightEditConfig(), language=LanguageConfig(layers=1), vision=VisionConfig(layers=2))  # the MLLM rests
SMALL = replace(SD15, unet=UNetConfig(channels=(64, 128, 256, 256), heads=4))
CASES = {  # configuration, steps
    "SD-1.5": (SD15, 14),
    "small (64 to 256 channels)": (SMALL, 60),
}
SIDE = 256  # px


def pipelines(config: InsightEditConfig) -> tuple[InsightEditPipeline, StableDiffusionInstructPix2PixPipeline]:
    """Ours and diffusers' on the same UNet and VAE; neither has a text encoder here."""
    torch.manual_seed(0)
    parts = assemble(config)
    scheduler = EulerAncestralDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    ours = InsightEditPipeline(tokenizer=None, scheduler=scheduler, resolution=SIDE, **vars(parts))
    shared = {id(p): p for p in (*parts.unet.parameters(), *parts.unet.buffers())}  # another UNet of the same weights
    twin = replace(parts, unet=copy.deepcopy(parts.unet, shared), vae=copy.deepcopy(parts.vae))
    return ours, stock(twin, copy.deepcopy(scheduler))


def stock(parts: Parts, scheduler: EulerAncestralDiscreteScheduler) -> StableDiffusionInstructPix2PixPipeline:
    pipe = StableDiffusionInstructPix2PixPipeline(
        vae=parts.vae, text_encoder=None, tokenizer=None, unet=parts.unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Turns:
    """Two pipelines in two threads, one step of one, then one of the other: whatever the machine does hits both."""

    def __init__(self) -> None:
        self.mine, self.other = threading.Semaphore(1), threading.Semaphore(0)

    def swapped(self) -> Turns:
        """The other side of the table."""
        turned = Turns()
        turned.mine, turned.other = self.other, self.mine
        return turned

    def begin(self) -> None:
        self.mine.acquire()
        self.started = time.perf_counter()

    def end(self) -> float:
        seconds = time.perf_counter() - self.started
        self.other.release()
        return seconds


class Alone(Turns):
    """Nobody else is at the table."""

    def __init__(self) -> None:
        self.mine = self.other = threading.Semaphore(1)


class Clock:
    """A step-end callback that takes turns and keeps the seconds of every step but the first."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.steps = turns, list[float]()

    def __call__(self, pipe: object, step: int, t: object, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.steps += [self.turns.end()][: step > 0]
        self.turns.begin()
        return tensors

    def update(self) -> None:
        """What a progress bar would do."""


@torch.no_grad()
def run_ours(pipe: InsightEditPipeline, steps: int, clock: Clock) -> None:
    width, eye, size = pipe.comprehension.sizes.width, pipe.comprehension.eye, (SIDE, SIDE)
    clock.turns.begin()
    h, v = torch.randn(1, 32, width), torch.randn(1, eye.grid**2, eye.width)
    conditions = pipe.bridge(h, v, (SIDE // 8, SIDE // 8))
    group = Group([0], [Image.new("RGB", size)], [TokenSequence([], [], 0)], [torch.Generator()], size)
    pipe.sample(group, conditions, Settings(steps, Guidance(7.5, 1.5, 1.0)), StepEnd(clock, clock, ("latents",)))
    clock.turns.end()


@torch.no_grad()
def run_stock(pipe: StableDiffusionInstructPix2PixPipeline, steps: int, clock: Clock) -> None:
    context = pipe.unet.config.cross_attention_dim
    clock.turns.begin()
    pipe(image=Image.new("RGB", (SIDE, SIDE)), prompt_embeds=torch.randn(1, 77, context),
         negative_prompt_embeds=torch.randn(1, 77, context), num_inference_steps=steps, output_type="latent",
         callback_on_step_end=clock)  # fmt: skip
    clock.turns.end()


def compare(config: InsightEditConfig, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of every step but the first, of ours and of the stock pipeline."""
    ours, theirs = pipelines(config)
    first = Turns()
    clocks = Clock(first), Clock(first.swapped())
    runs = [
        threading.Thread(target=run_ours, args=(ours, steps, clocks[0])),
        threading.Thread(target=run_stock, args=(theirs, steps, clocks[1])),
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    return clocks[0].steps, clocks[1].steps


@torch.no_grad()
def work(config: InsightEditConfig) -> float:
    """Floating point operations of a later step of ours, in those of the stock UNet."""
    torch.manual_seed(0)
    parts, side = assemble(config), SIDE // 8
    rows = Conditions(torch.randn(3, 77, config.unet.context), torch.randn(3, config.unet.channels[0], side, side),
                      torch.randn(3, 4, config.unet.context))  # fmt: skip
    source, noisy, t = torch.randn(3, 4, side, side), torch.randn(3, 4, side, side), torch.tensor(7.0)
    with FlopCounterMode(display=False) as theirs:
        parts.unet(torch.cat([noisy, source], 1), t, encoder_hidden_states=rows.text)
    with keeping(parts.unet, source, rows, parts.image_attention) as predict:
        predict(noisy, t)
        with FlopCounterMode(display=False) as ours:
            predict(noisy, t)
    return ours.get_total_flops() / theirs.get_total_flops()


def memory(which: str) -> None:
    """One side alone, for `measured`."""
    torch.manual_seed(0)
    parts = assemble(SD15)
    scheduler = EulerAncestralDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    del parts.comprehension.language_model, parts.comprehension.vision
    if which == "ours":
        run_ours(InsightEditPipeline(tokenizer=None, scheduler=scheduler, **vars(parts)), 2, Clock(Alone()))
    else:
        del parts.bridge, parts.image_attention
        run_stock(stock(parts, scheduler), 2, Clock(Alone()))
    print(json.dumps({"which": which}))


def bridge_mb() -> float:
    with torch.device("meta"):
        parts = assemble(SD15)
    modules = (parts.bridge, parts.image_attention)
    return sum(p.numel() * p.element_size() for module in modules for p in module.parameters()) / 2**20


def main() -> None:
    print(f"\n## A denoising step at {SIDE} x {SIDE} (`denoise`, {torch.get_num_threads()} threads, fp32, batch 1)\n")
    print("| UNet | steps timed | ours, s (median) | diffusers' IP2P, s | median of ratios | quartiles | FLOPs |")
    print("|---|---|---|---|---|---|---|")
    for name, (config, steps) in CASES.items():
        ours, theirs = compare(config, steps)
        low, middle, high = statistics.quantiles([a / b for a, b in zip(ours, theirs, strict=True)], n=4)
        medians = f"{statistics.median(ours):.3f} | {statistics.median(theirs):.3f}"
        print(
            f"| {name} | {len(ours)} | {medians} | {middle:.3f} | {low:.3f} to {high:.3f} | {work(config):.4f} |",
            flush=True,
        )
    peak = {which: measured("benchmarks.denoise", which)["peak_mb"] for which in ("ours", "stock")}
    allowed = peak["stock"] + bridge_mb()
    print(f"\nPeak memory, SD-1.5 at 256 x 256: ours {peak['ours']:.0f} MB; stock {peak['stock']:.0f} MB + bridge and "
          f"K/V {bridge_mb():.0f} MB = {allowed:.0f} MB: {peak['ours'] / allowed:.3f}x.")  # fmt: skip


if __name__ == "__main__":
    memory(sys.argv[1]) if len(sys.argv) > 1 else main()
