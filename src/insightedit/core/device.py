"""Where networks run and in which numbers; the neural libraries, asked for late and kept quiet.

Nothing here imports torch, diffusers or transformers before a function is called: the base install has none of them.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from insightedit.core.errors import BackendError, ConfigError, one_line

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "float16", "bfloat16")
# how libraries say it where they have no class for it: CUDA, cuDNN and cuBLAS, the CPU, Apple's MPS
_SAYINGS = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")
INSTALL = "pip install 'insightedit[models]'"


def need_models() -> None:
    """Refuse early where the neural libraries are absent.

    Raises:
        BackendError: torch, diffusers or transformers is not installed, or cannot be imported.
    """
    for library in ("torch", "transformers", "diffusers"):
        if importlib.util.find_spec(library) is None:
            raise BackendError(f"this needs {library}", "it is not installed", INSTALL)
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
        ConfigError: no name of a device, or a device that this machine or this build of torch does not have.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in has.items() if there))
    known = ", ".join(["auto", *(kind for kind, there in has.items() if there)])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"no device '{name}'", "torch knows no such name", f"Use one of: {known}") from error
    if not has.get(device.type) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise ConfigError(f"no device '{name}'", "torch does not see it", f"Use one of: {known}")
    return device


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """ "auto" -> float16 on CUDA, where the authors ran theirs, and float32 elsewhere.

    Raises:
        ConfigError: a name that is not in `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise ConfigError(f"no dtype '{name}'", "weights are not kept in it", f"Use one of: {', '.join(DTYPES)}")
    chosen = ("float16" if device.type == "cuda" else "float32") if name == "auto" else name
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[chosen]


def where(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """Where a back end runs and in which numbers, asked before gigabytes are read.

    Raises:
        BackendError: torch, diffusers or transformers is not installed.
        ConfigError: no such device or dtype.
    """
    need_models()
    found = device_of(device)
    return found, dtype_of(dtype, found)


def place(pipe: Any, device: torch.device, offload: str) -> None:
    """Put a pipeline of diffusers on a device.

    Args:
        pipe: the pipeline, on the CPU.
        device: where it computes.
        offload: "none"; "model" moves one network at a time there, "sequential" one layer at a time.

    Raises:
        ConfigError: offloading from the CPU, where the weights are anyway.
    """
    if offload != "none" and device.type == "cpu":
        why = "the weights are in main memory already"
        raise ConfigError(f"cannot offload ({offload}) from the CPU", why, "Set offload=none")
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error).lower() for saying in _SAYINGS)


def free_memory() -> None:
    """Give back what nothing refers to any more, on the GPU too if torch is in use."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
