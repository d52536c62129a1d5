"""From samples to values: one sample, or many over cores.

A sample is first measured where it was loaded (pixels, LPIPS, the judge's replies); what CLIP and DINO are to see comes
back to the one process that holds them, in batches. Nothing that is wrong with a sample ends a run: it is a status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import islice
from multiprocessing import get_context

from insightedit.core.errors import BackendError, InputError, Unfit, one_line
from insightedit.metrics import replies
from insightedit.metrics.catalogue import METRICS, EmbeddingMetric, JudgeMetric, LpipsMetric, Metric, PixelMetric
from insightedit.metrics.embed import Wish, fulfilled
from insightedit.metrics.lpips import LEAST_SIDE
from insightedit.metrics.networks import Networks
from insightedit.metrics.outcome import Gap, Outcome, Scores, Status, valued
from insightedit.metrics.profile import Profile
from insightedit.metrics.replies import Verdict
from insightedit.metrics.sample import Sample
from insightedit.metrics.viescore import Score
from insightedit.metrics.view import View, prepare

Loader = Callable[[], Sample]  # picklable; runs in a worker, so that decoding is spread too
BATCH = 64  # samples whose pictures wait for CLIP and DINO at a time
AHEAD = 4  # samples a worker that are under way


def score(profile: Profile, sample: Sample, networks: Networks | None = None) -> Scores:
    """Every metric of a profile on one sample: a value, or a status and why.

    Args:
        profile: of `metrics.profile`; whoever wants another filter of replies gives a profile with one (`reading`).
        sample: the arrays and words.
        networks: None for published weights at their usual places.

    Raises:
        ConfigError: no such device or dtype.
        UnknownName: the profile names a metric or a filter that does not exist.
    """
    networks = networks or Networks()
    return fulfilled([_measured(profile, sample, networks)], networks)[0]


def score_all(
    profile: Profile, loaders: Iterable[Loader], networks: Networks | None = None, workers: int = 0
) -> Iterator[Scores]:
    """As `score` for many, in order, as they are finished.

    Args:
        profile, networks: as `score`.
        loaders: each gives one sample; one that raises `InputError` or `Unfit` becomes the status "unreadable".
        workers: processes, each with one thread; 0 = this process. They are spawned: call it from a module that can be
            imported, with picklable loaders.

    Raises:
        ConfigError, UnknownName: as `score`.
        BackendError: a worker died.
    """
    networks = networks or Networks()
    measured = _here(profile, loaders, networks) if workers < 1 else _spread(profile, loaders, networks, workers)
    while some := list(islice(measured, BATCH)):
        yield from fulfilled(some, networks)


def reading(profile: Profile, name: str) -> Profile:
    """The profile with another filter of replies: another profile, whose name says so.

    Raises:
        UnknownName: there is no such filter.
        InputError: the profile asks no judge.
    """
    replies.get(name)
    if profile.judge is None:
        raise InputError(f"cannot read replies with '{name}'", f"{profile.name} asks no judge", "Drop the filter")
    return replace(profile, name=f"{profile.name}+{name}", judge=replace(profile.judge, replies=name))


# --- one sample ------------------------------------------------------------------------------------------------------


def _measured(profile: Profile, sample: Sample, networks: Networks) -> Wish:
    """All but embeddings; what these need is left as wishes."""
    found: Scores = {}
    wish = Wish(profile.metrics, found)
    view, verdicts = _Late(lambda: prepare(profile, sample)), _Verdicts(profile, sample)
    for name in profile.metrics:
        metric = METRICS[name]
        try:
            if name in sample.not_applicable:
                raise Gap(Status.NOT_APPLICABLE)
            if isinstance(metric, EmbeddingMetric):
                wish.add(name, metric, view(), sample)
            else:
                found[name] = valued(_value(metric, view, verdicts, networks))
        except Gap as gap:
            found[name] = gap.outcome
    return wish


def _value(metric: Metric, view: _Late, verdicts: _Verdicts, networks: Networks) -> float:
    if isinstance(metric, PixelMetric):
        return metric.of(view())
    if isinstance(metric, LpipsMetric):
        return _lpips(metric, view(), networks)
    assert isinstance(metric, JudgeMetric)
    return metric.of(*(verdicts.scores(question) for question in metric.questions))


def _lpips(metric: LpipsMetric, view: View, networks: Networks) -> float:
    least = LEAST_SIDE[metric.net]
    if min(view.reference.shape[:2]) < least:
        raise Gap(Status.TOO_SMALL, f"a side is {min(view.reference.shape[:2])} px, {metric.net} needs {least}")
    first, second = view.masked if metric.masked else view.pictures
    return float(networks.lpips(metric.net).distances(first[None], second[None], metric.norm)[0])


class _Late:
    """The view, made when first asked for; a profile of nothing but a judge needs none."""

    def __init__(self, make: Callable[[], View]) -> None:
        self._make = make
        self._made: View | Outcome | None = None

    def __call__(self) -> View:
        if self._made is None:
            try:
                self._made = self._make()
            except Gap as gap:
                self._made = gap.outcome
        if isinstance(self._made, Outcome):
            raise Gap(self._made.status, self._made.why)
        return self._made


@dataclass
class _Verdicts:
    """The judge's scores by question, each reply read once."""

    profile: Profile
    sample: Sample
    known: dict[str, Verdict] = field(default_factory=dict)

    def scores(self, question: str) -> tuple[float, ...]:
        if question not in self.known:
            self.known[question] = self._read(question)
        verdict = self.known[question]
        if verdict.status != Status.OK:
            raise Gap(verdict.status, verdict.why)
        return verdict.scores

    def _read(self, question: str) -> Verdict:
        rule, reply = self.profile.judge, self.sample.replies.get(question)
        if self.sample.edited is None:
            return Verdict((), Status.MISSING_OUTPUT)
        if rule is None or reply is None:
            return Verdict((), Status.MISSING_REPLY)
        if isinstance(reply, Score):
            return _of_score(reply, rule.top)
        return replies.get(rule.replies)(reply, rule)


