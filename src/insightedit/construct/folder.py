"""The folder of a run: it belongs to one recipe, one run at a time writes into it, and it knows what runs have paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from insightedit.backends.chat.cost import Ledger, Tally
from insightedit.core.errors import OutputError
from insightedit.core.files import read_json, write_json

ASKED = "asked.json"


@contextmanager
def claimed(out: Path, identity: dict[str, Any]) -> Iterator[Path]:
    """Bind an empty folder to this run, or check that it is this run's; nobody else writes while the block runs.

    Args:
        out: the folder.
        identity: what it is bound to.

    Yields:
        `out`/work, where a run keeps what it continues from.

    Raises:
        OutputError: another recipe's folder, a folder of something else, one in use, or one that cannot be written.
    """
    work = out / "work"
    _bind(out, work / "identity.json", identity)
    try:
        with FileLock(work / "lock", timeout=0):
            yield work
    except Timeout as error:
        why, mend = "another run writes into it", "Wait for it, or choose another --out"
        raise OutputError(f"{out} is in use", why, mend) from error


def _bind(out: Path, note: Path, identity: dict[str, Any]) -> None:
    if note.is_file():
        before = read_json(note)
        changed = [key for key in identity if before.get(key) != identity[key]]
        if changed:
            why = f"it was built with other {' and '.join(changed)}"
            raise OutputError(
                f"{out} belongs to another recipe", why, "Choose another --out, or delete that folder first"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} holds something else", "it is not empty and no build made it", "Choose a new --out")
    write_json(note, identity)


@contextmanager
def accounted(work: Path, ledger: Ledger) -> Iterator[None]:
    """However the block ends, add what it asked and paid to what earlier runs did, in `work`/asked.json."""
    try:
        yield
    finally:
        if ledger.steps:
            path = work / ASKED
            before = read_json(path) if path.is_file() else {}
            earlier = {step: Tally(**{**one, "failed": Counter(one["failed"])}) for step, one in before.items()}
            write_json(path, Ledger(earlier).merge(ledger).as_dict())
