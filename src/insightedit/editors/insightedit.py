"""InsightEdit (Xu et al., 2024) and SmartEdit (Huang et al., CVPR 2024), its ancestor, through `InsightEditPipeline`.

InsightEdit's authors released neither weights nor settings: a checkpoint says its own, SmartEdit's 100 steps, text 7.5,
image 1.5 unless it was made otherwise.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.core.weights import load_pipeline
from insightedit.editors.diffusion import DiffusionEditor, DiffusionSettings, Resolution, Scale

if TYPE_CHECKING:
    import torch

TINY = "tiny"  # the one preset that may stand where weights belong; `./tiny` names a folder
TINY_SEED = 0  # of its random weights

log = logging.getLogger(__name__)


class PipelineSettings(DiffusionSettings):
    """`model` is a folder (of `insightedit convert` or training), a hub id, or "tiny": random weights, for a try.

    Of what is None the checkpoint says its own; `resolution` in px, the working area is its square.
    """

    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    text_guidance_scale: Annotated[Scale, Field(ge=0)] | None = None
    image_guidance_scale: Annotated[Scale, Field(ge=0)] | None = None
    resolution: Resolution | None = None


class SmartEditSettings(PipelineSettings):
    """As SmartEdit's test script has it."""

    steps: Annotated[int, Field(ge=1, le=1000)] | None = 100
    text_guidance_scale: Annotated[Scale, Field(ge=0)] | None = 7.5
    image_guidance_scale: Annotated[Scale, Field(ge=0)] | None = 1.5
    resolution: Resolution | None = 256


class InsightEditSettings(PipelineSettings):
    """`image_branch_scale` weighs the second stream of cross-attention: 1 as trained, 0 is SmartEdit's path."""

    image_branch_scale: Annotated[Scale, Field(ge=0)] = 1.0


class InsightEdit(DiffusionEditor):
    """The pipeline of this project, at the checkpoint's resolution; it returns the input's size itself."""

    name = "insightedit"
    size_rule = "area of the checkpoint's resolution squared, aspect ratio kept, result resized"
    no_model = (
        "Give --model FOLDER (from `insightedit convert` or from training), or --model tiny: a small model with random "
        "weights, to try the path"
    )
    Settings: ClassVar[type[DiffusionSettings]] = InsightEditSettings
    settings: PipelineSettings

    @property
    def _image_branch(self) -> float:
        return self.settings.image_branch_scale if isinstance(self.settings, InsightEditSettings) else 0.0

    def _pipeline(self) -> type[Any]:
        from insightedit.model.pipeline import InsightEditPipeline

        return InsightEditPipeline

    def _load(self, dtype: torch.dtype) -> Any:
        from insightedit.model.pipeline import from_preset

        if self.settings.model != TINY:
            return load_pipeline(self._pipeline(), self._folder(), dtype)
        log.warning("model 'tiny' has random weights: it is untrained, and its pictures show no edit")
        return from_preset(TINY, TINY_SEED).to(dtype)

    def _weights(self) -> str:
        return f"preset {TINY} {TINY_SEED}" if self.settings.model == TINY else super()._weights()

    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        edited = self.pipe(
            image=Image.fromarray(image),
            instruction=instruction,
            num_inference_steps=self.settings.steps,
            text_guidance_scale=self.settings.text_guidance_scale,
            image_guidance_scale=self.settings.image_guidance_scale,
            image_branch_scale=self._image_branch,
            resolution=self.settings.resolution,
            generator=self._generator(seed),
            callback_on_step_end=self._told,
        ).images[0]  # PIL, of the input's size
        return np.asarray(edited)


class SmartEdit(InsightEdit):
    """The same pipeline as SmartEdit's test script runs it: no image branch, every picture squashed to 256 x 256."""

    name = "smartedit"
    size_rule = "squashed to 256 x 256, result resized"
    Settings = SmartEditSettings

    def _load(self, dtype: torch.dtype) -> Any:
        pipe = super()._load(dtype)
        pipe.register_to_config(square=True)  # converted weights say so themselves; others are run as SmartEdit here
        return pipe
