"""MGIE (Fu et al., ICLR 2024): a language model words the edit out, and an InstructPix2Pix UNet follows its states.

Defaults are those of the authors' `demo.ipynb`, whose seed was 13331. Their noise was drawn on CUDA, ours on the CPU.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.core.errors import ConfigError
from insightedit.core.fingerprint import digest, identity
from insightedit.core.image import to_uint8
from insightedit.editors import sizes
from insightedit.editors.diffusion import DiffusionEditor, DiffusionSettings, Scale

if TYPE_CHECKING:
    import torch

    from insightedit.editors.mgie_model import Writer

# What is fetched from the hub: of `base` neither the text encoder nor its UNet's weights
MODEL_FILES = ("LLaVA-7B-v1/*", "mgie_7b/*")
BASE_FILES = ("model_index.json", "scheduler/*", "unet/config.json", "vae/*")
VISION_FILES = ("config.json", "preprocessor_config.json", "*.safetensors")

log = logging.getLogger(__name__)


class MgieSettings(DiffusionSettings):
    """`model` is a folder or hub id that holds `LLaVA-7B-v1/` and `mgie_7b/`.

    `base` is InstructPix2Pix in diffusers' layout, for VAE and configurations; `vision` LLaVA-7B-v1's CLIP.
    `max_new_tokens` is what the language model may write, the eight [IMG] tokens included.
    """

    model: str | None = "tsujuifu/ml-mgie"
    base: str = "timbrooks/instruct-pix2pix"
    vision: str = "openai/clip-vit-large-patch14"
    steps: Annotated[int, Field(ge=1, le=1000)] = 100
    text_guidance_scale: Annotated[Scale, Field(gt=1)] = 7.5
    image_guidance_scale: Annotated[Scale, Field(ge=1)] = 1.5
    max_new_tokens: Annotated[int, Field(ge=8, le=1024)] = 96


class MGIE(DiffusionEditor):
    """About 16 GB of weights. The wording of the last edit is in `expressive`, and logged.

    With `offload`, the language model is on the device only while it writes. The safety checker is not loaded.
    """

    name = "mgie"
    size_rule = "the input's size, sides floored to multiples of 8, result resized"
    Settings = MgieSettings
    settings: MgieSettings
    expressive: str | None = None  # the expressive instruction of the last edit

    def _folders(self) -> tuple[Path, Path, Path]:
        """Of model, base and vision; fetched where they are hub ids.

        Raises:
            ConfigError: no model, or a revision.
            InputError: one of them is neither a folder nor to be had.
        """
        from insightedit.model.convert.read import resolve

        settings = self.settings
        if settings.revision is not None:
            raise ConfigError("mgie takes no revision", "its weights come from three places",
                              "Download the revision and give its folder as model")  # fmt: skip
        if settings.model is None:
            raise ConfigError("mgie needs a model", "model is null", self.no_model)
        return (
            resolve(settings.model, *MODEL_FILES),
            resolve(settings.base, *BASE_FILES),
            resolve(settings.vision, *VISION_FILES),
        )

    def _load(self, dtype: torch.dtype) -> Any:
        from insightedit.editors.mgie_model import load_pipeline, load_writer

        model, base, vision = self._folders()
        pipe = load_pipeline(base, model / "mgie_7b/unet.pt", dtype)
        self._writer: Writer = load_writer(model, vision, pipe.unet.config.cross_attention_dim, dtype)
        return pipe

    def _place(self, device: torch.device) -> None:
        super()._place(device)
        self._device = device
        if self.settings.offload == "none":
            self._writer.to(device)

    def _deciding(self) -> dict[str, Any]:
        return super()._deciding() | {"base": None, "vision": None}  # places, which `_weights` sees into

    def _weights(self) -> str:
        return digest(*(identity(folder) for folder in self._folders()))

    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        size = sizes.size_of(image)
        prompt, null = self._comprehend(Image.fromarray(image), instruction)
        pixels = self.pipe(
            image=Image.fromarray(sizes.resize(image, sizes.floored(size, 8))),
            prompt_embeds=prompt,
            negative_prompt_embeds=null,
            num_inference_steps=self.settings.steps,
            guidance_scale=self.settings.text_guidance_scale,
            image_guidance_scale=self.settings.image_guidance_scale,
            generator=self._generator(seed),
            output_type="np",
            callback_on_step_end=self._told,
        ).images[0]  # (h, w, 3) in [0, 1]
        return sizes.resize(to_uint8(pixels), size)

    def _comprehend(self, image: Image.Image, instruction: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The UNet's context for this edit and for no instruction, (1, 77, 768) each."""
        self.expressive = None
        writer = self._writer.to(self._device)
        try:
            written = writer.write(image, instruction, self.settings.max_new_tokens)
            self.expressive = written.text
            log.info("expressive instruction: %s", written.text)
            return writer.mllm.prompt(written.states), writer.mllm.null()
        finally:
            if self.settings.offload != "none":
                writer.to("cpu")
