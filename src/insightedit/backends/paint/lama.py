"""LaMa (Suvorov et al., WACV 2022): Fourier convolutions that continue a background. It removes, invents no objects.

Its weights come as TorchScript, which no safetensors file replaces: code and tensors in one archive, unpickled by
`torch.jit.load` in C++ and then run. Such a file can do what a program can. So it is loaded only if it is the published
one, byte for byte, or if the user says that another one is trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from insightedit.backends.paint.painter import Canvas, Painter, PainterSettings, PaintTask
from insightedit.core.device import free_memory, where
from insightedit.core.errors import ConfigError, InputError, one_line
from insightedit.core.fingerprint import identity

MD5 = "e3aa4aaa15225a33ec84f9f4bc47e500"  # of big-lama.pt, as its publisher states it
SOURCE = "https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt"


class LamaSettings(PainterSettings):
    """`model` is the file big-lama.pt. `trusted` loads a file of another sum; it may run any code.

    One pass without words: steps and guidance say nothing here. `side` is larger than the 256 px of its training; its
    receptive field is the whole picture, and it was shown to hold up to about 2K.
    """

    model: str | None = None
    trusted: bool = False
    offload: Literal["none"] = "none"
    dtype: Literal["auto", "float32"] = "auto"
    revision: None = None
    steps: Literal[1] = 1
    guidance: Literal[0] = 0
    side: int = Field(default=768, ge=64, le=4096)


class LaMa(Painter):
    """Big LaMa."""

    name = "lama"
    Settings: ClassVar[type[PainterSettings]] = LamaSettings
    settings: LamaSettings
    tasks: ClassVar[frozenset[PaintTask]] = frozenset({"remove"})
    net: Any

    def engine(self) -> str:
        return f"{self.name}@{identity(self._file())}"

    def _file(self) -> Path:
        if self.settings.model is None:
            raise ConfigError("painter 'lama' needs a model", "model is null", f"Download {SOURCE} and name the file")
        file = Path(self.settings.model).expanduser()
        if not file.is_file():
            raise InputError(f"no file {file}", "LaMa comes as one file", f"Download {SOURCE}")
        return file

    def _load(self) -> None:
        file = self._file()
        if not self.settings.trusted:
            _need_published(file)
        device, _ = where(self.settings.device, "float32")  # its Fourier transforms overflow float16
        import torch

        try:
            load: Any = torch.jit.load  # untyped
            self.net = load(str(file), map_location="cpu").eval().to(device)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"cannot load {file}", one_line(error), f"Download it again: {SOURCE}") from error
        self._device = device

    def _unload(self) -> None:
        del self.net
        free_memory()

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        import torch

        images = np.stack([canvas.image for canvas in canvases])  # (B, H, W, 3)
        holes = np.stack([canvas.hole for canvas in canvases])  # (B, H, W)
        height, width = holes.shape[1:]
        below, right = -height % 8, -width % 8
        images = np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode="symmetric")
        holes = np.pad(holes, ((0, 0), (0, below), (0, right)), mode="symmetric")
        pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float() / 255  # (B, 3, H', W')
        with torch.inference_mode():
            out = self.net(pixels, torch.from_numpy(holes).to(self._device)[:, None].float())  # (B, 3, H', W')
        filled = (out.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return list(filled[:, :height, :width])


def _need_published(file: Path) -> None:
    with open(file, "rb") as handle:
        seen = hashlib.file_digest(handle, "md5").hexdigest()
    if seen != MD5:
        why = f"its MD5 is {seen}, the published one {MD5}; TorchScript may run any code"
        raise InputError(f"{file} is not the published big-lama.pt", why, f"Download {SOURCE}, or set trusted=true")
