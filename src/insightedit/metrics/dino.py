"""DINO (Caron et al. 2021) as a measure: the similarity of two pictures that MagicBrush reports beside CLIP-I.

The embedding is the class token of ViT-S/16 after the last norm. Framing as published: short side to 256 px (bicubic,
antialiased), the centre of 224 px, mean and deviation of ImageNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from insightedit.core.device import quiet
from insightedit.core.weights import find, loading, whole
from insightedit.metrics.clip import centred
from insightedit.metrics.embedder import Embedder, EmbedderKnobs

if TYPE_CHECKING:
    import torch

MEAN, STD = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)
SHORT_TO_SIDE = 256 / 224  # the picture's short side before the centre is cut out, in sides of the network's square


class DinoKnobs(EmbedderKnobs):
    """Which DINO and where it runs; `model` is a folder in the layout of facebook/dino-vits16, or a hub id."""

    model: str = "facebook/dino-vits16"


@dataclass(frozen=True, eq=False)
class _Loaded:
    model: Any  # ViTModel
    side: int  # px of the network's square
    width: int  # D


class Dino(Embedder[_Loaded]):
    """Pictures -> embeddings of length 1.

    Args:
        settings: see `DinoKnobs`; None for its defaults.
    """

    def __init__(self, settings: DinoKnobs | None = None) -> None:
        self.settings = settings or DinoKnobs()
        super().__init__(self.settings)

    def images(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """Embeddings of pictures, float32 (N, D), each of length 1.

        Args:
            batch: uint8 RGB (H, W, 3), of any sizes.

        Raises:
            BackendError: the network failed; or as `setup`.
            InputError, ConfigError: as `setup`.
        """
        return self._embedded("DINO failed", batch, _see)

    def _load(self, device: torch.device, dtype: torch.dtype) -> _Loaded:
        folder = find(self.settings.model, self.settings.revision)
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
