"""Evaluate: make outcomes, score them, report. Each stage keeps what it found, so a run goes on where it was killed.

OUT/BENCHMARK/outputs/LABEL-FINGERPRINT/     outcomes of one editor under one set of settings (`generate`)
OUT/BENCHMARK/replies.jsonl                  what a judge said, as it came (`judge`)
OUT/BENCHMARK/scores.jsonl                   what was measured (`scoring`)
OUT/BENCHMARK/results.json, samples.jsonl    the result (`results`), and the report made of it
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout
from pydantic import Field

from insightedit import __version__
from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError, OutputError
from insightedit.core.lookup import suggest
from insightedit.evaluate import judge as judging
from insightedit.evaluate import means
from insightedit.evaluate.contenders import Contender, EditorContender, FolderContender
from insightedit.evaluate.generate import LOCK, Generated, generate
from insightedit.evaluate.judge import JudgeKnobs
from insightedit.evaluate.kept import Kept
from insightedit.evaluate.results import BenchmarkUsed, JudgeUsed, ProfileUsed, Results, Row, Truth, write
from insightedit.evaluate.sample import Benchmark, Fault, Sample
from insightedit.evaluate.scoring import Cells, Work, engines, score, truths
from insightedit.flow.local import Progress, Silent
from insightedit.metrics.networks import NetworkKnobs, Networks
from insightedit.metrics.profile import Profile

OUTPUTS, SCORES = "outputs", "scores.jsonl"
Stage = Literal["all", "generate", "score"]
Given = Mapping[str, Mapping[str, Mapping[str, str]]]  # label -> id of the sample -> question -> reply
PACKAGES = ("numpy", "scipy", "pillow", "opencv-contrib-python-headless", "torch", "transformers", "diffusers")


class EvaluateKnobs(Knobs):
    """How a run is done; of these only `seed`, `networks` and `judge` decide numbers."""

    seed: int = Field(0, ge=0)
    workers: int = Field(0, ge=0)  # processes; 0 = this one
    timeout_s: float = Field(600.0, gt=0)  # that one sample may take
    networks: NetworkKnobs = NetworkKnobs()
    judge: JudgeKnobs = JudgeKnobs()
    limit: float | None = None  # that the benchmark was cut by; for the record
    named: tuple[str, ...] | None = None  # samples that were asked for; for the record


@dataclass(frozen=True)
class Evaluated:
    """A run's end.

    Attributes:
        folder: OUT/BENCHMARK.
        made: outcomes, by label.
        results, rows: None and empty where nothing was to be scored.
    """

    folder: Path
    made: Mapping[str, Generated]
    results: Results | None = None
    rows: Sequence[Row] = ()

    @property
    def complete(self) -> bool:
        """Whether every sample has all that was asked for."""
        if self.results is not None:
            return self.results.complete
        return all(one.coverage == 1 for one in self.made.values())


def evaluate(
    benchmark: Benchmark,
    contenders: Sequence[Contender],
    profiles: Sequence[Profile],
    out: Path,
    knobs: EvaluateKnobs = EvaluateKnobs(),
    stage: Stage = "all",
    given: Given | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Make what is missing, score what is not scored, and write results and report into OUT/BENCHMARK.

    Args:
        benchmark: or a part of it.
        contenders: each with a label of its own.
        profiles: of metrics.
        out: folder for all benchmarks.
        knobs: see `EvaluateKnobs`.
        stage: "generate" scores nothing; "score" makes nothing: what is not there is `missing_output`.
        given: a judge's replies that were made elsewhere, of every contender; then nobody is asked.
        progress: told about every stage.

    Raises:
        ConfigError: two labels alike, or a judge that cannot be asked; before anything is made.
        ConfigError, InputError, BackendError: a contender cannot be set up, or scoring broke off.
        Stop: the judge answers no more, or its budget is spent; what is finished stays.
        OutputError: the folder is in use, or cannot be written.
        KeyboardInterrupt: Ctrl-C; what is finished stays.
    """
    _check(contenders, profiles, knobs, stage, given or {})
    folder = out / benchmark.name
    this = _Run(benchmark, contenders, profiles, folder, knobs, given or {}, progress or Silent())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=0):
            this.generate(fresh=stage != "score")
            if stage == "generate":
                return Evaluated(folder, this.made)
            rows = this.rows(this.scores())
            results = this.results(rows)
            write(folder, results, rows)
            _report(this, results, rows)
    except Timeout as error:
        raise OutputError(f"{folder} is in use", "another run writes into it", "Wait for it") from error
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder}", error.strerror or str(error), "Choose another --out"
        ) from error
    return Evaluated(folder, this.made, results, rows)


