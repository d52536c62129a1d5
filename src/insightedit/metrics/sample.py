"""One sample of a benchmark with what an editor made of it: arrays and words, wherever they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from insightedit.metrics.viescore import Score


@dataclass(frozen=True, eq=False)
class Sample:
    """What a profile may look at; whatever it needs and does not find is a status, not an error.

    Fields:
        source: the picture before, uint8 RGB (H, W, 3). Published scoring does not turn pictures by EXIF.
        edited: what the editor made; None = nothing.
        target: the reference result, where the benchmark has one.
        mask: where the edit belongs, bool (H, W) or uint8 as its file has it (0 = background); JPEG rings and soft
            borders count in some profiles, so do not threshold it.
        clip_text: what the edited place or picture shows, for CLIP.
        caption_source, caption_target: of the whole pictures, for CLIP's direction.
        replies: of the judge by question ("sc", "pq", "imgedit"): raw text, or a `Score` of `metrics.viescore`.
        not_applicable: metrics that mean nothing for this sample; they do not count against the coverage.
    """

    source: np.ndarray | None
    edited: np.ndarray | None
    target: np.ndarray | None = None
    mask: np.ndarray | None = None
    clip_text: str | None = None
    caption_source: str | None = None
    caption_target: str | None = None
    replies: Mapping[str, str | Score] = field(default_factory=dict)
    not_applicable: frozenset[str] = frozenset()
