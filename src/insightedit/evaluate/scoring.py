"""Scores of outcomes, kept by content: sample, outcome, profile, weights and replies. Nothing is made here.

OUT/BENCHMARK/scores.jsonl     a line per score: what was measured once is not measured again
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from insightedit.core.errors import BackendError, InputError, Unfit
from insightedit.core.fingerprint import digest
from insightedit.evaluate.generate import Generated
from insightedit.evaluate.kept import Kept
from insightedit.evaluate.pictures import FilePicture, pixels
from insightedit.evaluate.readers.rendered import pair_of, verdict
from insightedit.evaluate.results import TRUTH, Cell, Truth
from insightedit.evaluate.sample import Sample
from insightedit.evaluate.scored import Load, not_applicable
from insightedit.flow.local import Progress
from insightedit.metrics.networks import Networks
from insightedit.metrics.outcome import Status
from insightedit.metrics.profile import Profile
from insightedit.metrics.score import score_all
from insightedit.metrics.viescore import Score

TRUTH_VERSION = 1  # raise it when `scenes.truth` judges otherwise
AT_ONCE = 4  # outcomes that go to a worker for the truth

Cells = dict[str, Cell]  # of one sample, by metric


@dataclass(frozen=True)
class Work:
    """One sample as one contender did it; `known` is the sample's own `content`, which is read once for all of them."""

    sample: Sample
    made: Generated
    known: str
    replies: Mapping[str, str | Score] = field(default_factory=dict)  # of a judge, by question

    @property
    def load(self) -> Load:
        """Reads it where it is scored."""
        known = self.sample.id in self.made.outcomes
        return Load(self.sample, self.made.path(self.sample) if known else None, self.replies)

    @property
    def sha256(self) -> str:
        """Of the outcome's file; "" where there is none."""
        outcome = self.made.outcomes.get(self.sample.id)
        return outcome.sha256 if outcome else ""

    @property
    def content(self) -> str:
        """16 hex digits of the sample and its outcome."""
        return digest(self.known, self.sha256)


def engines(profile: Profile, samples: Iterable[Sample], networks: Networks) -> dict[str, str]:
    """Which weights those metrics of a profile ask that apply to any sample. It may fetch them."""
    useless = [not_applicable(sample) for sample in samples]
    return networks.engines([name for name in profile.metrics if not all(name in some for some in useless)])


def score(
    profile: Profile,
    works: Sequence[Work],
    networks: Networks,
    weights: Mapping[str, str],
    kept: Kept,
    workers: int,
    progress: Progress,
) -> list[Cells]:
    """Every metric of a profile on every work, in order; only what is not kept is measured.

    A network that failed is not kept: the next run tries it again.

    Args:
        profile: of metrics.
        works: samples with outcomes.
        networks: that metrics may ask.
        weights: `engines` of them, which decide scores too.
        kept: the scores that are there.
        workers: processes.
        progress: told about every score.

    Raises:
        ConfigError: no such device.
        BackendError: a worker died.
        OutputError: a score could not be kept.
    """
    mark = digest("score", profile.name, profile.version, dict(weights))
    keys = [digest(mark, work.content, _words(work.replies)) for work in works]
    missing = {key: work for key, work in zip(keys, works, strict=True) if key not in kept}
    step, fresh = f"score {profile.name}", dict[str, Cells]()
    progress.begin(step, len(works))
    progress.advance(step, len(works) - len(missing))
    loaders = (work.load for work in missing.values())
    workers = min(workers, len(missing))
    for key, scores in zip(missing, score_all(profile, loaders, networks, workers) if missing else (), strict=True):
        fresh[key] = {metric: Cell.of(outcome) for metric, outcome in scores.items()}
        if all(outcome.status != Status.FAILED for outcome in scores.values()):
            kept.put(key, _line(profile.name, missing[key], fresh[key]))
        progress.advance(step, 1)
    return [fresh[key] if key in fresh else _cells(kept.get(key)) for key in keys]


def truths(works: Sequence[Work], kept: Kept, workers: int, progress: Progress) -> list[Truth | None]:
    """What the renderer knows of each outcome; None where there is no outcome, or a sample is of no rendered scene.

    Raises:
        BackendError: a worker died.
        OutputError: a verdict could not be kept.
    """
    keys = [digest(TRUTH, TRUTH_VERSION, work.content) for work in works]
    judged = {
        key: work for key, work in zip(keys, works, strict=True) if work.sha256 and pair_of(work.sample) is not None
    }
    missing = {key: work for key, work in judged.items() if key not in kept}
    if judged:
        progress.begin(TRUTH, len(judged))
        progress.advance(TRUTH, len(judged) - len(missing))
    for key, found in zip(missing, _spread([work.load for work in missing.values()], workers), strict=True):
        kept.put(key, {"profile": TRUTH, "sample": missing[key].sample.id, "truth": found})
        progress.advance(TRUTH, 1)
    lines = [kept.get(key) for key in keys]
    return [Truth(**line["truth"]) if line and line["truth"] else None for line in lines]


def truth_of(load: Load) -> dict[str, Any] | None:
    """The truth about one outcome as plain values; None where its size is not the scene's. Runs in a worker."""
    try:
        assert load.outcome is not None
        found = verdict(load.sample, pixels(FilePicture(load.outcome)))
    except (InputError, Unfit):
        return None
    wanted = {name: getattr(found, name) for name in Truth.model_fields}
    return Truth(**wanted).model_dump(mode="json")


def _spread(loads: Sequence[Load], workers: int) -> Iterator[dict[str, Any] | None]:
    if workers < 1 or len(loads) < 2 * AT_ONCE:
        yield from map(truth_of, loads)
        return
    pool = ProcessPoolExecutor(min(workers, len(loads)), get_context("spawn"))
    try:
        yield from pool.map(truth_of, loads, chunksize=AT_ONCE)
    except BrokenProcessPool as error:
        mend = "Use fewer workers"
        raise BackendError(
            "judging scenes broke off", "a worker process died, perhaps for want of memory", mend
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _words(replies: Mapping[str, str | Score]) -> list[Any]:
    """Replies as plain values."""
    return sorted(
        (question, reply if isinstance(reply, str) else reply.model_dump(mode="json"))
        for question, reply in replies.items()
    )


def _line(profile: str, work: Work, cells: Cells) -> dict[str, Any]:
    scores = {metric: cell.model_dump(mode="json") for metric, cell in cells.items()}
    return {"profile": profile, "sample": work.sample.id, "scores": scores}


def _cells(line: Mapping[str, Any] | None) -> Cells:
    assert line is not None, "a score that was just found"
    return {metric: Cell(**cell) for metric, cell in line["scores"].items()}
