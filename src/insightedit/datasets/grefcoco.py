"""gRefCOCO (Liu et al., 2023): a sentence may refer to several objects, or to none."""

from __future__ import annotations

from insightedit.datasets.referring import Referring, ReferringKnobs


class GRefCOCO(Referring):
    """All objects of a ref are painted together; where there is none (`ann_id` [-1]) the target is the source."""

    role = "grefcoco"
    layout = (
        "ROOT/grefcoco/grefs(unc).json (or .p) and instances.json, COCO's train2014/*.jpg below ROOT or at `images`"
    )

    def __init__(self, knobs: ReferringKnobs, name: str = "grefcoco") -> None:
        super().__init__(knobs, "grefcoco", "grefs", name)
