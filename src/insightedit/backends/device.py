"""Networks of back ends: found on this disk or the hub, named for provenance, put where they run.

`core.device` says which devices there are, `core.weights` loads whole networks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.device import device_of, dtype_of, need_models, quiet
from insightedit.core.errors import ConfigError, InputError
from insightedit.core.files import sha256_of

if TYPE_CHECKING:
    import torch

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
FILES = ("*.json", "*.safetensors", "*.txt", "*.model")  # configuration, weights, tokenizers; no pickles
READ_WHOLE = 64_000_000  # bytes; a larger file is known by its size and its time of change


def where(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """Where a back end runs and in which numbers, asked before gigabytes are read.

    Raises:
        BackendError: torch, diffusers or transformers is not installed.
        ConfigError: no such device or dtype.
    """
    need_models()
    found = device_of(device)
    return found, dtype_of(dtype, found)


def find(model: str, revision: str | None = None, files: Sequence[str] = FILES) -> Path:
    """A folder, or a hub id whose `files` are downloaded -> the folder on this disk.

    Args:
        model: a local folder, or a hub id (owner/name).
        revision: commit, branch or tag of the hub; None for its main branch.
        files: patterns of what to download.

    Raises:
        InputError: no such folder, or a hub id that cannot be had.
    """

    def download() -> str:
        from huggingface_hub import snapshot_download

        return snapshot_download(model, revision=revision, allow_patterns=list(files))

    return _local(model) or fetched(model, download)


def find_pipeline(model: str, revision: str | None, pipeline: type[Any], **how: Any) -> Path:
    """As `find` for a folder of diffusers: of the hub, only the components that `pipeline` needs; no safety checker.

    Args:
        model: a local folder, or a hub id.
        revision: as in `find`.
        pipeline: the class that will load it.
        how: use_safetensors, variant: which of several files of one component to take.

    Raises:
        InputError: as `find`.
    """
    return _local(model) or fetched(
        model, lambda: pipeline.download(model, revision=revision, safety_checker=None, **how)
    )


def _local(model: str) -> Path | None:
    here = Path(model).expanduser()
    if here.is_dir():
        return here
    if here.exists():
        raise InputError(f"{here} is a single file", "a folder of weights was expected", "Give the folder")
    if not HUB_ID.fullmatch(model):
        raise InputError(f"no model {model}", "it is no folder here and no hub id (owner/name)", "Check the path")
    return None


def fetched(what: str, download: Callable[[], str]) -> Path:
    """What `download` puts on this disk.

    Raises:
        InputError: it cannot be had, with the hub's reason on one line.
    """
    with quiet():
        try:
            return Path(download())
        except Exception as error:  # the hub's client, its transport and diffusers each raise their own
            mend = "Check the name, your connection and, for a gated model, `hf auth login`; or give a local folder"
            raise InputError(f"cannot get {what}", " ".join(str(error).split())[:300], mend) from error


def identity(path: Path) -> str:
    """Which weights a folder or file holds: a hub snapshot's commit, else 16 hex digits of names and contents.

    A file over 64 MB is known by its size and its time of change, not read.
    """
    if path.parent.name == "snapshots" and COMMIT.fullmatch(path.name):
        return path.name
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    code = hashlib.sha256()
    for file in files:
        about = file.stat()
        known = sha256_of(file) if about.st_size <= READ_WHOLE else f"{about.st_size}@{about.st_mtime_ns}"
        code.update(f"{file.relative_to(path) if path.is_dir() else file.name}\x1f{known}\n".encode())
    return code.hexdigest()[:16]


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


def free(device: torch.device) -> None:
    """Give a device's cached memory back, after what was on it has been let go."""
    import gc

    import torch

    gc.collect()  # pipelines and their hooks hold each other
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.empty_cache()
