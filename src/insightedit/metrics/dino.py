"""DINO (Caron et al. 2021) as a measure: the similarity of two pictures that MagicBrush reports beside CLIP-I.

The embedding is the class token of ViT-S/16 after the last norm. Framing as published: short side to 256 px (bicubic,
antialiased), the centre of 224 px, mean and deviation of ImageNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from insightedit.backends.batching import BatchSize, each_of
from insightedit.core.config import Knobs
from insightedit.core.device import free_memory, quiet, where
from insightedit.core.fingerprint import identity
from insightedit.core.weights import find, loading, whole
from insightedit.metrics.clip import centred

if TYPE_CHECKING:
    import torch

MEAN, STD = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)
SHORT_TO_SIDE = 256 / 224  # the picture's short side before the centre is cut out, in sides of the network's square


class DinoKnobs(Knobs):
    """Which DINO and where it runs; `model` is a folder in the layout of facebook/dino-vits16, or a hub id."""

    model: str = "facebook/dino-vits16"
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = Field(default=32, ge=1)


class Dino:
    """Pictures -> embeddings of length 1. Making one is cheap and it pickles; `setup` loads.

    Args:
        settings: see `DinoKnobs`; None for its defaults.
    """

    def __init__(self, settings: DinoKnobs | None = None) -> None:
        self.settings = settings or DinoKnobs()
        self._fits = BatchSize(self.settings.batch_size)
        self._loaded: _Loaded | None = None

    def setup(self) -> None:
        """Load the network, once; a second call does nothing.

        Raises:
            ConfigError: a device or dtype that this machine does not have.
            InputError: the weights cannot be had, are partial, or are of another kind of network.
            BackendError: torch or transformers is not installed.
        """
        if self._loaded is None:
            device, dtype = where(self.settings.device, self.settings.dtype)
            self._loaded = _load(self.settings, device, dtype)

    def release(self) -> None:
        """Let the weights go and free the device's memory; the next call loads them again."""
        if self._loaded is not None:
            self._loaded = None
            free_memory()

    def engine(self) -> str:
        """Which weights, for provenance: "model@revision-or-hash". Loads nothing.

        Raises:
            InputError: the weights cannot be had.
        """
        return f"{self.settings.model}@{identity(find(self.settings.model, self.settings.revision))}"

    def images(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """Embeddings of pictures, float32 (N, D), each of length 1.

        Args:
            batch: uint8 RGB (H, W, 3), of any sizes.

        Raises:
            BackendError: the network failed; or as `setup`.
            InputError, ConfigError: as `setup`.
        """
        self.setup()
        assert self._loaded is not None
        loaded = self._loaded
        mend = "Use another device or dtype"
        rows = each_of("DINO failed", batch, self._fits, lambda few: _see(loaded, few), mend)
        return np.stack(rows) if rows else np.zeros((0, loaded.width), np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}  # to a worker go the settings; it loads its own


@dataclass(frozen=True, eq=False)
class _Loaded:
    model: Any  # ViTModel
    side: int  # px of the network's square
    width: int  # D


def _load(settings: DinoKnobs, device: torch.device, dtype: torch.dtype) -> _Loaded:
    folder = find(settings.model, settings.revision)
    with quiet():
        from transformers import ViTModel

        with loading(f"DINO from {folder}", "Give a folder in the layout of facebook/dino-vits16"):
            model = whole(ViTModel, folder, dtype=dtype, add_pooling_layer=False).eval().to(device)
    return _Loaded(model, int(model.config.image_size), int(model.config.hidden_size))


def _see(loaded: _Loaded, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    import torch

    short = round(loaded.side * SHORT_TO_SIDE)
    squares = np.stack([centred(picture, short, loaded.side) for picture in pictures])  # (N, S, S, 3) in 0..1
    pixels = torch.from_numpy((squares - MEAN) / STD).permute(0, 3, 1, 2)  # (N, 3, S, S)
    with torch.inference_mode():
        states = loaded.model(pixel_values=pixels.to(loaded.model.device, loaded.model.dtype)).last_hidden_state
        found = states[:, 0].float().cpu().numpy()  # (N, L, D) -> (N, D), the class token
    return list(found / np.linalg.norm(found, axis=1, keepdims=True))
