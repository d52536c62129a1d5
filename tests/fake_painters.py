"""Painters without networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from insightedit.backends.paint.painter import Canvas, Painter, PainterSettings


class Noise(Painter):
    """Paints the whole canvas with noise from its seed."""

    name = "noise"
    Settings = PainterSettings
    loads = 0

    def engine(self) -> str:
        return "noise@1"

    def _load(self) -> None:
        self.loads += 1

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        return [np.random.default_rng(one.seed).integers(0, 256, one.image.shape, np.uint8) for one in canvases]


class Shifted(Noise):
    """A perfect painter behind a bad autoencoder: the canvas itself, darker and with less contrast."""

    name = "shifted"
    gain, shift = 0.9, -12.0

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        return [np.clip(one.image * self.gain + self.shift, 0, 255).astype(np.uint8) for one in canvases]
