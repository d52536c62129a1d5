"""Boxes -> masks by SAM (Kirillov et al., 2023) and SAM 2 / 2.1 (Ravi et al., 2024), without torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.backends.batching import BatchSize, each_of
from insightedit.backends.segment import load
from insightedit.backends.segment.found import checked
from insightedit.core.config import Knobs
from insightedit.core.errors import BackendError
from insightedit.core.fingerprint import engine
from insightedit.core.mask import Box, Mask

MEAN = np.array((0.485, 0.456, 0.406), np.float32)  # of ImageNet, as both were trained
STD = np.array((0.229, 0.224, 0.225), np.float32)


class SamKnobs(Knobs):
    """Which network draws the masks."""

    model: str = "facebook/sam2.1-hiera-large"  # or facebook/sam2-hiera-large, facebook/sam-vit-huge, a folder
    revision: str | None = None
    dtype: str = "auto"
    batch_size: int = Field(default=4, ge=1, le=256)  # pictures encoded at once
    boxes_at_once: int = Field(default=64, ge=1, le=4096)


class Sam:
    """One mask for each box. Making one is cheap; `setup` loads.

    Args:
        knobs: which network.
        device: auto, cpu, cuda, cuda:N, mps.
    """

    # the files of SAM 2 are published as those of its video model, whose picture half they hold
    KINDS: ClassVar[dict[str, str]] = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}

    def __init__(self, knobs: SamKnobs, device: str = "auto") -> None:
        self.knobs, self.device = knobs, device

    def setup(self) -> None:
        """Load the network.

        Raises:
            BackendError, ConfigError, InputError: see `load.network`.
        """
        self._net = load.network(self.KINDS, self.knobs.model, self.knobs.revision, self.device, self.knobs.dtype)
        self._at_once = BatchSize(self.knobs.batch_size)
        self._side: int = self._net.model.config.prompt_encoder_config.image_size

    def engine(self) -> str:
        """The weights' name and identity, for provenance."""
        return engine(self.knobs.model, self._net.folder)

    def masks(self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[Box]]) -> list[list[tuple[Mask, float]]]:
        """A mask of the picture's size for each box, with the IoU that the network predicts for it, 0..1.

        Args:
            images: uint8 RGB (H, W, 3) of any sizes.
            boxes: for each image, xyxy px. A picture without boxes is not encoded.

        Raises:
            BackendError: the network gave no numbers.
            InputError: not an image.
        """
        work = [(checked(image), given) for image, given in zip(images, boxes, strict=True) if given]
        drawn = iter(each_of(f"{self.knobs.model} failed", work, self._at_once, self._batch, load.ANOTHER))
        return [next(drawn) if given else [] for given in boxes]

    def _batch(self, work: Sequence[tuple[np.ndarray, Sequence[Box]]]) -> list[list[tuple[Mask, float]]]:
        import torch

        sheets = np.stack([self._sheet(image) for image, _ in work])  # (B, 3, S, S)
        with torch.inference_mode():
            pixels = torch.from_numpy(sheets).to(self._net.device, self._net.dtype)
            seen = self._net.model.get_image_embeddings(pixels)  # (B, C, h, w), or one of these for each level
            return [
                self._decode([level[i : i + 1] for level in seen] if isinstance(seen, list) else seen[i : i + 1], *one)
                for i, one in enumerate(work)
            ]

    def _frame(self, image: np.ndarray) -> tuple[int, int]:
        """Height and width of the picture inside the network's square: SAM keeps its shape and pads, SAM 2 squashes."""
        if self._net.kind != "sam":
            return self._side, self._side
        scale = self._side / max(image.shape[:2])
        return int(image.shape[0] * scale + 0.5), int(image.shape[1] * scale + 0.5)

    def _sheet(self, image: np.ndarray) -> np.ndarray:
        """float32 (3, S, S): resized, normalised, then padded with 0 to the right and below."""
        height, width = self._frame(image)
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        sheet = np.zeros((self._side, self._side, 3), np.float32)
        sheet[:height, :width] = (np.asarray(small, np.float32) / 255 - MEAN) / STD
        return sheet.transpose(2, 0, 1)

    def _decode(self, seen: Any, image: np.ndarray, boxes: Sequence[Box]) -> list[tuple[Mask, float]]:
        """The masks of one picture."""
        import torch

        height, width = self._frame(image)
        scale = torch.tensor([width / image.shape[1], height / image.shape[0]]).repeat(2)
        asked = (torch.tensor(boxes, dtype=torch.float32) * scale).to(self._net.device)  # (N, 4)
        found: list[tuple[Mask, float]] = []
        for start in range(0, len(boxes), self.knobs.boxes_at_once):
            some = asked[None, start : start + self.knobs.boxes_at_once]  # (1, n, 4)
            out = self._net.model(image_embeddings=seen, input_boxes=some, multimask_output=False)
            logits, quality = out.pred_masks[0].float(), out.iou_scores[0, :, 0].float()  # (N, 1, h, w), (N,)
            if not (torch.isfinite(logits).all() and torch.isfinite(quality).all()):
                why = f"it overflowed in {self._net.dtype}"
                raise BackendError(f"{self.knobs.model} gave no numbers", why, "Use dtype=float32 or bfloat16")
            for one, score in zip(logits, quality.clamp(0, 1).tolist(), strict=True):  # one at a time: 4 HW bytes each
                found.append((Mask.of(self._full(one, (height, width), image.shape[:2])), score))
        return found

    def _full(self, logits: Any, frame: tuple[int, int], size: tuple[int, ...]) -> np.ndarray:
        """(1, h, w) logits -> bool (H, W); SAM's square is laid out first, to cut its padding off."""
        from torch.nn.functional import interpolate

        grid = logits[None]  # (1, 1, h, w)
        if self._net.kind == "sam":
            square = interpolate(grid, (self._side, self._side), mode="bilinear", align_corners=False)
            grid = square[..., : frame[0], : frame[1]]
        full = interpolate(grid, size, mode="bilinear", align_corners=False)[0, 0] > 0  # (H, W)
        return np.asarray(full.cpu().numpy())
