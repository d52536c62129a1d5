"""What an evaluation leaves on the disk, and nothing about how it is made or shown.

    OUT/BENCHMARK/results.json     `Results`: what was run, and every mean
    OUT/BENCHMARK/samples.jsonl    a `Row` per sample and editor: its scores, or why there are none

Infinities are values; JSON has none, so they are the strings "inf" and "-inf" there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError

from insightedit.core.errors import InputError
from insightedit.core.files import read_json, write_json, write_text
from insightedit.metrics.outcome import Outcome, Status
from insightedit.metrics.summary import Stat

FORMAT: Literal[1] = 1
RESULTS, SAMPLES = "results.json", "samples.jsonl"
TRUTH = "truth"  # stands where a profile's name does, for what the renderer of scenes knows
TRUTHS = ("success", "done", "kept")


def _plain(value: float) -> float | str:
    return str(value) if math.isinf(value) else value


Number = Annotated[float, PlainSerializer(_plain, when_used="json")]


class Shape(BaseModel):
    """Base of all that is written: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- samples.jsonl ---------------------------------------------------------------------------------------------------


class Cell(Shape):
    """One metric on one sample: a value with status "ok", or no value and why (`metrics.outcome`)."""

    value: Number | None = None
    status: str = "ok"
    why: str = ""

    @classmethod
    def of(cls, outcome: Outcome) -> Cell:
        """From what a metric said."""
        return cls(value=outcome.value, status=str(outcome.status), why=outcome.why)

    @property
    def outcome(self) -> Outcome:
        """As what a metric said, for `metrics.summary`."""
        return Outcome(self.value, Status(self.status), self.why)


class Truth(Shape):
    """What the renderer knows of an outcome on rendered scenes; see `scenes.truth.Verdict`."""

    success: bool
    done: bool
    kept: bool
    rival: str
    closeness: Number
    background_psnr: Number


class Row(Shape):
    """One sample as one editor did it.

    Fields:
        status, why: "ok", or the first thing that is wrong: of the outcome, else of a metric.
        output: the outcome, a path below OUT/BENCHMARK; None: there is none.
        seconds: that making it took; None = not known.
        scores: profile -> metric -> cell.
        truth: of rendered scenes only.
    """

    id: str
    category: str
    split: str
    instruction: str
    label: str
    status: str
    why: str
    output: str | None
    seconds: float | None
    scores: dict[str, dict[str, Cell]]
    truth: Truth | None = None


# --- results.json ----------------------------------------------------------------------------------------------------


class BenchmarkUsed(Shape):
    """Which benchmark, or which part of it: `fingerprint` is of the samples that were run."""

    name: str
    version: int
    fingerprint: str
    settings: dict[str, Any] = {}
    samples: int
    title: str = ""
    licence: str = ""
    citation: str = ""
    remarks: list[str] = []


class JudgeUsed(Shape):
    """Who judged.

    Fields:
        model: as it was asked for; "given" = the replies were made elsewhere.
        answered_by: as the server names what answered.
        date: of the first and of the last reply, ISO days; "" where there is none.
        settings: whatever else decides a reply: temperature, extra, what is shown, versions of the prompts.
        asked, kept: replies that this run paid for, and those that were there already.
        usd: what this run paid, as far as prices are known.
    """

    model: str
    answered_by: list[str] = []
    date: tuple[str, str] = ("", "")
    settings: dict[str, Any] = {}
    asked: int = 0
    kept: int = 0
    usd: float = 0.0


class ProfileUsed(Shape):
    """Which profile; `engines`: network -> "name@hash" of its weights, or why it is unavailable."""

    name: str
    version: int
    metrics: list[str]
    source: str = ""
    engines: dict[str, str] = {}
    judge: JudgeUsed | None = None


class Table(Shape):
    """Means of one editor under one profile, by metric.

    Fields:
        overall: as the profile says: of samples, or of the means of categories.
        groups: as the benchmark names them ("understanding", "held-out").
        categories: of the samples ("2-Relative-Size", "remove").
    """

    overall: dict[str, Stat]
    groups: dict[str, dict[str, Stat]] = {}
    categories: dict[str, dict[str, Stat]] = {}


class EditorResult(Shape):
    """One editor.

    Fields:
        coverage: share of samples whose status is "ok", 0..1.
        statuses: how many samples of each status.
        seconds: mean per outcome, of those that are known.
        truth: metrics `TRUTHS`, each the share of samples; of rendered scenes only.
    """

    label: str
    fingerprint: str
    settings: dict[str, Any] = {}
    coverage: float
    statuses: dict[str, int]
    seconds: float | None = None
    profiles: dict[str, Table]
    truth: Table | None = None


class PairedResult(Shape):
    """`first` minus `second` on the samples that both have; `metrics.summary.Paired`, of samples pooled.

    `profile` is `TRUTH` for the truth of scenes; `group` None = all samples; the interval is of 95 %.
    """

    first: str
    second: str
    profile: str
    metric: str
    group: str | None = None
    n: int
    difference: float | None
    stderr: float | None
    low: float | None
    high: float | None
    p: float | None


class Results(Shape):
    """One benchmark, its editors and their means."""

    format: Literal[1] = FORMAT
    insightedit: str
    made: str  # ISO time, UTC
    environment: dict[str, Any] = {}  # python, platform, packages
    benchmark: BenchmarkUsed
    profiles: list[ProfileUsed]
    seed: int
    limit: float | None = None
    named: list[str] | None = None
    editors: list[EditorResult]
    paired: list[PairedResult] = []

    @property
    def complete(self) -> bool:
        """Whether every sample has everything, of every editor."""
        return all(editor.coverage == 1 for editor in self.editors)


def write(folder: Path, results: Results, rows: Sequence[Row]) -> None:
    """Both files, each whole; the rows first, so that results never speak of others.

    Raises:
        OutputError: the disk is full or the place cannot be written.
    """
    write_text(folder / SAMPLES, "".join(row.model_dump_json() + "\n" for row in rows))
    write_json(folder / RESULTS, results.model_dump(mode="json"))


def read(path: Path) -> Results:
    """Results from their file, or from the folder that holds it.

    Raises:
        InputError: there are none, or of another format.
    """
    path = path / RESULTS if path.is_dir() else path
    found = read_json(path)
    try:
        return Results.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} holds no results", f"{where}: {first['msg']}", "Evaluate again") from error


def read_rows(path: Path) -> list[Row]:
    """The rows beside a results file, or in its folder.

    Raises:
        InputError: they are missing, or a line is damaged.
    """
    path = (path if path.is_dir() else path.parent) / SAMPLES
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # instructions may hold other ends of lines
        return [Row.model_validate(json.loads(line)) for line in lines if line.strip()]
    except OSError as error:
        mend = "Keep samples.jsonl beside results.json"
        raise InputError(f"cannot read {path}", error.strerror or str(error), mend) from error
    except (ValueError, ValidationError) as error:
        raise InputError(f"{path} is damaged", str(error)[:200], "Evaluate again") from error
