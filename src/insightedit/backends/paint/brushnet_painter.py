"""Painters with a side branch on Stable Diffusion 1.5: BrushNet, and what PowerPaint v2 shares with it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from insightedit.backends.paint.painter import Canvas, Painter, PainterSettings, PaintTask
from insightedit.core.device import free_memory, place, quiet, where
from insightedit.core.errors import ConfigError, InputError
from insightedit.core.files import read_json
from insightedit.core.fingerprint import identity
from insightedit.core.image import to_uint8
from insightedit.core.weights import FILES, find, loading

if TYPE_CHECKING:
    import torch

BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
AGAIN = "Download them again; the reason names what is missing or damaged"
PARTS = tuple(
    f"{part}/{file}"
    for part, file in (
        ("unet", "config.json"),
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("vae", "config.json"),
        ("vae", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "config.json"),
        ("text_encoder", "model.safetensors"),
        ("tokenizer", "*"),
        ("scheduler", "*"),
    )
)


class BasedSettings(PainterSettings):
    """Settings of a painter whose `model` holds only what was trained.

    `base` is the Stable Diffusion below it, a folder in diffusers' layout or a hub id, `base_revision` its commit,
    branch or tag.
    """

    base: str | None = BASE
    base_revision: str | None = None


class BranchSettings(BasedSettings):
    """As `BasedSettings`; `scale` is the strength of the side branch."""

    scale: float = Field(default=1.0, ge=0, le=10)


class BasedPainter(Painter):
    """A painter made of two folders: what was trained (`model`) and the Stable Diffusion below it (`base`)."""

    settings: BasedSettings
    files: ClassVar[tuple[str, ...]] = FILES  # what is downloaded of `model`
    base_files: ClassVar[tuple[str, ...]] = PARTS  # and of `base`

    pipe: Any = None
    device: torch.device

    def engine(self) -> str:
        """ "name@model+base": `identity` of each; a base within the folder of the model is part of that."""
        model = self._folder  # first: it may have no default, and the base is downloaded
        apart = [model] if self._base.is_relative_to(model) else [model, self._base]
        return f"{self.name}@{'+'.join(identity(folder) for folder in apart)}"

    @cached_property
    def _folder(self) -> Path:
        if self.settings.model is None:
            mend = "Give model=FOLDER: the folder that holds its config.json and weights"
            raise ConfigError(f"painter '{self.name}' has no default weights", "none are on the hub as a model", mend)
        return find(self.settings.model, self.settings.revision, self.files)

    @cached_property
    def _base(self) -> Path:
        return find(self.settings.base or BASE, self.settings.base_revision, self.base_files)

    def _load(self) -> None:
        folder, base = self._folder, self._base
        self.device, dtype = where(self.settings.device, self.settings.dtype)
        with quiet():
            with loading(f"{folder} and {base}", AGAIN):
                self.pipe = self._assemble(folder, base, dtype)
            self.pipe.set_progress_bar_config(disable=True)
            place(self.pipe, self.device, self.settings.offload)

    @abstractmethod
    def _assemble(self, folder: Path, base: Path, dtype: torch.dtype) -> Any:
        """The pipeline, on the CPU, and what stands beside it."""

    def _unload(self) -> None:
        self.pipe = None
        free_memory()

    def _beside(self, network: Any) -> None:
        """Put a network that the pipeline does not know where the pipeline's networks are."""
        if self.settings.offload == "none":
            network.to(self.device)
        elif self.settings.offload == "sequential":
            from accelerate import cpu_offload

            cpu_offload(network, self.device)

    @contextmanager
    def _at_work(self, *networks: Any) -> Iterator[None]:
        """With offload "model", such networks are on the device only in here."""
        moved = networks if self.settings.offload == "model" else ()
        try:
            for network in moved:
                network.to(self.device)
            yield
        finally:
            for network in moved:
                network.to("cpu")


