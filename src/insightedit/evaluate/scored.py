"""From a sample and its outcome on the disk to what a profile of metrics looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from insightedit.core.errors import Unfit
from insightedit.evaluate.pictures import FilePicture, Picture, mask_pixels, pixels
from insightedit.evaluate.sample import Sample
from insightedit.metrics.catalogue import METRICS, EmbeddingMetric
from insightedit.metrics.sample import Sample as Scored
from insightedit.metrics.viescore import Score


@dataclass(frozen=True)
class Load:
    """Reads a sample and its outcome when called, in the process that scores it; `metrics.score.score_all` takes these.

    What cannot be read is None, which becomes the status of the metrics that need it and of no other; why it cannot,
    `sample.status` says. Metrics of a text that the benchmark does not give do not apply.

    Attributes:
        sample: of a benchmark.
        outcome: the picture that was made; None: none was.
        replies: of the judge, by question.
    """

    sample: Sample
    outcome: Path | None
    replies: Mapping[str, str | Score] = field(default_factory=dict)

    def __call__(self) -> Scored:
        sample, usable = self.sample, self.sample.fault is None
        return Scored(
            source=_pixels(sample.source) if usable else None,
            edited=_pixels(FilePicture(self.outcome)) if usable and self.outcome is not None else None,
            target=_pixels(sample.target),
            mask=_mask(sample),
            clip_text=sample.clip_text,
            caption_source=sample.caption_source,
            caption_target=sample.caption_target,
            replies=self.replies,
            not_applicable=not_applicable(sample),
        )


def not_applicable(sample: Sample) -> frozenset[str]:
    """The metrics that mean nothing for a sample: those of a text that its benchmark does not give.

    A removal has no CLIP text, for instance: nobody has said what the place should show instead.
    """
    return frozenset(
        name
        for name, metric in METRICS.items()
        if isinstance(metric, EmbeddingMetric) and any(getattr(sample, text) is None for text in metric.texts)
    )


def _pixels(picture: Picture | None) -> np.ndarray | None:
    try:
        return None if picture is None else pixels(picture)
    except Unfit:
        return None


def _mask(sample: Sample) -> np.ndarray | None:
    try:
        return None if sample.mask is None else mask_pixels(sample.mask, sample.mask_in)
    except Unfit:
        return None
