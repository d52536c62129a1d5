"""Qwen-Image-Edit (Qwen team, 2025) with a mask: an instruction is followed, and only inside the hole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from insightedit.backends.paint.painter import Canvas
from insightedit.backends.paint.stock import PipelinePainter, PipelineSettings
from insightedit.backends.paint.window import resized
from insightedit.core.errors import InputError, one_line
from insightedit.core.weights import load_pipeline

if TYPE_CHECKING:
    import torch

PICTURE = "<|image_pad|>"


class QwenEditSettings(PipelineSettings):
    """The model card's: true guidance 4 against a blank prompt, 50 steps; strength 1, so that nothing old is seen.

    diffusers encodes the picture at about 1024 x 1024 pixels whatever it is given, hence that side.
    """

    model: str | None = "Qwen/Qwen-Image-Edit"
    side: Literal[1024] = 1024
    multiple: Literal[32] = 32
    guidance: float = Field(default=4.0, ge=0, allow_inf_nan=False)
    removal_prompt: str = "Remove the object inside the masked area and continue the background behind it"


class QwenEdit(PipelinePainter):
    """One canvas at a time: its language model reads one picture."""

    name = "qwen_edit"
    Settings = QwenEditSettings
    settings: QwenEditSettings
    pipeline_name = "QwenImageEditInpaintPipeline"
    guidance_name = "true_cfg_scale"
    takes_batches: ClassVar[bool] = False
    words: ClassVar = {
        "replace": "Replace the object inside the masked area by {prompt}",
        "add": "Add {prompt} inside the masked area",
    }

    def _pipe(self, dtype: torch.dtype) -> Any:
        safe = None if self.settings.pickles else True
        without = {"processor": None}  # transformers' own cannot be built without torchvision, for its half for videos
        pipe = load_pipeline(
            self.pipeline_class(), self.folder(), dtype, self.settings.variant, without, use_safetensors=safe
        )
        pipe.register_modules(processor=PictureProcessor.of(self.folder(), pipe.tokenizer))
        return pipe

    def _arguments(self, canvases: Sequence[Canvas]) -> dict[str, Any]:
        given = super()._arguments(canvases)
        alone = {name: given[name][0] for name in ("prompt", "image", "mask_image")}
        return given | alone | {"negative_prompt": canvases[0].negative or " "}  # it guides only if there is one

    def _painted(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        """At the size of the canvas: an encoder's megapixel in another shape comes back a few px off."""
        size = canvases[0].image.shape[1::-1]
        return [resized(image, size) for image in super()._painted(canvases)]


class PictureProcessor:
    """Qwen2-VL's processor for words and pictures: each place for a picture becomes as many as its patches need.

    Args:
        image_processor: cuts pictures into patches.
        tokenizer: the words.
    """

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer

    @classmethod
    def of(cls, folder: Path, tokenizer: Any) -> PictureProcessor:
        """From a pipeline's folder.

        Raises:
            InputError: it has no processor.
        """
        from transformers import Qwen2VLImageProcessorPil

        try:
            return cls(Qwen2VLImageProcessorPil.from_pretrained(folder / "processor", local_files_only=True), tokenizer)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load {folder / 'processor'}", one_line(error), "Download it again") from error

    def __call__(
        self, text: str | Sequence[str], images: Any = None, padding: bool = True, return_tensors: str = "pt"
    ) -> Any:
        """Token ids and attention mask of `text`; with `images`, their patches and the grids of these."""
        from transformers.feature_extraction_utils import BatchFeature

        seen = {} if images is None else self.image_processor(images=images, return_tensors=return_tensors)
        merged = self.image_processor.merge_size**2
        counts = iter([int(grid.prod()) // merged for grid in seen.get("image_grid_thw", ())])
        texts = [_spread(one, counts) for one in ([text] if isinstance(text, str) else text)]
        return BatchFeature({**self.tokenizer(texts, padding=padding, return_tensors=return_tensors), **seen})


def _spread(text: str, counts: Iterator[int]) -> str:
    first, *rest = text.split(PICTURE)
    return first + "".join(PICTURE * next(counts) + part for part in rest)
