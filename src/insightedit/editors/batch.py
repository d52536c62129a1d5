"""Many edits: resumable, one failure never stopping the others.

OUT/edits.jsonl is the ledger: a line per output with what it was made from (image hash, instruction, seed, editor
fingerprint), and whether it was. A re-run does what is missing, changed or failed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from insightedit.core.errors import BackendError, InputError, InsightEditError, OutputError
from insightedit.core.files import atomic, inside, sha256_of, write_text
from insightedit.core.image import Colour, Limits, encode, read
from insightedit.editors.editor import Editor
from insightedit.editors.jobs import Job

LEDGER, LOCK = "edits.jsonl", ".edits.lock"
LIMITS = Limits(max_bytes=1_000_000_000, max_pixels=100_000_000, min_side=16)  # of pictures to edit


@dataclass(frozen=True)
class Line:
    """A line of the ledger. `status` is "done" or "failed"; `reason` says why, `bytes` is the size of the output."""

    output: str
    status: str
    image: str
    image_sha256: str | None  # None: it could not be read
    instruction: str
    seed: int
    editor: str
    fingerprint: str
    background: Colour | None = None
    seconds: float = 0.0
    bytes: int = 0
    reason: str = ""

    def same_work(self, other: Line) -> bool:
        """Whether both would give the same picture; where it lies and how it is named do not matter."""
        return self._key() == other._key()

    def _key(self) -> tuple[Any, ...]:
        return self.image_sha256, self.instruction, self.seed, self.fingerprint, self.background


@dataclass(frozen=True)
class Outcome:
    """What a run came to: lines in the order of jobs, and how many of them were done before."""

    lines: list[Line]
    kept: int

    @property
    def failed(self) -> list[Line]:
        """Those without a picture."""
        return [line for line in self.lines if line.status == "failed"]


def run(
    editor: Editor,
    jobs: Sequence[Job],
    out: Path,
    background: Colour | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Outcome:
    """Do every job that the ledger does not call done.

    Args:
        editor: loads its weights only if there is something to do.
        jobs: from `jobs.from_folder` or `jobs.from_table`.
        out: the output folder.
        background: transparent pictures are laid on it; None fails them.
        advance: called after each job, done or not.

    Raises:
        OutputError: the folder cannot be written, or another run writes into it.
        ConfigError, InputError, BackendError: the editor cannot be set up.
    """
    with _locked(out):
        before = _read(out / LEDGER)
        mark = editor.fingerprint()
        lines, kept = [], 0
        for job in jobs:
            asked = _asked(job, editor, mark, background)
            found = before.get(job.output)
            if found is not None and _stands(found, asked, out):
                line, kept = found, kept + 1
            else:
                line = _do(editor, job, asked, out)
                _append(out / LEDGER, line)
            lines.append(line)
            advance()
        _write(out / LEDGER, before | {line.output: line for line in lines})
    return Outcome(lines, kept)


def save(image: np.ndarray, path: Path) -> int:
    """Write uint8 RGB (H, W, 3) atomically in the format of its suffix -> bytes written.

    Raises:
        OutputError: the place cannot be written.
    """
    data = encode(image, path.suffix)
    with atomic(path) as unfinished:
        unfinished.write_bytes(data)
    return len(data)


def _asked(job: Job, editor: Editor, mark: str, background: Colour | None) -> Line:
    """The line of a job as far as it is known before it is done."""
    try:
        sha256 = sha256_of(job.image)
    except OSError:  # missing or unreadable: `read` says which when the job's turn comes
        sha256 = None
    return Line(
        output=job.output,
        status="asked",
        image=str(job.image),
        image_sha256=sha256,
        instruction=job.instruction,
        seed=job.seed,
        editor=editor.name,
        fingerprint=mark,
        background=background,
    )


def _stands(found: Line, asked: Line, out: Path) -> bool:
    """Whether an earlier result is there, whole, and what is asked for."""
    path = inside(out, found.output)
    return found.status == "done" and found.same_work(asked) and path.is_file() and path.stat().st_size == found.bytes


def _do(editor: Editor, job: Job, asked: Line, out: Path) -> Line:
    """Read, edit, save. A picture that cannot be read or edited is a line; what concerns all of them ends the run."""
    started = time.perf_counter()
    try:
        image = read(job.image, LIMITS, asked.background)
    except InputError as error:
        return _failed(asked, error, out)
    editor.setup()
    try:
        edited = editor.edit(image, job.instruction, job.seed)
    except (InputError, BackendError) as error:
        return _failed(asked, error, out)
    written = save(edited, inside(out, job.output))
    return replace(asked, status="done", bytes=written, seconds=round(time.perf_counter() - started, 3))


def _failed(asked: Line, error: InsightEditError, out: Path) -> Line:
    inside(out, asked.output).unlink(missing_ok=True)  # an older picture of that name would belie the line
    return replace(asked, status="failed", reason=str(error))


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / LOCK, timeout=0):
            yield
    except Timeout as error:
        mend = "Wait for it, or choose another --out"
        raise OutputError(f"{out} is in use", "another run writes into it", mend) from error
    except OSError as error:
        raise OutputError(f"cannot write into {out}", error.strerror or str(error), "Choose another --out") from error


def _read(ledger: Path) -> dict[str, Line]:
    """Output -> its last line. A line that does not parse, as the last after a kill, is a job not known to be done."""
    lines: dict[str, Line] = {}
    if ledger.is_file():
        for text in ledger.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                said = json.loads(text)
                line = Line(**said | {"background": tuple(said["background"]) if said.get("background") else None})
            except (ValueError, TypeError):
                continue
            lines[line.output] = line
        _write(ledger, lines)  # so that what is appended starts on a line of its own
    return lines


def _append(ledger: Path, line: Line) -> None:
    with ledger.open("a", encoding="utf-8") as handle:
        handle.write(_text(line))


def _write(ledger: Path, lines: dict[str, Line]) -> None:
    write_text(ledger, "".join(map(_text, lines.values())))


def _text(line: Line) -> str:
    return json.dumps(asdict(line)) + "\n"  # ASCII: a file name may hold bytes that are no UTF-8
