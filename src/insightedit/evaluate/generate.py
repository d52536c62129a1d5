"""Outcomes of one contender over a benchmark, kept by content: what is made once is never made again.

    OUT/KEY.png       an outcome; KEY says sample, contender, settings and seed, so equal names are equal pictures
    OUT/index.jsonl   a line per sample: what became of it
    OUT/shards/       what the executor has finished

A killed run continues: an outcome is under its final name only when it is whole. Failures are tried again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ConfigDict

from insightedit.core.config import Knobs
from insightedit.core.errors import BackendError, InputError, OutputError, Unfit, one_line
from insightedit.core.files import TEMPORARY, atomic, sha256_of, write_text
from insightedit.core.fingerprint import digest
from insightedit.core.image import decode_own, encode
from insightedit.core.record import Float, Record, Reject, Small
from insightedit.evaluate.contenders import Contender
from insightedit.evaluate.sample import Benchmark, Fault, Sample
from insightedit.flow.local import Line, Progress, Shard, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import ENDS_RUN, Place, Step

INDEX, LOCK = "index.jsonl", ".lock"
SHARD = 16  # samples


class Outcome(Record):
    """One outcome on the disk."""

    key: str
    file: str  # below the folder
    sha256: str
    width: Small
    height: Small
    seconds: Float | None = None  # None: an earlier run made it and was killed before it could say


@dataclass(frozen=True)
class Asked:
    """A sample on its way."""

    sample: Sample
    values: dict[str, Record] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.sample.id

    def with_value(self, step: str, found: Record) -> Asked:
        """A copy that knows its outcome."""
        return replace(self, values={**self.values, step: found})


class GenerateKnobs(Knobs):
    """Who makes the outcomes, where they go, and where the work is done."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    contender: Any  # a `Contender`
    folder: Path
    load: bool  # whether there is anything left to make
    place: Place


class Generate(Step[Asked, Outcome]):
    """Makes an outcome, unless it is there."""

    name, version, value = "generate", "1", Outcome
    knobs: GenerateKnobs

    def fingerprint(self, before: str) -> str:
        """That of the keys that come in, which say all."""
        return digest(self.name, self.version, before)[:12]

    def share(self) -> float:
        return 0.0 if self.knobs.contender.device is None else 1.0

    def setup(self) -> None:
        """Load weights, unless every outcome is there already. An error here is everybody's, and ends the run."""
        if self.knobs.load:
            self.knobs.contender.setup()

    def process(self, batch: Sequence[Asked]) -> list[Outcome | Reject]:
        return [self._one(item) for item in batch]

    def _one(self, item: Asked) -> Outcome | Reject:
        contender: Contender = self.knobs.contender
        try:
            key = contender.key(item.sample, self.seed)
            path = self.knobs.folder / f"{key}.png"
            found = _there(path, key)
            return found or self._made(contender, item.sample, path, key)
        except ENDS_RUN:
            raise
        except Unfit as error:
            return self.reject(item, error.reason, error.seen, error.wanted)
        except (InputError, BackendError) as error:  # of this one sample
            return self.reject(item, "failed", one_line(error))

    def _made(self, contender: Contender, sample: Sample, path: Path, key: str) -> Outcome:
        started = time.perf_counter()
        image = contender.outcome(sample, self.seed)  # (H, W, 3)
        seconds = time.perf_counter() - started
        with atomic(path) as unfinished:
            unfinished.write_bytes(encode(image, ".png"))
        height, width = image.shape[:2]
        return Outcome(
            key=key, file=path.name, sha256=sha256_of(path), width=width, height=height, seconds=round(seconds, 4)
        )

    def reject(self, item: Asked, reason: str, seen: str = "", wanted: str = "") -> Reject:
        return Reject(step=self.name, reason=reason, edit_id=item.sample.id, seen=seen, wanted=wanted)


@dataclass(frozen=True)
class Generated:
    """What a contender made of a benchmark: every sample is in one of the two."""

    label: str
    fingerprint: str
    seed: int
    folder: Path
    outcomes: dict[str, Outcome]  # by id of the sample
    faults: dict[str, Fault]

    @property
    def coverage(self) -> float:
        """Share of the samples that have an outcome, 0..1."""
        return len(self.outcomes) / (len(self.outcomes) + len(self.faults))

    def path(self, sample: Sample) -> Path:
        """The outcome of a sample.

        Raises:
            KeyError: it has none.
        """
        return self.folder / self.outcomes[sample.id].file


