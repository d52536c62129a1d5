"""The metrics that stand on embeddings: pictures and texts of many samples, each embedded once and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from insightedit.core.errors import BackendError, one_line
from insightedit.metrics.catalogue import METRICS, EmbeddingMetric, Eye, Picture
from insightedit.metrics.clip import Clip, Framing
from insightedit.metrics.networks import Networks
from insightedit.metrics.outcome import Gap, Outcome, Scores, Status, valued
from insightedit.metrics.sample import Sample
from insightedit.metrics.view import View


@dataclass(eq=False)
class Wish:
    """One sample that is measured but for its embeddings; it travels between processes.

    Fields:
        metrics: of the profile, in order.
        scores: what is known.
        wanted: metrics that wait for embeddings.
        pictures, texts: what is to be embedded, by role.
    """

    metrics: tuple[str, ...]
    scores: Scores
    wanted: list[str] = field(default_factory=list)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, metric: EmbeddingMetric, view: View, sample: Sample) -> None:
        """Note what a metric needs.

        Raises:
            Gap: a picture or a text of the sample is missing, or the crop is empty.
        """
        pictures: dict[str, np.ndarray] = {role: _picture(role, view, sample) for role in metric.pictures}
        texts: dict[str, str] = {role: getattr(sample, role) for role in metric.texts}
        if lacking := [role for role, text in texts.items() if not text]:
            raise Gap(Status.MISSING_TEXT, ", ".join(lacking))
        self.wanted.append(name)
        self.pictures |= pictures
        self.texts |= texts


def _picture(role: Picture, view: View, sample: Sample) -> np.ndarray:
    """As it came, or the published crop of the resized one."""
    if role == "crop":
        return view.crop
    found: np.ndarray | None = getattr(sample, role)
    if found is None:
        raise Gap(Status.MISSING_TARGET if role == "target" else Status.MISSING_SOURCE)
    return found


@dataclass(frozen=True)
class _Way:
    """What is embedded how."""

    eye: Eye
    role: str
    framing: Framing | None  # None = a text


def fulfilled(wishes: Sequence[Wish], networks: Networks) -> list[Scores]:
    """The scores of samples, complete and in their profile's order.

    Raises:
        ConfigError: no such device or dtype.
    """
    kept: dict[tuple[_Way, int], np.ndarray | Outcome] = {}
    for way in dict.fromkeys(way for wish in wishes for name in wish.wanted for way in _ways(name)):
        places = [place for place, wish in enumerate(wishes) if any(way in _ways(name) for name in wish.wanted)]
        rows = _embedded(way, [wishes[place] for place in places], networks)
        kept |= {(way, place): row for place, row in zip(places, rows, strict=True)}
    for place, wish in enumerate(wishes):
        for name in wish.wanted:
            wish.scores[name] = _finished(name, [kept[way, place] for way in _ways(name)])
    return [{name: wish.scores[name] for name in wish.metrics} for wish in wishes]


def _ways(name: str) -> list[_Way]:
    metric = METRICS[name]
    assert isinstance(metric, EmbeddingMetric)
    pictures = [_Way(metric.eye, role, metric.framing) for role in metric.pictures]
    return pictures + [_Way(metric.eye, role, None) for role in metric.texts]


def _embedded(way: _Way, wishes: Sequence[Wish], networks: Networks) -> Sequence[np.ndarray | Outcome]:
    """A row (D,) of each, or why there is none."""
    try:
        eye = networks.eye(way.eye)
        if way.framing is None:
            return list(eye.texts([wish.texts[way.role] for wish in wishes]))
        pictures = [wish.pictures[way.role] for wish in wishes]
        return list(eye.images(pictures, way.framing) if isinstance(eye, Clip) else eye.images(pictures))
    except Gap as gap:
        return [gap.outcome] * len(wishes)
    except BackendError as error:
        return [Outcome(None, Status.FAILED, one_line(error))] * len(wishes)


def _finished(name: str, rows: Sequence[np.ndarray | Outcome]) -> Outcome:
    metric = METRICS[name]
    assert isinstance(metric, EmbeddingMetric)
    vectors: list[np.ndarray] = []
    for row in rows:
        if isinstance(row, Outcome):
            return row
        vectors.append(row[None])  # (1, D)
    return valued(float(metric.of(*vectors)[0]))
