"""Opening checkpoint files of strangers: pickles without running them, safetensors, shards; what a file is not."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.errors import InputError
from insightedit.core.files import inside, read_json

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]

# Classes that PyTorch Lightning's files carry beside the weights: callbacks keyed by class (Lightning < 1.5), hyper
# parameters, OmegaConf containers, numpy scalars. None is imported: `Inert` stands for each.
LIGHTNING = (
    "argparse.Namespace",
    "builtins.dict",
    "builtins.float",
    "builtins.int",
    "builtins.list",
    "builtins.str",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "pathlib.PosixPath",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "typing.Any",
)
LIGHTNING_DICTS = ("collections.defaultdict", "pytorch_lightning.utilities.parsing.AttributeDict")
CORRUPT = (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError,
           AssertionError)  # fmt: skip  # what torch.load raises on damaged bytes
PART = re.compile(r"\.(ckpt|pt|pth|bin|safetensors)[._](a[a-z]|part\d*|\d{2,3})$")
WEIGHTS = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
)


class Inert:
    """Stands for a class of a training framework: takes anything, keeps and does nothing."""

    def __new__(cls, *ignored: object) -> Inert:
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class InertDict:
    """Stands for a dict of a training framework: a plain one, so that its items can be set."""

    def __new__(cls, *ignored: object) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


@dataclass(frozen=True)
class Source:
    """A file that was read, under the name by which a report calls it."""

    path: Path
    name: str


def read_checkpoint(path: Path) -> Any:
    """Whatever a checkpoint file holds; tensors of new-style files stay on disk until they are used.

    Raises:
        InputError: no such file, an LFS pointer, a web page, a part of a file, truncated, or it would run code.
    """
    head = _head(path)
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is not a checkpoint", "it is a Git LFS pointer, the weights were not downloaded",
                         "Fetch the real file: git lfs pull, or download it from its page")  # fmt: skip
    if head.lstrip()[:1] == b"<":
        raise InputError(f"{path} is not a checkpoint", "it is a web page that was saved under this name",
                         "Download the file itself, not the page about it")  # fmt: skip
    if part := PART.search(path.name):
        whole = path.name[: part.start()] + "." + part[1]
        raise InputError(f"{path} is one part of a checkpoint", "its name says that the file was split",
                         f"Join the parts: cat {whole}{part[0][len(part[1]) + 1]}* > {whole}")  # fmt: skip
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
        return _read_pickle(path, zipped=head[:1] == b"P")
    raise InputError(f"{path} is not a checkpoint", "it is neither a PyTorch nor a safetensors file", "Check the path")


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            head = handle.read(512)
    except OSError as error:
        raise InputError(f"cannot read {path}", error.strerror or str(error), "Check the path") from error
    if not head:
        raise InputError(f"{path} is not a checkpoint", "the file is empty", "Download it again")
    return head


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)  # mapped, not copied
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _read_pickle(path: Path, zipped: bool) -> Any:
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    allowed: list[Any] = [(Inert, name) for name in LIGHTNING] + [(InertDict, name) for name in LIGHTNING_DICTS]
    with safe_globals(allowed):
        try:
            # Old-style files cannot be listed beforehand, nor mapped; weights_only stops there all the same
            foreign = sorted(get_unsafe_globals_in_checkpoint(path)) if zipped else []
            if not foreign:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except pickle.UnpicklingError as error:
            foreign = re.findall(r"GLOBAL ([\w.]+)", str(error))
            if not foreign:
                raise _damaged(path, error) from error
        except CORRUPT as error:
            raise _damaged(path, error) from error
    raise InputError(f"{path} was not opened", f"it names {', '.join(foreign[:5])}, which could run code",
                     "Use a file that holds tensors only, from a source you trust")  # fmt: skip


def _damaged(path: Path, error: Exception) -> InputError:
    lines = str(error).strip().splitlines()
    said = lines[0][:160] if lines else type(error).__name__
    return InputError(f"{path} cannot be read", f"it is truncated or damaged ({said})", "Download it again")


def read_tensors(path: Path) -> Tensors:
    """The flat name -> tensor dict of a file; nested dicts are joined by dots, Lightning's `state_dict` is unwrapped.

    Raises:
        InputError: as `read_checkpoint`, or it holds something else than tensors.
    """
    found = read_checkpoint(path)
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise InputError(f"{path} is not a checkpoint", f"it holds a {type(found).__name__}, not named tensors",
                         "Choose the file with the weights")  # fmt: skip
    tensors: Tensors = {}
    for name, value in _leaves(found):
        if not _is_tensor(value):
            raise InputError(f"{path} is not a checkpoint", f"'{name}' is a {type(value).__name__}, not a tensor",
                             "Choose the file with the weights")  # fmt: skip
        tensors[name] = value
    return tensors


def _leaves(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def read_folder(folder: Path, layout: str) -> tuple[Tensors, list[Source]]:
    """The weights of a transformers or diffusers folder, sharded or not, safetensors before .bin.

    Args:
        folder: holds the weights.
        layout: what such a folder looks like, for the error.

    Raises:
        InputError: no weights, a shard is missing, or as `read_tensors`.
    """
    for name in WEIGHTS:
        if (index := folder / f"{name}.index.json").is_file():
            return _read_shards(folder, index)
        if (folder / name).is_file():
            return read_tensors(folder / name), [Source(folder / name, f"{folder.name}/{name}")]
    raise InputError(f"{folder} holds no weights", f"none of {', '.join(WEIGHTS)} (or an .index.json) is there", layout)


def _read_shards(folder: Path, index: Path) -> tuple[Tensors, list[Source]]:
    listed = read_json(index)
    wanted = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(wanted, dict) or not all(isinstance(shard, str) for shard in wanted.values()):
        raise InputError(f"{index} is not an index of shards", "it has no weight_map", "Download it again")
    tensors: Tensors = {}
    sources = [Source(inside(folder, name), f"{folder.name}/{name}") for name in sorted(set(wanted.values()))]
    for source in sources:
        shard = read_tensors(source.path)
        if twice := sorted(set(shard) & set(tensors)):
            raise InputError(f"{folder} is ambiguous", f"{len(twice)} tensors are in two shards: "
                             f"{', '.join(twice[:3])}", "Download the shards again")  # fmt: skip
        tensors |= shard
    if lacking := sorted(set(wanted) - set(tensors)):
        raise InputError(f"{folder} is not complete", f"{len(lacking)} tensors of its index are in no shard: "
                         f"{', '.join(lacking[:3])}", "Download the shards again")  # fmt: skip
    return tensors, sources


def resolve(folder_or_id: str | Path, *patterns: str) -> Path:
    """A local folder, or a repository of the Hugging Face hub (`owner/name`), of which `patterns` are fetched.

    Raises:
        InputError: neither.
    """
    path = Path(folder_or_id)
    if path.is_dir():
        return path
    name = str(folder_or_id)
    if path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith((".", "/")):
        raise InputError(
            f"'{name}' is not a folder", "there is none of that name", "Check the path, or give owner/name"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns) or None))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        said = str(error).strip().splitlines()[0][:160]
        raise InputError(f"'{name}' is no folder here and could not be fetched", said,
                         "Give a local folder, or check the name and the network") from error  # fmt: skip


def need(folder: Path, layout: str, *files: str) -> None:
    """Refuse a folder that lacks a file.

    Raises:
        InputError: names what is missing and the layout that was expected.
    """
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise InputError(f"{folder} is not complete", f"{', '.join(missing)} is missing", layout)
