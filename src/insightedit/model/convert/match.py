"""Tensors under clean names, and the check that they are exactly those of a module."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from insightedit.core.errors import InputError
from insightedit.model.convert.keys import KeyMap, UnknownKey
from insightedit.model.convert.read import Tensors

if TYPE_CHECKING:
    from torch import nn

SHOWN = 3  # names in an error


@dataclass
class Part:
    """Tensors of one component: clean name -> tensor, clean name -> name in the file, and what a rule dropped."""

    tensors: Tensors = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def add(self, other: Part, prefix: str = "") -> None:
        """Take another part's tensors in, `prefix` before their names."""
        self.tensors |= {prefix + name: tensor for name, tensor in other.tensors.items()}
        self.origin |= {prefix + name: source for name, source in other.origin.items()}
        self.dropped += other.dropped

    def under(self, prefix: str, keep: str = "") -> Part:
        """The tensors below a prefix, which `keep` replaces."""
        names = [name for name in self.tensors if name.startswith(prefix)]
        clean = {name: keep + name.removeprefix(prefix) for name in names}
        return Part(
            {clean[name]: self.tensors[name] for name in names},
            {clean[name]: self.origin[name] for name in names if name in self.origin},
        )

    def move(self, name: str, clean: str) -> None:
        """Give a tensor another name."""
        self.tensors[clean] = self.tensors.pop(name)
        self.origin[clean] = self.origin.pop(name, name)

    def forget(self, name: str) -> None:
        """Take a tensor out."""
        del self.tensors[name]
        self.origin.pop(name, None)


def route(**maps: KeyMap) -> KeyMap:
    """One map of several, for a file that holds several parts: the first that knows a name wins and goes before."""

    def key(name: str) -> str | None:
        for part, own in maps.items():
            try:
                clean = own(name)
            except UnknownKey:
                continue
            return None if clean is None else f"{part}.{clean}"
        raise UnknownKey(name)

    return key


def rename(found: Tensors, key: KeyMap, source: str) -> Part:
    """Every tensor of a file under its clean name.

    Raises:
        InputError: a name that `key` does not know, or two names that mean the same tensor.
    """
    part, unexpected = Part(), []
    for name, tensor in found.items():
        try:
            clean = key(name)
        except UnknownKey:
            unexpected.append(name)
            continue
        if clean is None:
            part.dropped.append(name)
        elif clean in part.tensors:
            raise InputError(f"{source} is ambiguous", f"'{name}' and '{part.origin[clean]}' are both {clean}",
                             "Remove one of them")  # fmt: skip
        else:
            part.tensors[clean], part.origin[clean] = tensor, name
    if unexpected:
        raise _misfit(source, [_counted("unexpected", unexpected)])
    return part


def fit(part: Part, module: nn.Module, source: str) -> None:
    """Refuse tensors that are not exactly the module's: none missing, none besides, every shape equal.

    Args:
        part: under the module's names.
        module: may be on the meta device.
        source: the file or folder, for the error.

    Raises:
        InputError: names the first missing, unexpected and wrongly shaped tensors and counts them.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    missing = [part.origin.get(name, name) for name in wanted if name not in part.tensors]
    unexpected = [part.origin.get(name, name) for name in part.tensors if name not in wanted]
    wrong = [
        f"{part.origin.get(name, name)} is {_shape(tensor.shape)}, wanted {_shape(wanted[name])}"
        for name, tensor in part.tensors.items()
        if name in wanted and tuple(tensor.shape) != wanted[name]
    ]
    faults = [("missing", missing), ("unexpected", unexpected), ("of another shape", wrong)]
    if said := [_counted(kind, names) for kind, names in faults if names]:
        raise _misfit(source, said)


def _counted(kind: str, names: list[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {kind} ({', '.join(names[:SHOWN])}{more})"


def _shape(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes)) or "a number"


def _misfit(source: str, said: list[str]) -> InputError:
    return InputError(f"{source} does not hold what was expected", "; ".join(said),
                      "Check that the file is the kind and the size you asked for")  # fmt: skip
