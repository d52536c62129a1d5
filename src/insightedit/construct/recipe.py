"""The recipe of a run: one section of knobs per step, and the steps made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from insightedit.construct.ask import Purse
from insightedit.construct.describe import Describe, DescribeKnobs
from insightedit.construct.describe_mllm import DescribeByMllm
from insightedit.construct.instruct import Instruct, InstructKnobs
from insightedit.construct.instruct_mllm import InstructByMllm
from insightedit.construct.judging import JudgingKnobs
from insightedit.construct.paint import Paint, PaintKnobs
from insightedit.construct.paint_networks import PaintByNetworks
from insightedit.construct.publish import PublishKnobs
from insightedit.construct.segment import Segment, SegmentKnobs
from insightedit.construct.source.scan import SourceKnobs
from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError
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
    judge: JudgingKnobs = JudgingKnobs()
    publish: PublishKnobs = PublishKnobs()

    def check(self) -> None:
        """Refuse ways of working that cannot work together, before anybody is paid.

        Raises:
            ConfigError: objects that are only named, and nothing that finds them; targets that nothing paints.
        """
        by_name = self.describe.backend == "mllm"
        if by_name and self.segment.backend != "grounded_sam":
            what = f"describe.backend mllm does not go with segment.backend {self.segment.backend}"
            raise ConfigError(what, "a model names objects and draws no boxes", "Set segment.backend=grounded_sam")
        networks = self.paint.networks if self.paint.backend == "networks" else None
        if by_name and self.describe.mllm.targets and not (networks and networks.replacement.per_object):
            mend = "Set describe.mllm.targets=0, or paint replacements by networks"
            raise ConfigError("describe.mllm.targets pays for targets in vain", "no replacement is painted", mend)
        self.judge.check()

    def steps(self, root: Path, purse: Purse | None = None) -> list[Step[Any, Any]]:
        """The steps, in order.

        Args:
            root: of the photographs.
            purse: of the run, for those that ask a model; None = without a limit.

        Raises:
            ConfigError: `check`, or what a step says of its own knobs.
        """
        self.check()
        opened = (self.seed, root, self.source)
        asking = (*opened, purse or Purse())
        by_name, by_eye = self.describe.backend == "mllm", self.instruct.backend == "mllm"
        return [
            DescribeByMllm(self.describe.mllm, *asking) if by_name else Describe(self.describe, self.seed),
            Segment(self.segment, *opened),
            PAINT[self.paint.backend](self.paint, *opened),
            InstructByMllm(self.instruct, *asking) if by_eye else Instruct(self.instruct, self.seed),
            *self.judge.steps(*asking),
        ]

    def identity(self, listing_mark: str) -> dict[str, Any]:
        """What an output folder is bound to. The steps' own knobs may change later: only what changed is done again."""
        return {
            "preset": self.preset,
            "photos": listing_mark,
            "source": fingerprint(self.source.model_dump(mode="json")),
            "photos_per_shard": self.photos_per_shard,
        }
