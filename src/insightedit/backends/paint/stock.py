"""Painters on inpainting pipelines that diffusers ships: by class name, with the schedulers of their folders."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.backends.paint.painter import Canvas, Painter, PainterSettings, PaintTask
from insightedit.core.device import free_memory, need_models, place, quiet, where
from insightedit.core.errors import ConfigError, InputError, one_line
from insightedit.core.fingerprint import engine
from insightedit.core.image import to_uint8
from insightedit.core.lookup import suggest
from insightedit.core.weights import find_pipeline, load_pipeline

if TYPE_CHECKING:
    import torch


class PipelineSettings(PainterSettings):
    """Settings of every painter on a pipeline of diffusers.

    `strength` is the share of the noise that is put on before denoising: below 1 the old content shows through.
    `variant` names the files to take of a component that has them ("fp16": half the download); others come as they
    are. A hub id must have some of that name.
    `pickles` also takes weights that are no safetensors; they are read as tensors only. `removal_prompt` is what a
    removal asks for, since these networks paint what words say and know no removal.
    """

    strength: float = Field(default=1.0, gt=0, le=1)
    variant: str | None = None
    pickles: bool = False
    removal_prompt: str = "empty background"


class PipelinePainter(Painter):
    """A painter on a pipeline that takes prompt, image and mask_image. Noise is drawn on the CPU: one seed, one noise.

    A subclass names its `pipeline_name` and, where they differ, how `guidance` is called, whether it takes a negative
    prompt, and whether it takes several canvases at once.
    """

    Settings: ClassVar[type[PainterSettings]] = PipelineSettings
    settings: PipelineSettings
    pipeline_name: ClassVar[str]
    guidance_name: str = "guidance_scale"
    takes_negative: bool = True
    takes_batches: ClassVar[bool] = True
    words: ClassVar[Mapping[PaintTask, str]] = {"replace": "{prompt}", "add": "{prompt}"}
    pipe: Any
    _found: Path | None = None

    def pipeline_class(self) -> type[Any]:
        """The class of diffusers that paints; imports torch."""
        import diffusers

        found: type[Any] = getattr(diffusers, self.pipeline_name)
        return found

    def folder(self) -> Path:
        """The folder of the weights, downloaded if need be.

        Raises:
            ConfigError: no model is named.
            InputError: no such folder or hub id.
        """
        if self._found is None:
            need_models()
            model, revision = self._named(), self.settings.revision
            self._found = find_pipeline(
                model,
                revision,
                self.pipeline_class(),
                variant=self.settings.variant,
                use_safetensors=None if self.settings.pickles else True,
            )
        return self._found

    def engine(self) -> str:
        return engine(self._named(), self.folder())

    def _named(self) -> str:
        if self.settings.model is None:
            raise ConfigError(f"painter '{self.name}' needs a model", "model is null", "Name a folder or a hub id")
        return self.settings.model

    def _load(self) -> None:
        device, dtype = where(self.settings.device, self.settings.dtype)  # before gigabytes are read
        with quiet():
            pipe = self._pipe(dtype)
            self._fits(pipe)
            pipe.set_progress_bar_config(disable=True)
            place(pipe, device, self.settings.offload)
        self.pipe, self._device = pipe, device

    def _pipe(self, dtype: torch.dtype) -> Any:
        safe = None if self.settings.pickles else True
        return load_pipeline(self.pipeline_class(), self.folder(), dtype, self.settings.variant, use_safetensors=safe)

    def _fits(self, pipe: Any) -> None:
        """Refuse weights of another kind, which the class would take.

        Raises:
            InputError: they are.
        """

    def _unload(self) -> None:
        self.pipe.remove_all_hooks()
        del self.pipe
        free_memory()

    def _check(self, canvas: Canvas) -> None:
        super()._check(canvas)
        if canvas.negative and not self.takes_negative:
            why = "its network is guided by one prompt only"
            raise ConfigError(f"painter '{self.name}' takes no negative prompt", why, "Leave the negative prompt out")

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        if self.takes_batches:
            return self._painted(canvases)
        return [image for canvas in canvases for image in self._painted([canvas])]

    def _painted(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        with quiet():
            pixels = self.pipe(**self._arguments(canvases)).images  # (B, H, W, 3) in [0, 1]
        return [to_uint8(one) for one in pixels]

    def _arguments(self, canvases: Sequence[Canvas]) -> dict[str, Any]:
        height, width = canvases[0].hole.shape
        negative = {"negative_prompt": [canvas.negative for canvas in canvases]} if self.takes_negative else {}
        return negative | {
            "prompt": [self._prompt(canvas) for canvas in canvases],
            "image": [Image.fromarray(canvas.image) for canvas in canvases],
            "mask_image": [Image.fromarray(canvas.hole.astype(np.uint8) * 255) for canvas in canvases],
            "height": height,
            "width": width,
            "strength": self.settings.strength,
            "num_inference_steps": self.settings.steps,
            self.guidance_name: self.settings.guidance,
            "generator": generators(canvases),
            "output_type": "np",
        }

    def _prompt(self, canvas: Canvas) -> str:
        if canvas.task == "remove":
            return canvas.prompt or self.settings.removal_prompt
        return self.words[canvas.task].format(prompt=canvas.prompt)


def generators(canvases: Sequence[Canvas]) -> list[torch.Generator]:
    """One for each canvas, on the CPU: its noise is the same on every device, alone and in a batch."""
    import torch

    return [torch.Generator("cpu").manual_seed(canvas.seed) for canvas in canvases]


def need_channels(pipe: Any, wanted: int, mend: str) -> None:
    """Refuse a UNet that reads something else.

    Raises:
        InputError: it has another number of input channels.
    """
    seen = pipe.unet.config.in_channels
    if seen != wanted:
        raise InputError("these are weights of another kind", f"the UNet reads {seen} channels, not {wanted}", mend)


class StableDiffusionInpaintSettings(PipelineSettings):
    """The model card's: 512 px, guidance 7.5, 50 steps, from pure noise."""

    model: str | None = "stable-diffusion-v1-5/stable-diffusion-inpainting"
    variant: str | None = "fp16"


