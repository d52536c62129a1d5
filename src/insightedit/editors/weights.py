"""Weights: found, downloaded, loaded whole or not at all, put on a device.

diffusers and transformers fill a missing weight with random numbers and say so in a warning; here it is an error.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.errors import BackendError, ConfigError, InputError, InsightEditError
from insightedit.core.files import read_json
from insightedit.editors import fingerprint
from insightedit.editors.editor import one_line

if TYPE_CHECKING:
    import torch

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
TRUSTED = re.compile(r"diffusers|transformers|insightedit\.model\.\w+")
COMMIT = re.compile(r"[0-9a-f]{40}")
INDEX = "model_index.json"
SINGLE_FILES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")
INSTALL = "pip install 'insightedit[models]'"


def need_models() -> None:
    """Refuse early where the neural libraries are absent.

    Raises:
        BackendError: torch, diffusers or transformers is not installed, or cannot be imported.
    """
    for library in ("torch", "transformers", "diffusers"):
        if importlib.util.find_spec(library) is None:
            raise BackendError(f"this editor needs {library}", "it is not installed", INSTALL)
    with quiet():
        pass  # imports both libraries


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the loading bars and warnings of diffusers and transformers; what they warned of is checked here instead.

    Raises:
        BackendError: one of them is broken, as diffusers is beside a torchvision of another build than torch.
    """
    try:
        import diffusers.utils.logging as diffusers_says
        import transformers.utils.logging as transformers_say
    except (ImportError, RuntimeError) as error:
        mend = f"{INSTALL}; a torchvision of another build than torch breaks both: pip uninstall torchvision"
        raise BackendError("cannot import diffusers and transformers", one_line(error), mend) from error
    with ExitStack() as after, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # each renames arguments of the other's; both names still work
        for says in (diffusers_says, transformers_say):
            after.callback(says.set_verbosity, says.get_verbosity())
            after.callback(says.enable_progress_bar if says.is_progress_bar_enabled() else says.disable_progress_bar)
            says.set_verbosity_error()
            says.disable_progress_bar()
        yield


def device_of(name: str) -> torch.device:
    """ "auto" -> CUDA, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: a device that this machine or this build of torch does not have.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in has.items() if there))
    device = torch.device(name)
    if not has[device.type] or (device.index or 0) >= max(1, torch.cuda.device_count()):
        known = [kind for kind, there in has.items() if there]
        raise ConfigError(f"no device '{name}'", "torch does not see it", f"Use one of: auto, {', '.join(known)}")
    return device


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """ "auto" -> float16 on CUDA, where the authors ran theirs, and float32 elsewhere."""
    import torch

    return getattr(torch, ("float16" if device.type == "cuda" else "float32") if name == "auto" else name)


def find(model: str, revision: str | None, pipeline: Callable[[], type[Any]]) -> Path:
    """A folder or hub id -> the folder of a diffusers pipeline on this disk, downloaded if need be.

    `pipeline` is called for the class only where there is something to download: it says which parts are needed.

    Raises:
        InputError: no such folder, a folder or file of another kind, or a hub id that cannot be had.
    """
    here = Path(model).expanduser()
    if here.is_dir():
        if not (here / INDEX).is_file():
            mend = "Give the folder that holds it, or make one from other weights: insightedit convert"
            raise InputError(f"{here} is no checkpoint", f"it has no {INDEX}", mend)
        return here
    if here.is_file():
        kinds = "instruct-pix2pix (or instruct-diffusion)"
        mend = f"Make one of it: insightedit convert {kinds} --from {here} --to FOLDER" if _single(here) else "Give one"
        raise InputError(f"{here} is a single file", "editors load the folders of diffusers", mend)
    if _single(here) or not HUB_ID.fullmatch(model):
        raise InputError(f"no model {model}", "it is no folder here and no hub id (owner/name)", "Check the path")
    return _download(model, revision, pipeline)


def _single(path: Path) -> bool:
    return path.suffix in SINGLE_FILES


def _download(model: str, revision: str | None, pipeline: Callable[[], type[Any]]) -> Path:
    with quiet():
        kind = pipeline()
        try:
            return Path(kind.download(model, revision=revision, safety_checker=None))
        except Exception as error:  # the hub's client, its transport and diffusers each raise their own
            mend = "Check the name, your connection and, for a gated model, `hf auth login`; or give a local folder"
            raise InputError(f"cannot get {model}", one_line(error), mend) from error


def identity(folder: Path) -> str:
    """Which weights: the commit for a snapshot of the hub, else a hash of the folder (`fingerprint.of_folder`)."""
    if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name):
        return folder.name
    return fingerprint.of_folder(folder)


def load(pipeline: type[Any], folder: Path, dtype: torch.dtype) -> Any:
    """The pipeline of a folder, by `pipeline`'s class and not by the one that the folder names.

    MagicBrush's port names the text-to-image class, which would ignore the picture. A safety checker is left out where
    the class has one: it blackens whole results, which a comparison would score.

    Raises:
        InputError: a component is missing, cut short, partial, of another shape, or of another kind of model.
    """
    takes = inspect.signature(pipeline.__init__).parameters
    without = {"safety_checker": None, "requires_safety_checker": False}
    parts: dict[str, Any] = {name: value for name, value in without.items() if name in takes}
    try:
        for name, entry in read_json(folder / INDEX).items():
            if name in takes and name not in parts and isinstance(entry, list) and (network := _network(*entry)):
                parts[name] = _whole(network, folder / name, dtype)
        return pipeline.from_pretrained(folder, dtype=dtype, local_files_only=True, **parts)
    except InsightEditError:
        raise
    except (
        Exception
    ) as error:  # a damaged folder fails in any of a dozen ways in five libraries; all mean the same here
        mend = "Download or convert it again; the reason names what is missing or damaged"
        raise InputError(f"cannot load {folder}", f"{type(error).__name__}: {one_line(error)}", mend) from error


def _network(library: str | None, name: str | None) -> type[Any] | None:
    """The class of a component that has weights and says which it missed; None for others (schedulers, tokenizers)."""
    if library is None or name is None or not TRUSTED.fullmatch(library):
        return None  # a folder must not choose what is imported
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    found = getattr(importlib.import_module(library), name, None)
    return found if isinstance(found, type) and issubclass(found, ModelMixin | PreTrainedModel) else None


def _whole(network: type[Any], folder: Path, dtype: torch.dtype) -> Any:
    """A component with every weight from its file.

    Raises:
        InputError: weights are missing or of another shape; the first three are named.
    """
    model, about = network.from_pretrained(folder, dtype=dtype, output_loading_info=True, local_files_only=True)
    for fault in ("missing_keys", "mismatched_keys", "error_msgs"):
        if found := sorted(str(key) for key in about.get(fault) or ()):
            why = f"{len(found)} {fault.replace('_', ' ')} in {network.__name__}, among them {', '.join(found[:3])}"
            raise InputError(
                f"{folder} is partial", why, "Download or convert it again: the rest would be random numbers"
            )
    return model
