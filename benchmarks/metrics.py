"""PSNR + SSIM + MSE + LPIPS (squeeze) of masked pairs against a loop over torchmetrics, called as SmartEdit calls it.

Both read the same PNG files and mask the same pictures. The loop has torch's default number of threads, or one where
that is faster on the first pairs; ours as many processes as there are cores, with one thread each, start-up included.
Values must be the same within the tolerances of tests/golden/eval. LPIPS runs on random weights, the same on both
sides: its speed does not depend on them.

Needs torchmetrics (`pip install torchmetrics`). torchvision is not needed: the trunk is handed over.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from insightedit.metrics.lpips import LpipsKnobs
from insightedit.metrics.networks import NetworkKnobs, Networks
from insightedit.metrics.profile import get
from insightedit.metrics.sample import Sample
from insightedit.metrics.score import score_all
from insightedit.metrics.trunks import TRUNKS

PAIRS, SIDES = 1000, (256, 512)  # px
FILES = 25  # pairs on disk, read in turn
TOLERANCE = {"psnr_masked": 1e-4, "ssim_masked": 2e-4, "mse_masked": 1e-6, "lpips_squeeze_masked": 1e-5}
ASKED = 3.0
THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Pair:
    """Reads one pair and its mask."""

    folder: Path
    number: int

    def read(self, kind: str, mode: str) -> np.ndarray:
        return np.asarray(Image.open(self.folder / f"{self.number % FILES}.{kind}.png").convert(mode))

    def __call__(self) -> Sample:
        return Sample(self.read("source", "RGB"), self.read("edited", "RGB"), mask=self.read("mask", "L"))


def draw(folder: Path, side: int) -> None:
    """Pairs of smooth colours with grain; the edited one differs everywhere a little, and in a box a lot."""
    rng = np.random.default_rng(side)
    for number in range(FILES):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
        source = np.clip(smooth + rng.normal(0, 6, (side, side, 3)), 0, 255)
        edited = np.clip(source + rng.normal(0, 4, source.shape), 0, 255)
        mask = np.zeros((side, side), np.uint8)
        left, top = rng.integers(side // 8, side // 3, 2)
        mask[top : top + side // 3, left : left + side // 4] = 255
        edited[mask > 0] = 255 - edited[mask > 0]
        for kind, pixels in (("source", source), ("edited", edited), ("mask", mask)):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.{kind}.png", compress_level=1)


def ours(pairs: list[Pair], side: int, trunk: Path) -> list[dict[str, float]]:
    """The profile without CLIP, at another side."""
    profile = replace(get("smartedit_tm19"), side=side, metrics=tuple(TOLERANCE))
    networks = Networks(NetworkKnobs(lpips=LpipsKnobs(trunk=trunk)))
    found = score_all(profile, pairs, networks, workers=os.cpu_count() or 1)
    return [{name: float(outcome.value or 0) for name, outcome in one.items()} for one in found]


def reference(pairs: list[Pair], trunk: torch.nn.Module) -> list[dict[str, float]]:
    """One pair after the other, `forward` of one object per metric."""
    psnr, ssim, mse, lpips = meters(trunk)
    found = []
    for pair in pairs:
        weight = 1 - pair.read("mask", "L").astype(np.int64) / 255
        masked = [
            torch.from_numpy(pair.read(kind, "RGB").astype(np.float32) / 255).permute(2, 0, 1)
            * torch.from_numpy(np.repeat(weight[None], 3, 0)).float()
            for kind in ("source", "edited")
        ]
        first, second = (picture[None].contiguous() for picture in masked)  # (1, 3, S, S) each, as ToTensor's
        with torch.no_grad():
            values = [meter(first, second) for meter in (psnr, ssim, mse)] + [lpips(first * 2 - 1, second * 2 - 1)]
        found.append(dict(zip(TOLERANCE, map(float, values), strict=True)))
    return found


def meters(trunk: torch.nn.Module) -> tuple[Any, Any, Any, Any]:
    """torchmetrics' objects; its LPIPS takes the trunk's layers where it would ask torchvision for them."""
    import torchmetrics.functional.image.lpips as inner
    import torchmetrics.image.lpip as outer
    from torchmetrics import MeanSquaredError
    from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

    inner._get_tv_model_features = lambda net, pretrained: trunk
    outer._TORCHVISION_AVAILABLE = True
    lpips = outer.LearnedPerceptualImagePatchSimilarity(net_type="squeeze")
    ssim = StructuralSimilarityIndexMeasure(data_range=1.0)
    return PeakSignalNoiseRatio(data_range=1.0), ssim, MeanSquaredError(), lpips


def clocked(run: Callable[[], list[dict[str, float]]]) -> tuple[list[dict[str, float]], float, float]:
    """What it gives, wall seconds, and CPU seconds of this process and the children that ended within."""
    before, began = sum(os.times()[:4]), time.perf_counter()
    result = run()
    return result, time.perf_counter() - began, sum(os.times()[:4]) - before


def faster(pairs: list[Pair], trunk: torch.nn.Module) -> int:
    """The number of threads with which the loop is faster; both are warm afterwards."""
    took = {}
    for threads in (THREADS, 1):
        torch.set_num_threads(threads)
        reference(pairs[:1], trunk)
        took[threads] = clocked(lambda: reference(pairs, trunk))[1]
    return min(took, key=lambda threads: took[threads])


def compare(side: int, count: int, folder: Path) -> str:
    """A row of the table.

    Exits if a value differs by more than its tolerance.
    """
    torch.manual_seed(0)
    trunk = TRUNKS["squeeze"].build().eval()
    for weight in trunk.parameters():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
    file = folder / "trunk.safetensors"
    save_file({f"features.{name}": weight for name, weight in trunk.state_dict().items()}, file)
    draw(folder, side)
    pairs = [Pair(folder, number) for number in range(count)]
    torch.set_num_threads(faster(pairs[:4], trunk))
    mine, taken, cpu = clocked(lambda: ours(pairs, side, file))
    theirs, needed, its_cpu = clocked(lambda: reference(pairs, trunk))
    apart = {name: max(abs(a[name] - b[name]) for a, b in zip(mine, theirs, strict=True)) for name in TOLERANCE}
    if wrong := [name for name in TOLERANCE if not apart[name] <= TOLERANCE[name]]:
        sys.exit(f"{', '.join(wrong)} differ at {side} px: {apart}")
    most = ", ".join(f"{name.split('_')[0]} {value:.1e}" for name, value in apart.items())
    return f"| {side} | {count} | {taken:.1f} | {needed:.1f} | {needed / taken:.2f}x | {its_cpu / cpu:.2f}x | {most} |"


def main(count: int = PAIRS) -> None:
    """Print the table."""
    if importlib.util.find_spec("torchmetrics") is None:
        sys.exit("the benchmark 'metrics' needs torchmetrics: pip install torchmetrics")
    threads = f"{os.cpu_count()} processes against 1 or {THREADS} threads"
    print(f"\n## Metrics of pairs (`metrics`, {threads}; asked: {ASKED:g}x)\n")
    print("| px | pairs | ours, s | torchmetrics' loop, s | ratio | of CPU seconds | largest difference |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            print(compare(side, count, Path(folder)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