@dataclass
class _Run:
    """What the stages of one run share."""

    benchmark: Benchmark
    contenders: Sequence[Contender]
    profiles: Sequence[Profile]
    folder: Path
    knobs: EvaluateKnobs
    given: Given
    progress: Progress
    made: dict[str, Generated] = field(default_factory=dict)
    judges: dict[str, JudgeUsed] = field(default_factory=dict)  # by profile
    weights: dict[str, dict[str, str]] = field(default_factory=dict)  # by profile and network
    truth: list[Truth | None] = field(default_factory=list)  # of every work

    def generate(self, fresh: bool) -> None:
        """Outcomes of every contender; `fresh` False only looks for those that are there."""
        for contender in self.contenders:
            told = _Named(self.progress, contender.label)
            who = contender if fresh else Stored(contender)
            workers = self.knobs.workers if fresh else 0
            place, knobs = self.folder / self.place(contender), self.knobs
            found = generate(self.benchmark, who, place, knobs.seed, workers, knobs.timeout_s, told)
            self.made[contender.label] = found

    def place(self, contender: Contender) -> str:
        """Where its outcomes lie, below the benchmark's folder."""
        return f"{OUTPUTS}/{contender.label}-{contender.fingerprint()}"

    def scores(self) -> dict[str, list[Cells]]:
        """Profile -> cells of every work; and the truth of scenes."""
        networks, kept = Networks(self.knobs.networks), Kept(self.folder / SCORES)
        contents = [(sample, sample.content()) for sample in self.benchmark.samples]
        works = [Work(sample, made, content) for made in self.made.values() for sample, content in contents]
        found = {}
        for profile in self.profiles:
            some = self.judged(profile, works) if profile.judge else works
            weights = self.weights[profile.name] = engines(profile, self.benchmark.samples, networks)
            found[profile.name] = score(profile, some, networks, weights, kept, self.knobs.workers, self.progress)
        self.truth = truths(works, kept, self.knobs.workers, self.progress)
        return found

    def judged(self, profile: Profile, works: Sequence[Work]) -> list[Work]:
        """The works with a judge's replies: given ones, or those that are asked for."""
        assert profile.judge is not None
        rule, knobs = profile.judge, self.knobs
        if self.given:
            self.judges[profile.name] = JudgeUsed(model="given")
            there = [self.given[work.made.label].get(work.sample.id, {}) for work in works]
            return [replace(work, replies=replies) for work, replies in zip(works, there, strict=True)]
        kept = Kept(self.folder / judging.REPLIES_FILE, durable=True)
        asked = [judging.questions(profile, work.load, work.sha256, knobs.judge) for work in works]
        every = [one for some in asked for one in some]
        before = sum(one.key in kept for one in every)
        replies, tally = judging.ask(
            every, knobs.judge, self.folder, kept, knobs.workers, knobs.timeout_s, self.progress
        )
        used = judging.described(knobs.judge, replies.values())
        self.judges[profile.name] = JudgeUsed(**used, asked=tally.requests, kept=before, usd=tally.usd)
        return [
            replace(work, replies={one.kind: replies[one.key].read_as(rule) for one in some})
            for work, some in zip(works, asked, strict=True)
        ]

    def rows(self, scores: Mapping[str, Sequence[Cells]]) -> list[Row]:
        """A row per editor and sample, editor by editor."""
        found: list[Row] = []
        for contender in self.contenders:
            made, place = self.made[contender.label], self.place(contender)
            for sample in self.benchmark.samples:
                at = len(found)
                cells = {name: some[at] for name, some in scores.items()}
                found.append(means.row(sample, made, cells, self.truth[at], place))
        return found

    def results(self, rows: Sequence[Row]) -> Results:
        """Everything that is said of the run."""
        by_label = {label: [one for one in rows if one.label == label] for label in self.made}
        knobs = self.knobs
        return Results(
            insightedit=__version__,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(),
            benchmark=used(self.benchmark),
            profiles=[self.profile(one) for one in self.profiles],
            seed=knobs.seed,
            limit=knobs.limit,
            named=None if knobs.named is None else list(knobs.named),
            editors=[
                means.editor(self.made[one.label], by_label[one.label], self.benchmark, self.profiles, settings(one))
                for one in self.contenders
            ],
            paired=means.paired(by_label, self.benchmark, self.profiles),
        )

    def profile(self, profile: Profile) -> ProfileUsed:
        """A profile with the weights and the judge that stood behind it."""
        return ProfileUsed(
            name=profile.name,
            version=profile.version,
            metrics=list(profile.metrics),
            source=profile.source,
            engines=self.weights[profile.name],
            judge=self.judges.get(profile.name),
        )