def _of_score(score: Score, top: int) -> Verdict:
    if not score.parts:
        return Verdict((), Status(score.reason or Status.MISSING_REPLY), score.said[:200])
    if score.top != top:
        return Verdict((), Status.MALFORMED, f"judged on a scale to {score.top}, the profile's goes to {top}")
    return Verdict(tuple(score.parts))


# --- many ------------------------------------------------------------------------------------------------------------


def _loaded(profile: Profile, load: Loader, networks: Networks) -> Wish:
    try:
        sample = load()
    except (InputError, Unfit) as error:
        gone = Outcome(None, Status.UNREADABLE, one_line(error))
        return Wish(profile.metrics, dict.fromkeys(profile.metrics, gone))
    return _measured(profile, sample, networks)


def _here(profile: Profile, loaders: Iterable[Loader], networks: Networks) -> Iterator[Wish]:
    return (_loaded(profile, load, networks) for load in loaders)


def _spread(profile: Profile, loaders: Iterable[Loader], networks: Networks, workers: int) -> Iterator[Wish]:
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (profile, networks))
    waiting: deque[Future[Wish]] = deque()
    try:
        for load in loaders:
            waiting.append(pool.submit(_work, load))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        mend = "Use fewer workers or, if loading fails, try --workers 0 to see its error"
        raise BackendError("scoring broke off", "a worker process died, perhaps for want of memory", mend) from error
    finally:
        pool.shutdown(cancel_futures=True)


_STATE: dict[str, tuple[Profile, Networks]] = {}  # of a worker process


def _begin(profile: Profile, networks: Networks) -> None:
    import cv2

    cv2.setNumThreads(1)  # samples are what is spread over cores
    if find_spec("torch") and any(isinstance(METRICS[name], LpipsMetric) for name in profile.metrics):
        import torch

        torch.set_num_threads(1)
    _STATE["job"] = profile, networks


def _work(load: Loader) -> Wish:
    profile, networks = _STATE["job"]
    return _loaded(profile, load, networks)
