"""Pickles that hold plain data and nothing else: RefCOCO's refs(unc).p is one; a pickle may run anything it likes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from insightedit.datasets.layout import need, wrong


class _Plain(pickle.Unpickler):
    """Builds lists, tuples, dicts, sets, strings and numbers; asks for no class and calls no function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and plain data needs no such thing")


def read(path: Path, layout: str) -> Any:
    """The plain data in a pickle of Python 2 or 3.

    Every way to run code in a pickle starts by naming a global, and that is refused (as the `pickle` manual advises
    under "Restricting Globals").

    Raises:
        InputError: the file is missing, broken, or asks for anything but plain data.
    """
    try:
        with need(path, layout).open("rb") as handle:
            return _Plain(handle, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise wrong(path, f"it is not a pickle of plain data ({str(error)[:120]})", layout) from error
    except (OverflowError, MemoryError, RecursionError) as error:
        raise wrong(path, f"it is a broken pickle ({type(error).__name__})", layout) from error