@dataclass(frozen=True)
class Stored:
    """A contender that makes nothing: what it made before is found, the rest is missing."""

    contender: Contender
    device: str | None = None

    @property
    def label(self) -> str:
        return self.contender.label

    def fingerprint(self) -> str:
        return self.contender.fingerprint()

    def key(self, sample: Sample, seed: int) -> str:
        return self.contender.key(sample, seed)

    def setup(self) -> None:
        """Nothing is loaded."""

    def outcome(self, sample: Sample, seed: int) -> np.ndarray:
        why = f"'{self.label}' has not made it yet; run without --score-only"
        raise Fault("missing_output", why).error()


@dataclass(frozen=True)
class _Named:
    """Progress under the name of an editor."""

    progress: Progress
    label: str

    def begin(self, step: str, total: int) -> None:
        self.progress.begin(self.label, total)

    def advance(self, step: str, count: int) -> None:
        self.progress.advance(self.label, count)


def used(benchmark: Benchmark) -> BenchmarkUsed:
    """A benchmark as results name it."""
    return BenchmarkUsed(
        name=benchmark.name,
        version=benchmark.version,
        fingerprint=benchmark.fingerprint(),
        settings=dict(benchmark.settings),
        samples=len(benchmark),
        title=benchmark.title,
        licence=benchmark.licence,
        citation=benchmark.citation,
        remarks=[*benchmark.remarks, *benchmark.missing],
    )


def settings(contender: Contender) -> dict[str, Any]:
    """What a contender was told, for the record."""
    if isinstance(contender, EditorContender):
        values: dict[str, Any] = contender.made.settings.model_dump(mode="json")
        return {"editor": contender.editor, **values}
    if isinstance(contender, FolderContender):
        return {"folders": [str(folder) for folder in contender.folders]}
    return {}


def environment() -> dict[str, Any]:
    """Interpreter, platform and the packages that numbers hang on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": found}


def _check(
    contenders: Sequence[Contender], profiles: Sequence[Profile], knobs: EvaluateKnobs, stage: Stage, given: Given
) -> None:
    labels = [one.label for one in contenders]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        why = "two rows of a table would be called the same"
        raise ConfigError(f"two editors are '{repeated[0]}'", why, "Give one of them another name: label=NAME")
    judged = [one for one in profiles if one.judge is not None]
    if given and not judged:
        raise ConfigError("replies are given", "no profile asks a judge", "Name one with --profile, or drop them")
    for label in given:
        if label not in labels:
            raise ConfigError(f"replies are given for '{label}'", "no row is called so", suggest(label, labels))
    if given and (without := [label for label in labels if label not in given]):
        why = f"'{without[0]}' has none, and two judges in one table compare nothing"
        raise ConfigError("replies are given for some editors only", why, "Give --replies for every editor, or none")
    if judged and not given and stage == "all":
        judging.ready(judged, knobs.judge)


def _report(this: _Run, results: Results, rows: Sequence[Row]) -> None:
    """Tables and the page beside the results."""
    from insightedit.evaluate import report  # it reads what this module writes

    report.write(this.folder, results, rows, this.benchmark, this.made)
