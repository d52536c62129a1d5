"""Any editing pipeline of diffusers by class name: FLUX Kontext, Qwen-Image-Edit, SDXL InstructPix2Pix, and what comes.

What a pipeline calls its arguments is read from the signature of its `__call__`; what has no name there is refused.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.core.errors import ConfigError
from insightedit.core.files import read_json
from insightedit.core.lookup import suggest
from insightedit.core.weights import INDEX, load_pipeline
from insightedit.editors import sizes
from insightedit.editors.diffusion import DiffusionEditor, DiffusionSettings, Resolution, Scale

if TYPE_CHECKING:
    import torch

Parameters = Mapping[str, inspect.Parameter]

IMAGE = ("image", "images", "input_images")  # the plural ones take a list
IMAGE_SCALE = ("image_guidance_scale", "img_guidance_scale")


class AnyPipelineSettings(DiffusionSettings):
    """None leaves a value to the pipeline, whose defaults are its authors'.

    `pipeline_class` is a class of diffusers; default: the one that the weights name. `resolution` works on about
    resolution x resolution pixels; None on the picture's own size. `call` holds further arguments of the pipeline's
    `__call__`, which win over all that is set here.
    """

    pipeline_class: str | None = None
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    text_guidance_scale: Scale | None = None
    image_guidance_scale: Scale | None = None
    negative_prompt: str | None = None
    resolution: Resolution | None = None
    call: dict[str, Any] = {}


class AnyPipeline(DiffusionEditor):
    """A pipeline that takes a picture and words and returns a picture. No safety checker is loaded."""

    name = "diffusers"
    size_rule = "own size or about resolution squared, floored to the pipeline's multiple, result resized"
    no_model = "Give --model: a folder or hub id, such as black-forest-labs/FLUX.1-Kontext-dev or Qwen/Qwen-Image-Edit"
    Settings = AnyPipelineSettings
    settings: AnyPipelineSettings

    def _load(self, dtype: torch.dtype) -> Any:
        folder = self._folder()
        named = self.settings.pipeline_class or str(read_json(folder / INDEX).get("_class_name"))
        pipeline = pipeline_named(named)
        self._call_names = names(pipeline, self.settings)
        return load_pipeline(pipeline, folder, dtype)

    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        takes = inspect.signature(type(self.pipe).__call__).parameters
        width, height = size = self._size(sizes.size_of(image))
        picture = Image.fromarray(sizes.resize(image, size))
        arguments: dict[str, Any] = {"prompt": instruction, "generator": self._generator(seed)}
        image_name = next(name for name in IMAGE if name in takes)
        arguments[image_name] = picture if image_name == "image" else [picture]
        arguments |= {name: value for name, value in {"width": width, "height": height}.items() if name in takes}
        if self.settings.resolution and "max_area" in takes:  # FLUX Kontext scales to a megapixel unless told
            arguments |= {"max_area": width * height, "_auto_resize": False}
        arguments |= {"callback_on_step_end": self._told} if "callback_on_step_end" in takes else {}
        edited = self.pipe(**arguments | self._call_names | self.settings.call).images[0]
        return sizes.resize(np.asarray(edited.convert("RGB")), sizes.size_of(image))

    def _size(self, size: sizes.Size) -> sizes.Size:
        processor = getattr(self.pipe, "image_processor", None)
        multiple = int(processor.config.vae_scale_factor) if processor is not None else 16
        if self.settings.resolution is None:
            return sizes.floored(size, multiple)
        return sizes.about(size, self.settings.resolution**2, multiple)


def pipeline_named(name: str) -> type[Any]:
    """A pipeline class of diffusers.

    Raises:
        ConfigError: diffusers has no such pipeline; near names are suggested.
    """
    import diffusers

    found = getattr(diffusers, name, None)
    if isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline):
        return found
    near = difflib.get_close_matches(name, [one for one in dir(diffusers) if one.endswith("Pipeline")], n=3)
    mend = f"Did you mean {', '.join(near)}?" if near else "Name a class of diffusers' editing pipelines"
    raise ConfigError(f"no pipeline '{name}'", f"diffusers {diffusers.__version__} has no pipeline of that name", mend)


def names(pipeline: type[Any], settings: AnyPipelineSettings) -> dict[str, Any]:
    """The settings under the names that `pipeline.__call__` has for them.

    Words are weighed by `true_cfg_scale` where a pipeline guides by it (Qwen-Image-Edit), else by `guidance_scale`.
    Such a pipeline guides only if it is given a negative prompt: a blank, as its authors do.

    Raises:
        ConfigError: it takes no picture or no words, or has no name for something that was set.
    """
    takes = inspect.signature(pipeline.__call__).parameters
    if "prompt" not in takes or not any(name in takes for name in IMAGE):
        why = "its __call__ takes no " + ("picture" if "prompt" in takes else "prompt")
        raise ConfigError(f"{pipeline.__name__} edits nothing", why, "Name a pipeline that takes image and prompt")
    guides = _guides_truly(takes)
    wanted = {
        "steps": ("num_inference_steps",),
        "text_guidance_scale": ("true_cfg_scale",) if guides else ("guidance_scale",),
        "image_guidance_scale": IMAGE_SCALE,
        "negative_prompt": ("negative_prompt",),
    }
    out: dict[str, Any] = {"negative_prompt": " "} if guides else {}
    for setting, ways in wanted.items():
        value = getattr(settings, setting)
        if value is not None:
            out[_first(ways, takes, pipeline, setting)] = value
    for name in settings.call:
        _first((name,), takes, pipeline, f"call.{name}")
    return out


def _guides_truly(takes: Parameters) -> bool:
    """Whether it guides by `true_cfg_scale` by default; FLUX Kontext's default is 1, so it does not."""
    scale = takes.get("true_cfg_scale")
    return (
        scale is not None
        and isinstance(scale.default, int | float)
        and scale.default > 1
        and "negative_prompt" in takes
    )


def _first(ways: tuple[str, ...], takes: Parameters, pipeline: type[Any], setting: str) -> str:
    for name in ways:
        if name in takes:
            return name
    known = [name for name in takes if name not in ("self", "args", "kwargs")]
    raise ConfigError(
        f"{pipeline.__name__} has no '{setting}'", "its __call__ does not take it", suggest(ways[0], known)
    )
