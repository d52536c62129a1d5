"""The recipe of `imagine`: one section of knobs per step."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from insightedit.construct.imagine.captions import CaptionKnobs
from insightedit.construct.imagine.propose import ProposeKnobs
from insightedit.construct.imagine.sample import SampleKnobs
from insightedit.construct.publish import PublishKnobs
from insightedit.core.config import Knobs


class ImagineRecipe(Knobs):
    """A preset of configs/imagine, validated."""

    preset: str
    seed: int = 0
    pages_per_shard: int = Field(64, ge=1)  # requests
    triples_per_shard: int = Field(8, ge=1)  # a triple takes minutes, and a kill costs its shard
    timeout_s: float = Field(3600.0, gt=0)  # per triple
    source: CaptionKnobs = CaptionKnobs()
    propose: ProposeKnobs = ProposeKnobs()
    sample: SampleKnobs = SampleKnobs()
    publish: PublishKnobs = PublishKnobs()

    def identity(self, listing_mark: str) -> dict[str, Any]:
        """What an output folder is bound to. The steps' own knobs may change later: only what changed is done again."""
        return {
            "preset": self.preset,
            "captions": listing_mark,
            "pages_per_shard": self.pages_per_shard,
            "triples_per_shard": self.triples_per_shard,
        }