def generate(
    benchmark: Benchmark,
    contender: Contender,
    folder: Path,
    seed: int = 0,
    workers: int = 0,
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> Generated:
    """Make every outcome that is not there yet.

    Args:
        benchmark: or a part of it.
        contender: who makes them.
        folder: of this contender; other benchmarks and seeds may share it.
        seed: of the run.
        workers: processes; 0 runs in this one.
        timeout_s: that one sample may take.
        progress: told about every sample.

    Raises:
        ConfigError, InputError, BackendError: the contender cannot be set up.
        OutputError: the folder is in use, or cannot be written.
        KeyboardInterrupt: Ctrl-C; what is made stays.
    """
    contender.fingerprint()  # found once, here: it may hash gigabytes
    told = progress or Silent()
    items = [Asked(sample) for sample in benchmark.samples]
    shards = [Shard(number, items[at : at + SHARD]) for number, at in enumerate(range(0, len(items), SHARD))]
    keys = [_key(contender, sample, seed) for sample in benchmark.samples]
    load = any(key is not None and not (folder / f"{key}.png").is_file() for key in keys)
    place = Place(device=contender.device or "auto")
    step = Generate(GenerateKnobs(contender=contender, folder=folder, load=load, place=place), seed)
    source = digest([key or item.key for key, item in zip(keys, items, strict=True)])
    line = Line([step], source, Manifest(folder / "shards"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=0), Pool(workers, timeout_s) as pool:
            _sweep(line, step, shards)
            told.begin(step.name, len(items))
            asyncio.run(run(line, shards, pool, told))
            found = _gathered(line, shards, contender, seed, folder)
            write_text(folder / INDEX, "".join(_lines(benchmark, found, seed)))
    except Timeout as error:
        raise OutputError(f"{folder} is in use", "another run writes into it", "Wait for it") from error
    except OSError as error:
        raise OutputError(f"cannot write into {folder}", error.strerror or str(error), "Choose another") from error
    return found


def _key(contender: Contender, sample: Sample, seed: int) -> str | None:
    try:
        return contender.key(sample, seed)
    except Unfit:
        return None  # why, is said when its turn comes


def _there(path: Path, key: str) -> Outcome | None:
    """An outcome of an earlier run; None where there is none, or none that can be read."""
    try:
        height, width = decode_own(path.read_bytes()).shape[:2]
    except (OSError, SyntaxError, ValueError):  # Pillow says all three of damaged files
        return None
    return Outcome(key=key, file=path.name, sha256=sha256_of(path), width=width, height=height)


def _sweep(line: Line, step: Generate, shards: Sequence[Shard]) -> None:
    """Remove what a killed run left unfinished, and take back "done" where a sample failed or its outcome is gone."""
    line.manifest.sweep()
    for leftover in step.knobs.folder.glob(f"*{TEMPORARY}"):
        leftover.unlink()
    for shard in shards:
        if not line.is_done(shard.number, step):
            continue
        values, done = line.values(shard.number, step)
        files = [step.knobs.folder / value.file for value in values if isinstance(value, Outcome)]
        if done.rejects or not all(path.is_file() for path in files):
            name = f"{step.name}-{line.marks[step.name]}.done.json"
            (line.manifest.root / f"{shard.number:05d}" / name).unlink()


def _gathered(line: Line, shards: Sequence[Shard], contender: Contender, seed: int, folder: Path) -> Generated:
    outcomes, faults = dict[str, Outcome](), dict[str, Fault]()
    for items, rejects in line.results(shards):
        outcomes |= {item.sample.id: item.values[Generate.name] for item in items}
        for reject in rejects:
            known = reject.reason not in ("worker_died", "timed_out", "step_failed")
            why = reject.seen if known else f"{reject.reason}: {reject.seen}"
            faults[reject.edit_id] = Fault(reject.reason if known else "failed", why)
    return Generated(contender.label, contender.fingerprint(), seed, folder, outcomes, faults)


def _lines(benchmark: Benchmark, found: Generated, seed: int) -> list[str]:
    """The index: a line per sample of the last run into this folder."""
    lines = []
    for sample in benchmark.samples:
        fault = found.faults.get(sample.id)
        said = {"status": fault.status, "why": fault.why} if fault else {"status": "ok"}
        made = {} if fault else found.outcomes[sample.id].model_dump()
        about = {"benchmark": benchmark.name, "id": sample.id, "contender": found.label, "seed": seed}
        lines.append(json.dumps({**about, **said, **made}, ensure_ascii=False) + "\n")
    return lines
