"""The trunks of LPIPS in plain torch: SqueezeNet 1.1, AlexNet and VGG-16 without their classifiers.

Modules stand at the places that torchvision gives them, so that its published weight files fit by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from insightedit.metrics.lpips import Net

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Trunk:
    """One published network.

    Fields:
        build: its layers, with random weights.
        ends: after how many layers each of LPIPS' slices ends.
        channels: of the slices.
    """

    build: Callable[[], nn.Sequential]
    ends: tuple[int, ...]
    channels: tuple[int, ...]


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1 x 1 and 3 x 3 (Iandola et al. 2016)."""

    def __init__(self, width: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu_()  # (B, C, H, W) -> (B, S, H, W)
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1).relu_()  # (B, 2E, H, W)


def _pool(ceil: bool = False) -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=ceil)


def _squeeze() -> nn.Sequential:
    pool = True  # the last column counts: rounding down would shift every later map
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True), _pool(pool), Fire(64, 16, 64), Fire(128, 16, 64),
        _pool(pool), Fire(128, 32, 128), Fire(256, 32, 128),
        _pool(pool), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip


def _alex() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), _pool(),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), _pool(),
        *_convolutions((192, 384, 256, 256)),
    )  # fmt: skip


def _vgg() -> nn.Sequential:
    blocks = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
    layers = _convolutions(blocks[0])
    for block in blocks[1:]:
        layers += [nn.MaxPool2d(2), *_convolutions(block)]
    return nn.Sequential(*layers)


def _convolutions(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return layers


TRUNKS: dict[Net, Trunk] = {
    "squeeze": Trunk(_squeeze, (2, 5, 8, 10, 11, 12, 13), (64, 128, 256, 384, 384, 512, 512)),
    "alex": Trunk(_alex, (2, 5, 8, 10, 12), (64, 192, 384, 256, 256)),
    "vgg": Trunk(_vgg, (4, 9, 16, 23, 30), (64, 128, 256, 512, 512)),
}
