"""The recipe of a run: one section of knobs per step, and the steps made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from insightedit.construct.describe import Describe, DescribeKnobs
from insightedit.construct.instruct import Instruct, InstructKnobs
from insightedit.construct.judge import Judge, JudgeKnobs
from insightedit.construct.paint import Paint, PaintKnobs
from insightedit.construct.paint_networks import PaintByNetworks
from insightedit.construct.publish import PublishKnobs
from insightedit.construct.segment import Segment, SegmentKnobs
from insightedit.construct.source.scan import SourceKnobs
from insightedit.core.config import Knobs
from insightedit.flow.step import Step, fingerprint

PAINT = {"classical": Paint, "networks": PaintByNetworks}


class Recipe(Knobs):
    """A preset of configs/build, validated."""

    preset: str
    seed: int = 0
    photos_per_shard: int = 16
    timeout_s: float = 300.0
    source: SourceKnobs = SourceKnobs()
    describe: DescribeKnobs = DescribeKnobs()
    segment: SegmentKnobs = SegmentKnobs()
    paint: PaintKnobs = PaintKnobs()
    instruct: InstructKnobs = InstructKnobs()
    judge: JudgeKnobs = JudgeKnobs()
    publish: PublishKnobs = PublishKnobs()

    def steps(self, root: Path) -> list[Step[Any, Any]]:
        """The five steps, in order.

        Args:
            root: of the photographs.
        """
        return [
            Describe(self.describe, self.seed),
            Segment(self.segment, self.seed, root, self.source),
            PAINT[self.paint.backend](self.paint, self.seed, root, self.source),
            Instruct(self.instruct, self.seed),
            Judge(self.judge, self.seed),
        ]

    def identity(self, listing_mark: str) -> dict[str, Any]:
        """What an output folder is bound to. The steps' own knobs may change later: only what changed is done again."""
        return {
            "preset": self.preset,
            "photos": listing_mark,
            "source": fingerprint(self.source.model_dump(mode="json")),
            "photos_per_shard": self.photos_per_shard,
        }
