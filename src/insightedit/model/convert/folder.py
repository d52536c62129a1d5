"""Writing a converted folder: beside its final name until it is whole, with a record of where everything came from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit import __version__
from insightedit.core.errors import InputError, OutputError
from insightedit.core.files import sha256_of, write_json
from insightedit.model.convert.match import Part, fit
from insightedit.model.convert.read import Source

if TYPE_CHECKING:
    import torch
    from torch import nn

RECORD = "conversion.json"
DTYPES = ("float32", "float16", "bfloat16")
MARK = {"format": "pt"}  # transformers and diffusers want to be told that the names are PyTorch's


@dataclass(frozen=True)
class Component:
    """One subfolder: how much is in it, in which dtype, and from where."""

    name: str
    tensors: int
    parameters: int
    dtype: str
    origin: str


@dataclass
class Conversion:
    """What a conversion did: printed as a summary and kept in the folder as `conversion.json`."""

    kind: str
    sources: list[dict[str, str]] = field(default_factory=list)  # file, sha256
    components: list[Component] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)  # names of the files that a rule left out
    merged: list[str] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what the user should know

    def read(self, *sources: Source) -> None:
        """Record files with their checksums; no path beyond the name given."""
        self.sources += [{"file": source.name, "sha256": sha256_of(source.path)} for source in sources]

    def drop(self, part: Part) -> None:
        """Record what was left out of a part."""
        self.dropped += part.dropped

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"insightedit": __version__, **asdict(self)}


@contextmanager
def building(to: Path) -> Iterator[Path]:
    """A temporary sibling of `to`, renamed to it at the end; a failure leaves nothing.

    Raises:
        OutputError: `to` holds something, or cannot be written.
    """
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        raise OutputError(f"{to} is not empty", "a conversion writes a folder of its own", "Choose another --to")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=".unfinished", dir=to.parent))
    except OSError as error:
        raise OutputError(f"cannot write {to}", error.strerror or str(error), "Choose another --to") from error
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp makes it private
        os.replace(unfinished, to)
    except OSError as error:
        raise OutputError(f"could not write {to}", error.strerror or str(error),
                          "Free some space or choose another --to") from error  # fmt: skip
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already if all went well


def write_component(
    folder: Path, module: nn.Module, part: Part, origin: str, dtype: str | None = None, prefix: str = ""
) -> Component:
    """Check a part against the module that it is for, and write both its configuration and its tensors.

    Args:
        folder: subfolder to make; its name is the component's.
        module: diffusers or transformers model, on the meta device.
        part: tensors under the module's names.
        origin: the file or folder they are from, for errors and the record.
        dtype: of all floating tensors; by default the one that most values have: a component has one dtype.
        prefix: put before every name on disk.

    Raises:
        InputError: the part does not fit the module.
    """
    from safetensors.torch import save_file

    fit(part, module, origin)
    kind = dtype_of(part.tensors, dtype)
    tensors = {prefix + name: _plain(tensor, kind) for name, tensor in part.tensors.items()}
    folder.mkdir(parents=True)
    diffusers = hasattr(module, "save_config")
    module.save_config(folder) if diffusers else module.config.save_pretrained(folder)  # type: ignore[operator,union-attr]
    stem = "diffusion_pytorch_model" if diffusers else "model"
    save_file(tensors, folder / f"{stem}.safetensors", metadata=MARK)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    return Component(folder.name, len(tensors), parameters, str(kind).removeprefix("torch."), origin)


def dtype_of(tensors: Mapping[str, torch.Tensor], wanted: str | None) -> torch.dtype:
    """The dtype asked for, else that of most values."""
    import torch

    if wanted is not None:
        if wanted not in DTYPES:
            raise InputError(f"no dtype '{wanted}'", "it is not in the table", f"Known: {', '.join(DTYPES)}")
        found: torch.dtype = getattr(torch, wanted)
        return found
    values: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        values[tensor.dtype] += tensor.numel() * tensor.is_floating_point()
    return values.most_common(1)[0][0]


def _plain(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Contiguous and of that dtype; a mapped tensor that is both already stays on disk."""
    tensor = tensor.detach()
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def finish(folder: Path, conversion: Conversion) -> None:
    """Write the record; the last file of a conversion."""
    write_json(folder / RECORD, conversion.as_dict())
