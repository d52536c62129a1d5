"""What the editors that stand on a diffusers pipeline share: settings, loading, seeds, pixels."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from insightedit.core.config import Knobs
from insightedit.core.device import DTYPES, place, quiet, where
from insightedit.core.errors import ConfigError
from insightedit.core.fingerprint import identity
from insightedit.core.lookup import suggest
from insightedit.editors import weights
from insightedit.editors.editor import Editor

if TYPE_CHECKING:
    import torch


def _dtype(name: str) -> str:
    if name not in DTYPES:
        raise ValueError(f"no dtype '{name}'. {suggest(name, DTYPES)}")
    return name


Scale = Annotated[float, Field(allow_inf_nan=False)]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
Dtype = Annotated[str, AfterValidator(_dtype)]
Resolution = Annotated[int, Field(ge=64, le=4096)]


class DiffusionSettings(Knobs):
    """Settings of every editor with weights.

    `model` is a folder in diffusers' layout or a hub id, `revision` its commit, branch or tag. `device` is auto, cpu,
    cuda, cuda:N or mps; `dtype` auto, float32, float16 or bfloat16. `offload` keeps weights in main memory: "model"
    moves one network at a time to the device, "sequential" one layer at a time.
    """

    model: str | None = None
    revision: str | None = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    offload: Literal["none", "model", "sequential"] = "none"


class DiffusionEditor(Editor):
    """An editor on a diffusers pipeline, kept in `pipe`. Noise is drawn on the CPU: one seed, one noise."""

    Settings: ClassVar[type[DiffusionSettings]] = DiffusionSettings
    settings: DiffusionSettings
    no_model = "name one: --model FOLDER or a hub id"  # the mend where an editor has no default weights
    pipe: Any
    _found: Path | None = None

    def _folder(self) -> Path:
        """The folder of the weights, downloaded if need be.

        Raises:
            ConfigError: no model is named, and this editor has no default.
            InputError: as `weights.find`.
        """
        if self._found is None:  # asked again for the fingerprint and for loading: the hub need not be
            self._found = weights.find(self._named(), self.settings.revision, self._pipeline)
        return self._found

    def _named(self) -> str:
        if self.settings.model is None:
            raise ConfigError(f"editor '{self.name}' has no default weights", "none are released for it", self.no_model)
        return self.settings.model

    def _pipeline(self) -> type[Any]:
        """The class of the pipeline; imports torch."""
        from diffusers import DiffusionPipeline

        return DiffusionPipeline

    def _setup(self) -> None:
        self._named()  # before seconds of imports
        device, dtype = where(self.settings.device, self.settings.dtype)  # before gigabytes are read
        with quiet():
            self.pipe = self._load(dtype)
            self.pipe.set_progress_bar_config(disable=True)  # `on_step` tells; a batch has a bar of its own
            self._place(device)

    @abstractmethod
    def _load(self, dtype: torch.dtype) -> Any:
        """The pipeline, on the CPU."""

    def _place(self, device: torch.device) -> None:
        place(self.pipe, device, self.settings.offload)

    def _deciding(self) -> dict[str, Any]:
        """All settings but where it runs; "auto" dtype as the one it comes to here."""
        _, dtype = where(self.settings.device, self.settings.dtype)
        return super()._deciding() | {
            "device": None,
            "offload": None,
            "model": None,
            "revision": None,
            "dtype": str(dtype),
        }

    def _weights(self) -> str:
        return identity(self._folder())

    def _generator(self, seed: int) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(seed)

    def _told(self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """diffusers' `callback_on_step_end`: tell whoever watches."""
        if self.on_step is not None:
            self.on_step(step + 1, self.steps or pipe.num_timesteps)
        return tensors
