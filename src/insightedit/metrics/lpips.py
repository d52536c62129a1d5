"""LPIPS (Zhang et al. 2018), version 0.1, without torchvision.

Features of a trained network, of length 1 over channels, their squared differences weighted by a learned head, averaged
over places and summed over slices. The heads come along (`heads/`); the trunk is torchvision's published weight file,
which the user names or has in torch's cache. Values of different trunks cannot be compared, so a missing one is never
replaced by another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from insightedit.core.config import Knobs
from insightedit.core.device import device_of
from insightedit.core.errors import BackendError, InputError
from insightedit.core.files import sha256_of
from insightedit.core.weights import loading

if TYPE_CHECKING:
    import torch

Net = Literal["squeeze", "alex", "vgg"]
Norm = Literal["inside", "outside"]
URL = "https://download.pytorch.org/models/"
HEADS = Path(__file__).parent / "heads" / "lpips_v0.1.safetensors"
FILES: dict[Net, str] = {  # as torchvision publishes them; the digits are the start of their SHA-256
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
}
LEAST_SIDE: dict[Net, int] = {"squeeze": 17, "alex": 31, "vgg": 16}  # px of what a trunk can look at
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of inputs in -1..1
EPS: dict[Norm, float] = {"inside": 1e-8, "outside": 1e-10}


class LpipsKnobs(Knobs):
    """Where the trunk is and where it runs.

    `trunk` is torchvision's weight file, a conversion of it to safetensors, or a folder of such files; None looks into
    torch's own cache ($TORCH_HOME/hub/checkpoints).
    """

    trunk: Path | None = None
    device: str = "cpu"


class Lpips:
    """Pairs of pictures -> distances. Making one is cheap and it pickles; `setup` loads.

    Args:
        net: the trunk.
        settings: see `LpipsKnobs`; None for its defaults.
    """

    def __init__(self, net: Net = "squeeze", settings: LpipsKnobs | None = None) -> None:
        self.net, self.settings = net, settings or LpipsKnobs()
        self._loaded: _Loaded | None = None

    def setup(self) -> None:
        """Load the trunk, once; a second call does nothing.

        Raises:
            InputError: no trunk, or one that is damaged or another network's.
            BackendError: torch is not installed.
            ConfigError: no such device.
        """
        if self._loaded is None:
            self._loaded = _load(self.net, self.file(), self.settings.device)

    def file(self) -> Path:
        """The trunk's file. Loads nothing.

        Raises:
            InputError: there is none; the error says where to get it and where to put it.
        """
        name = FILES[self.net]
        given = self.settings.trunk.expanduser() if self.settings.trunk else _cache()
        places = [given] if given.is_file() else [given / name, (given / name).with_suffix(".safetensors")]
        for place in places:
            if place.is_file():
                return place
        mend = f"Download {URL}{name} into it, or name the file (lpips.trunk)"
        raise InputError(f"LPIPS ({self.net}) has no trunk", f"there is no {name} in {given}", mend)

    def engine(self) -> str:
        """Which weights, for provenance: file name and the first 8 digits of its SHA-256.

        Raises:
            InputError: as `file`.
        """
        file = self.file()
        return f"{file.name}@{sha256_of(file)[:8]}"

    def distances(self, first: np.ndarray, second: np.ndarray, norm: Norm = "inside") -> np.ndarray:
        """LPIPS of N pairs, float32 (N,), 0 for equal pictures.

        Args:
            first, second: float32 (N, H, W, 3) in 0..1; brought to -1..1 here, so masked (black) places are -1.
            norm: where the small number stands that keeps lengths from 0: "inside" the root (torchmetrics from 1.2.1)
                or "outside" of it (before, and the lpips package).

        Raises:
            InputError: values beyond 0..1, two shapes, or sides below the trunk's least; as `setup`.
            BackendError, ConfigError: as `setup`.
        """
        _check(self.net, first, second)
        self.setup()
        assert self._loaded is not None
        return _distances(self._loaded, first, second, norm)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}  # to a worker go the settings; it loads its own


def _cache() -> Path:
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def _check(net: Net, first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape or first.ndim != 4 or first.shape[3] != 3:
        raise InputError("cannot compare pictures", f"they are {first.shape} and {second.shape}", "Give (N, H, W, 3)")
    if min(first.shape[1:3]) < LEAST_SIDE[net]:
        why = f"a side is {min(first.shape[1:3])} px, and {net} needs {LEAST_SIDE[net]}"
        raise InputError("pictures are too small for LPIPS", why, "Compare them at a larger size")
    for values in (first, second):
        if not (values.min() >= 0 and values.max() <= 1):  # said so that NaN fails too
            why = f"they reach from {values.min():.3g} to {values.max():.3g}"
            raise InputError("values of pictures are out of range for LPIPS", why, "Give floats in 0..1")


# --- the network -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Loaded:
    trunk: Any  # nn.Sequential
    ends: tuple[int, ...]
    heads: list[torch.Tensor]  # (C,) each
    device: torch.device


def _load(net: Net, file: Path, device: str) -> _Loaded:
    try:
        import torch
        from safetensors.torch import load_file
    except ImportError as error:
        raise BackendError("LPIPS needs torch", "it is not installed", "pip install 'insightedit[models]'") from error
    from insightedit.metrics.trunks import TRUNKS

    where = device_of(device)
    shape = TRUNKS[net]
    trunk: Any = shape.build()
    weights = _weights(net, file)
    with loading(f"the {net} trunk of LPIPS from {file}", f"Download {URL}{FILES[net]} again"):
        trunk.load_state_dict(weights)
    trunk = trunk.requires_grad_(False).eval().to(where, memory_format=torch.channels_last)
    heads = load_file(HEADS)
    return _Loaded(trunk, shape.ends, [heads[f"{net}.{i}"].to(where) for i in range(len(shape.ends))], where)


def _weights(net: Net, file: Path) -> Mapping[str, torch.Tensor]:
    """The features' tensors, named as below `features`.

    Raises:
        InputError: the file is damaged, not the published one (.pth), or another network's.
    """
    import torch
    from safetensors.torch import load_file

    published = FILES[net]
    mend = f"Download {URL}{published} again"
    if file.suffix != ".safetensors" and not sha256_of(file).startswith(published.rsplit("-", 1)[1][:8]):
        why = f"its SHA-256 does not begin as that of {published}: it is cut short, changed or another file"
        raise InputError(f"cannot trust {file}", why, f"{mend}; weights of your own must come as .safetensors")
    with loading(f"the {net} trunk of LPIPS from {file}", mend):
        plain = file.suffix == ".safetensors"
        found = load_file(file) if plain else torch.load(file, map_location="cpu", weights_only=True)
        return {key.removeprefix("features."): value for key, value in found.items() if key.startswith("features.")}


def _distances(loaded: _Loaded, first: np.ndarray, second: np.ndarray, norm: Norm) -> np.ndarray:
    import torch

    shift, scale = (torch.tensor(values, device=loaded.device) for values in (SHIFT, SCALE))  # (3,)
    gain, offset = 2 / scale, -(1 + shift) / scale  # 0..1 -> -1..1 -> the trunk's range, in one
    with torch.inference_mode():
        both = torch.from_numpy(np.concatenate([first, second])).to(loaded.device)  # (2N, H, W, 3) in 0..1
        x = (both * gain).add_(offset).permute(0, 3, 1, 2)  # (2N, 3, H, W); channels stay last in memory
        total, start = torch.zeros(len(first), device=loaded.device), 0
        features = []
        for end in loaded.ends:
            x = loaded.trunk[start:end](x)  # (2N, C, h, w)
            features.append(x.permute(0, 2, 3, 1))  # (2N, h, w, C)
            start = end
        for feature, head in zip(features, loaded.heads, strict=True):
            unit = _unit_(feature, norm)
            apart = unit[: len(first)].sub_(unit[len(first) :]).square_() @ head  # (N, h, w)
            total += apart.mean(dim=(1, 2))
        return total.cpu().numpy()


def _unit_(x: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Length 1 over channels, in place: the trunk is through. (B, h, w, C), C last in memory."""
    import torch

    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (B, h, w, 1)
    return x.mul_((length * length + EPS[norm]).rsqrt_()) if norm == "inside" else x.div_(length + EPS[norm])
