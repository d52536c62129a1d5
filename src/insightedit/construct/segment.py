"""Step 2, segment: a mask for every object, measured; a box becomes a mask, and a doubtful one is left out."""

from __future__ import annotations

from typing import Literal

import numpy as np

from insightedit.backends.describe.measure import measured
from insightedit.backends.segment.grabcut import BoxMask, mask_from_box, mask_quality
from insightedit.construct.photo_step import PhotoStep
from insightedit.construct.work import Description, Segmentation, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask
from insightedit.core.record import Object, Reject, Rle


class SegmentKnobs(Knobs):
    """Which masks are good enough."""

    backend: Literal["grabcut"] = "grabcut"
    min_score_box: float = 0.30  # of a mask that was found from a box, 0..1
    min_score_outline: float = 0.0  # of one that somebody drew
    min_share: float = 0.0004  # of the frame
    max_share: float = 0.6


class Segment(PhotoStep[Segmentation]):
    """Named objects -> objects with masks, colour, place and size."""

    name, version, value = "segment", "1", Segmentation
    knobs: SegmentKnobs

    def one(self, work: Work) -> Segmentation:
        image = self.open(work)
        described = work.value("describe", Description)
        objects: list[Object] = []
        rejects: list[Reject] = []
        for thing in described.objects:
            try:
                objects.append(self._masked(image, thing, described.objects))
            except Unfit as error:
                reject = self.reject(work, error.reason, error.seen, error.wanted)
                rejects.append(reject.but(object_id=thing.object_id))
        if not objects:
            raise Unfit("no_usable_mask", f"{rejects[0].reason}: {rejects[0].seen}", "at least one good mask")
        return Segmentation(photo_id=work.photo.photo_id, objects=measured(image, objects), rejects=rejects)

    def _masked(self, image: np.ndarray, thing: Object, others: list[Object]) -> Object:
        """The object with its mask and that mask's quality.

        Raises:
            Unfit: weak_mask, too_small, too_large.
        """
        x0, y0, x1, y1 = thing.box
        if thing.mask is None:
            found = mask_from_box(image, (x0, y0, x1, y1), exclude=_drawn_inside(thing, others))
            least = self.knobs.min_score_box
        else:
            drawn = Mask.from_rle(thing.mask.model_dump()).full()
            found, least = mask_quality(image, drawn, (x0, y0, x1, y1)), self.knobs.min_score_outline
        mask = Mask.of(found.mask)
        if not mask.area or found.score < least:
            raise Unfit("weak_mask", f"{thing.name}: score {found.score:.2f}", f"at least {least:.2f}")
        if mask.share < self.knobs.min_share:
            raise Unfit(
                "too_small", f"{thing.name}: {mask.share:.5f} of the frame", f"at least {self.knobs.min_share:g}"
            )
        if mask.share > self.knobs.max_share:
            raise Unfit(
                "too_large", f"{thing.name}: {mask.share:.2f} of the frame", f"at most {self.knobs.max_share:g}"
            )
        return _with_mask(thing, mask, found)


def _with_mask(thing: Object, mask: Mask, found: BoxMask) -> Object:
    return thing.but(
        mask=Rle(**mask.rle()),
        box=list(mask.box),
        area=mask.area,
        mask_score=round(found.score, 4),
        rim=round(found.rim, 4),
    )


def _drawn_inside(thing: Object, others: list[Object]) -> np.ndarray | None:
    """bool (H, W): outlines of other objects that lie inside this object's box, which this one's mask must not take."""
    taken: np.ndarray | None = None
    for other in others:
        if other.mask is None or other.object_id == thing.object_id or not _within(other.box, thing.box):
            continue
        drawn = Mask.from_rle(other.mask.model_dump()).full()
        taken = drawn if taken is None else taken | drawn
    return taken


def _within(inner: list[int], outer: list[int]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
