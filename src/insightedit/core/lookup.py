"""Plain dicts of "module:Class" as registries, imported when asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from insightedit.core.errors import UnknownName


def suggest(name: str, known: Iterable[str]) -> str:
    """A sentence part: "Did you mean 'x'? " where one is near, and all known names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known: {', '.join(known)}"


def pick(table: Mapping[str, str], name: str, kind: str) -> Any:
    """The class or function behind `name`.

    Args:
        table: name -> "package.module:attribute".
        name: what the user asked for.
        kind: what the table holds, for the error ("editor", "step", ...).

    Raises:
        UnknownName: `name` is not in the table; the nearest known name is suggested.
    """
    if name not in table:
        raise UnknownName(f"no {kind} '{name}'", "it is not in the table", suggest(name, table))
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