class StableDiffusionInpaint(PipelinePainter):
    """Stable Diffusion inpainting: a UNet that also reads the masked picture and the mask, 4 + 4 + 1 channels."""

    name = "sd_inpaint"
    Settings = StableDiffusionInpaintSettings
    pipeline_name = "StableDiffusionInpaintPipeline"

    def _fits(self, pipe: Any) -> None:
        need_channels(pipe, 9, "Use painter 'blended' for a text-to-image UNet")


class StableDiffusionXLInpaintSettings(PipelineSettings):
    """The model card's: 1024 px, guidance 8, strength just under 1 (at 1 its pictures fall apart)."""

    model: str | None = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
    variant: str | None = "fp16"
    side: int = Field(default=1024, ge=64, le=4096)
    guidance: float = Field(default=8.0, ge=0, allow_inf_nan=False)
    strength: float = Field(default=0.99, gt=0, le=1)


class StableDiffusionXLInpaint(PipelinePainter):
    """Stable Diffusion XL inpainting, 9 channels."""

    name = "sdxl_inpaint"
    Settings = StableDiffusionXLInpaintSettings
    pipeline_name = "StableDiffusionXLInpaintPipeline"

    def _fits(self, pipe: Any) -> None:
        need_channels(pipe, 9, "Use painter 'diffusers' for a text-to-image UNet of SDXL")


class AnyInpaintSettings(PipelineSettings):
    """`pipeline_class` is a class of diffusers; default: the one that AutoPipelineForInpainting has for the weights.

    Sides are multiples of 16, which suits every pipeline of that table.
    """

    pipeline_class: str | None = None
    multiple: int = Field(default=16, ge=1, le=256)
    strength: float = Field(default=0.99, gt=0, le=1)


class AnyInpaint(PipelinePainter):
    """Any id that AutoPipelineForInpainting knows, or any class of diffusers that takes prompt, image, mask_image."""

    name = "diffusers"
    Settings = AnyInpaintSettings
    settings: AnyInpaintSettings

    def pipeline_class(self) -> type[Any]:
        if self.settings.pipeline_class is None:
            return inpainting_class_of(self._named(), self.settings.revision)
        import diffusers

        found = getattr(diffusers, self.settings.pipeline_class, None)
        if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
            known = [name for name in dir(diffusers) if name.endswith("InpaintPipeline")]
            name = self.settings.pipeline_class
            raise ConfigError(f"no pipeline '{name}'", "diffusers has no such class", suggest(name, known))
        return found

    def _fits(self, pipe: Any) -> None:
        takes = inspect.signature(type(pipe).__call__).parameters
        if missing := [name for name in ("prompt", "image", "mask_image") if name not in takes]:
            why = f"its __call__ takes no {', '.join(missing)}"
            raise ConfigError(f"{type(pipe).__name__} fills no holes", why, "Name an inpainting pipeline")
        true = takes.get("true_cfg_scale")
        guided = true is not None and isinstance(true.default, int | float) and true.default > 1
        self.guidance_name = "true_cfg_scale" if guided else "guidance_scale"
        self.takes_negative = "negative_prompt" in takes and (guided or true is None)

    def _arguments(self, canvases: Sequence[Canvas]) -> dict[str, Any]:
        takes = inspect.signature(type(self.pipe).__call__).parameters
        return {name: value for name, value in super()._arguments(canvases).items() if name in takes}


def inpainting_class_of(model: str, revision: str | None) -> type[Any]:
    """The class of diffusers' AutoPipelineForInpainting for the weights of a folder or hub id.

    Raises:
        InputError: the model's index cannot be had, or names a pipeline that has no inpainting twin.
    """
    from diffusers import DiffusionPipeline
    from diffusers.pipelines.auto_pipeline import AUTO_INPAINT_PIPELINES_MAPPING, _get_task_class

    with quiet():
        try:
            named = DiffusionPipeline.load_config(model, revision=revision)["_class_name"]
            found: type[Any] = _get_task_class(AUTO_INPAINT_PIPELINES_MAPPING, named)
        except (OSError, ValueError, KeyError) as error:
            mend = "Set pipeline_class to a class of diffusers that takes image and mask_image"
            raise InputError(f"no inpainting for {model}", one_line(error), mend) from error
    return found
