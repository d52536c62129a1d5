"""RefCOCO, RefCOCO+ and RefCOCOg (Yu et al., 2016; Mao et al., 2016)."""

from __future__ import annotations

from typing import ClassVar, Literal

from insightedit.core.config import Knobs
from insightedit.datasets.referring import Referring, ReferringKnobs


class RefCOCOKnobs(ReferringKnobs):
    """Where it is, and which of the three."""

    dataset: Literal["refcoco", "refcoco+", "refcocog"] = "refcoco"  # refcocog: split_by umd or google


class RefCOCO(Referring):
    """One object a ref."""

    Knobs: ClassVar[type[Knobs]] = RefCOCOKnobs
    role = "refcoco"
    layout = "ROOT/refcoco/refs(unc).p (or .json) and instances.json, COCO's train2014/*.jpg below ROOT or at `images`"

    def __init__(self, knobs: RefCOCOKnobs, name: str = "refcoco") -> None:
        super().__init__(knobs, knobs.dataset, "refs", name)