class BranchPainter(BasedPainter):
    """A stock text-to-image pipeline whose UNet is led by a side branch."""

    settings: BranchSettings
    reads: ClassVar[bool] = False  # whether the branch has words of its own
    branch: Any = None

    def _branch_folder(self, folder: Path) -> Path:
        return folder

    def _assemble(self, folder: Path, base: Path, dtype: torch.dtype) -> Any:
        from diffusers import StableDiffusionPipeline, UniPCMultistepScheduler
        from transformers import CLIPTextModel, CLIPTokenizer

        from insightedit.backends.paint.brushnet import load_branch
        from insightedit.core.weights import whole

        unet = load_unet(base / "unet", base / "unet", dtype)
        self.branch = load_branch(self._branch_folder(folder), unet, self.reads, dtype)
        self._beside(self.branch)
        return StableDiffusionPipeline(
            unet=unet,
            vae=load_vae(base, dtype),
            text_encoder=whole(CLIPTextModel, base / "text_encoder", dtype=dtype),
            tokenizer=CLIPTokenizer.from_pretrained(base / "tokenizer", local_files_only=True),
            scheduler=UniPCMultistepScheduler.from_config(load_scheduler(base).config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def _unload(self) -> None:
        self.branch = None
        super()._unload()

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        import torch

        from insightedit.backends.paint.side_branch import beside, condition_of

        image, hole = as_tensors(canvases, self.device)
        draws = generators(canvases)
        texts = [self._texts(canvas) for canvas in canvases]
        height, width = canvases[0].hole.shape
        with torch.no_grad(), self._at_work(self.branch):
            condition = condition_of(self.pipe.vae, image, hole, draws)  # (B, 5, h, w)
            with beside(self.pipe.unet, self.branch, condition, self._branch_text(canvases), self.settings.scale):
                made = self.pipe(
                    prompt=[wish for wish, _ in texts],
                    negative_prompt=[opposite for _, opposite in texts],
                    height=height,
                    width=width,
                    num_inference_steps=self.settings.steps,
                    guidance_scale=self.settings.guidance,
                    generator=draws,
                    output_type="np",
                ).images  # (B, H, W, 3)
        return [to_uint8(one) for one in made]

    def _texts(self, canvas: Canvas) -> tuple[str, str]:
        """What the UNet is told, and the opposite."""
        return canvas.prompt, canvas.negative

    def _branch_text(self, canvases: Sequence[Canvas]) -> torch.Tensor | None:
        """What the branch is told: (2 B, T, C), the opposite first; None where it does not read."""
        return None


class BrushNetPainter(BranchPainter):
    """BrushNet (Ju et al. 2024): paints what the prompt says. It does not remove: it puts something into every hole.

    `model` is a folder with config.json and diffusion_pytorch_model.safetensors. For holes larger than the object, as
    construction makes them, the authors advise `random_mask_brushnet_ckpt`; `segmentation_mask_brushnet_ckpt` fills the
    outline with an object.
    """

    name = "brushnet"
    Settings = BranchSettings
    tasks: ClassVar[frozenset[PaintTask]] = frozenset({"replace", "add"})


def load_unet(config: Path, weights: Path, dtype: torch.dtype) -> Any:
    """diffusers' UNet: its configuration from one folder, its weights from another (or from a file).

    Raises:
        InputError: weights are missing, foreign or damaged.
    """
    from diffusers import UNet2DConditionModel

    from insightedit.backends.paint.checkpoint import built, read, weights_in

    about = UNet2DConditionModel.load_config(config, local_files_only=True)
    path = weights_in(weights, "diffusion_pytorch_model") if weights.is_dir() else weights
    return built(lambda: UNet2DConditionModel.from_config(about), read(path), path, dtype)


def load_vae(base: Path, dtype: torch.dtype) -> Any:
    """The autoencoder of a base, by diffusers, which knows the old names in Stable Diffusion 1.5's."""
    from diffusers import AutoencoderKL

    from insightedit.core.weights import whole

    return whole(AutoencoderKL, base / "vae", dtype=dtype)


def load_scheduler(base: Path) -> Any:
    """The scheduler that a base names.

    Raises:
        InputError: it names something else than a scheduler of diffusers.
    """
    import diffusers

    about = read_json(base / "scheduler" / "scheduler_config.json")
    kind: Any = getattr(diffusers, str(about.get("_class_name")), None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        why = f"it names {about.get('_class_name')!r}, which diffusers does not have"
        raise InputError(f"{base / 'scheduler'} is no scheduler", why, "Use the folder of a Stable Diffusion 1.5")
    found: Any = kind
    return found.from_config(about)


def generators(canvases: Sequence[Canvas]) -> list[torch.Generator]:
    """One for each canvas, on the CPU: a seed draws the same noise on every device and whatever lies beside it."""
    import torch

    return [torch.Generator("cpu").manual_seed(canvas.seed) for canvas in canvases]


def as_tensors(canvases: Sequence[Canvas], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (B, 3, H, W) float32 in [-1, 1] and holes (B, 1, H, W) bool."""
    import torch

    images = torch.from_numpy(np.stack([canvas.image for canvas in canvases])).to(device)  # (B, H, W, 3)
    holes = torch.from_numpy(np.stack([canvas.hole for canvas in canvases])).to(device)  # (B, H, W)
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1, holes[:, None]
