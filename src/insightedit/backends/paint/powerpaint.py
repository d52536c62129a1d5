"""PowerPaint (Zhuang et al. 2023, arXiv 2312.03594): one network for removing and inserting, led by learned task words.

Version 1 is an inpainting UNet of its own; version 2-1 is a side branch with cross-attention. Defaults are those of
InsightEdit's construction scripts (45 steps, guidance 12, fitting degree 1, short side 640).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.backends.paint.brushnet_painter import (
    BASE,
    PARTS,
    BasedPainter,
    BasedSettings,
    BranchPainter,
    BranchSettings,
    generators,
    load_scheduler,
    load_unet,
    load_vae,
)
from insightedit.backends.paint.painter import Canvas
from insightedit.core.errors import InputError
from insightedit.core.image import to_uint8
from insightedit.core.weights import find

if TYPE_CHECKING:
    import torch

    from insightedit.backends.paint.task_words import Phrase, Purpose, TaskEncoder

INPAINTING = "stable-diffusion-v1-5/stable-diffusion-inpainting"
REALISTIC = "realisticVisionV60B1_v51VAE"  # the base within the folder of version 2-1
BRANCH = "PowerPaint_Brushnet"
FOLDED = "text_encoder_brushnet"


class PowerPaintSettings(BasedSettings):
    """As `BasedSettings`.

    `put` is how replacements and additions are asked for: an "object" anywhere in the hole, or one that fills its
    "shape" as closely as `fitting` says (0..1; without meaning for the others).
    """

    model: str | None = "JunhaoZhuang/PowerPaint-v1"
    base: str | None = INPAINTING
    steps: int = Field(default=45, ge=1, le=1000)
    guidance: float = Field(default=12.0, ge=0, allow_inf_nan=False)
    side: int = Field(default=640, ge=64, le=4096)
    fitting: float = Field(default=1.0, ge=0, le=1)
    put: Literal["object", "shape"] = "object"


class PowerPaintV2Settings(PowerPaintSettings, BranchSettings):
    """As `PowerPaintSettings` with the `scale` of the branch. Without `base`, the one within the folder is taken."""

    model: str | None = "JunhaoZhuang/PowerPaint-v2-1"
    base: str | None = None


class PowerPaintV1(BasedPainter):
    """PowerPaint v1: `unet/unet.safetensors` and `text_encoder/text_encoder.safetensors` on an inpainting base."""

    name = "powerpaint_v1"
    Settings = PowerPaintSettings
    settings: PowerPaintSettings
    files = ("unet/unet.safetensors", "text_encoder/text_encoder.safetensors")
    base_files = tuple(file for file in PARTS if not file.startswith(("unet/diffusion", "text_encoder/model")))

    words: TaskEncoder | None = None

    def _assemble(self, folder: Path, base: Path, dtype: torch.dtype) -> Any:
        from diffusers import StableDiffusionInpaintPipeline

        from insightedit.backends.paint.task_words import load_task_encoder

        file = folder / "text_encoder" / "text_encoder.safetensors"
        self.words = load_task_encoder(file, base / "text_encoder", base / "tokenizer", dtype)
        return StableDiffusionInpaintPipeline(
            unet=load_unet(base / "unet", folder / "unet" / "unet.safetensors", dtype),
            vae=load_vae(base, dtype),
            text_encoder=self.words.network,
            tokenizer=self.words.tokenizer,
            scheduler=load_scheduler(base),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def _unload(self) -> None:
        self.words = None
        super()._unload()

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        import torch

        height, width = canvases[0].hole.shape
        said = [asked(canvas, self.settings.put, bare=False) for canvas in canvases]
        with torch.no_grad():
            made = self.pipe(
                prompt_embeds=encoded([wish for wish, _ in said], self.words, self.settings.fitting, self.device),
                negative_prompt_embeds=encoded([no for _, no in said], self.words, self.settings.fitting, self.device),
                image=[Image.fromarray(canvas.image) for canvas in canvases],
                mask_image=[Image.fromarray(canvas.hole) for canvas in canvases],
                height=height,
                width=width,
                strength=1.0,
                num_inference_steps=self.settings.steps,
                guidance_scale=self.settings.guidance,
                generator=generators(canvases),
                output_type="np",
            ).images  # (B, H, W, 3)
        return [to_uint8(one) for one in made]


class PowerPaintV2(BranchPainter):
    """PowerPaint v2-1: a branch led by task words alone; the UNet reads the prompt, of any Stable Diffusion 1.5.

    `model` is the author's folder (`PowerPaint_Brushnet/` with the branch and the wrapped text encoder), or Sanster's
    (`text_encoder_brushnet/`, `tokenizer/`), which needs a `base`.
    """

    name = "powerpaint_v2"
    Settings = PowerPaintV2Settings
    settings: PowerPaintV2Settings
    reads = True
    files = (
        f"{BRANCH}/*",
        f"{FOLDED}/*",
        "tokenizer/*",
        *(f"{REALISTIC}/*.{kind}" for kind in ("json", "txt", "safetensors")),
    )

    words: TaskEncoder | None = None

    @cached_property
    def _base(self) -> Path:
        if self.settings.base is not None:
            return find(self.settings.base, self.settings.base_revision, self.base_files)
        if not (self._folder / REALISTIC).is_dir():
            mend = f"Name one: base={BASE} (its author: any Stable Diffusion 1.5 does)"
            raise InputError(f"{self._folder} brings no base", f"it has no folder {REALISTIC}", mend)
        return self._folder / REALISTIC

    def _branch_folder(self, folder: Path) -> Path:
        return folder / BRANCH

    def _assemble(self, folder: Path, base: Path, dtype: torch.dtype) -> Any:
        from insightedit.backends.paint.task_words import load_task_encoder

        pipe = super()._assemble(folder, base, dtype)
        folded = folder / FOLDED
        weights = folded if folded.is_dir() else folder / BRANCH / "pytorch_model.bin"
        shape = folded if folded.is_dir() else base / "text_encoder"
        tokenizer = folder / "tokenizer" if (folder / "tokenizer").is_dir() else base / "tokenizer"
        self.words = load_task_encoder(weights, shape, tokenizer, dtype)
        self._beside(self.words.network)
        return pipe

    def _unload(self) -> None:
        self.words = None
        super()._unload()

    def _texts(self, canvas: Canvas) -> tuple[str, str]:
        from insightedit.backends.paint.task_words import EMPTY

        prompt = f"{canvas.prompt} {EMPTY}" if canvas.task == "remove" else canvas.prompt
        return prompt, canvas.negative

    def _branch_text(self, canvases: Sequence[Canvas]) -> torch.Tensor:
        import torch

        said = [asked(canvas, self.settings.put, bare=True) for canvas in canvases]
        in_order = [no for _, no in said] + [wish for wish, _ in said]
        assert self.words is not None
        with torch.no_grad(), self._at_work(self.words.network):
            return encoded(in_order, self.words, self.settings.fitting, self.device)


def asked(canvas: Canvas, put: Literal["object", "shape"], bare: bool) -> tuple[Phrase, Phrase]:
    """What a canvas asks for in PowerPaint's words, and the opposite."""
    from insightedit.backends.paint.task_words import phrases

    purpose: Purpose = "remove" if canvas.task == "remove" else put
    return phrases(purpose, canvas.prompt, canvas.negative, bare)


def encoded(said: Sequence[Phrase], words: TaskEncoder | None, fitting: float, device: torch.device) -> torch.Tensor:
    """(B, T, C), one by one, so that what lies beside a phrase does not matter."""
    import torch

    assert words is not None  # `setup` ran
    return torch.cat([words.encode(phrase, fitting, device) for phrase in said])
