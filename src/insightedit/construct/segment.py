"""Step 2, segment: a mask for every object, measured; a box becomes a mask, and a doubtful one is left out.

With `grounded_sam` a name becomes a mask too: every thing that a name finds is an object.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from insightedit.backends.describe.measure import measured
from insightedit.backends.segment.found import Findings
from insightedit.backends.segment.grabcut import BoxMask, mask_from_box, mask_quality
from insightedit.backends.segment.grounded import GroundedSam, GroundedSamKnobs
from insightedit.construct.photo_step import PhotoStep
from insightedit.construct.work import Description, Segmentation, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask
from insightedit.core.record import Object, Reject, Rle
from insightedit.flow.step import Place


class SegmentKnobs(Knobs):
    """Who draws masks, and which are good enough. The networks' rules come first, the shares below after them."""

    backend: Literal["grabcut", "grounded_sam"] = "grabcut"
    grounded_sam: GroundedSamKnobs = GroundedSamKnobs()  # its device is that of `place`
    place: Place = Place()
    min_score_box: float = 0.30  # of a mask that was found from a box, 0..1
    min_score_outline: float = 0.0  # of one that somebody drew
    min_share: float = 0.0004  # of the frame
    max_share: float = 0.6


class Segment(PhotoStep[Segmentation]):
    """Named objects -> objects with masks, colour, place and size."""

    name, version, value = "segment", "1", Segmentation
    device_share = 0.25
    knobs: SegmentKnobs
    finder: GroundedSam | None = None

    def share(self) -> float:
        return super().share() if self.knobs.backend == "grounded_sam" else 0.0

    def setup(self) -> None:
        if self.knobs.backend == "grounded_sam":
            place = {"device": self.knobs.place.device}
            self.finder = GroundedSam(self.knobs.grounded_sam.model_copy(update=place))
            self.finder.setup()

    def release(self) -> None:
        if self.finder:
            self.finder.release()
            self.finder = None

    def one(self, work: Work) -> Segmentation:
        image = self.open(work)
        things = work.value("describe", Description).objects
        objects: list[Object] = []
        rejects: list[Reject] = []
        drawn: dict[str, BoxMask] = {}
        if self.finder:
            things, drawn, refused = _looked_for(self.finder, image, things)
            rejects = [self.reject(work, *one.why).but(object_id=one.object_id) for one in refused]
        for thing in things:
            try:
                objects.append(self._masked(image, thing, things, drawn.get(thing.object_id)))
            except Unfit as error:
                reject = self.reject(work, error.reason, error.seen, error.wanted)
                rejects.append(reject.but(object_id=thing.object_id))
        if not objects:
            raise Unfit("no_usable_mask", f"{rejects[0].reason}: {rejects[0].seen}", "at least one good mask")
        return Segmentation(photo_id=work.photo.photo_id, objects=measured(image, objects), rejects=rejects)

    def _masked(self, image: np.ndarray, thing: Object, others: list[Object], drawn: BoxMask | None) -> Object:
        """The object with its mask and that mask's quality; `drawn` is a network's mask.

        Raises:
            Unfit: weak_mask, too_small, too_large.
        """
        x0, y0, x1, y1 = thing.box
        if drawn is not None:
            found, least = drawn, self.knobs.grounded_sam.rules.min_mask_score
        elif thing.mask is None:
            found = mask_from_box(image, (x0, y0, x1, y1), exclude=_drawn_inside(thing, others))
            least = self.knobs.min_score_box
        else:
            outline = Mask.from_rle(thing.mask.model_dump()).full()
            found, least = mask_quality(image, outline, (x0, y0, x1, y1)), self.knobs.min_score_outline
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


# --- by networks -----------------------------------------------------------------------------------------------------


class _Refused(NamedTuple):
    """A thing, or a name, that has no mask: reason, seen, wanted."""

    object_id: str
    why: tuple[str, str, str]


def _looked_for(
    finder: GroundedSam, image: np.ndarray, things: list[Object]
) -> tuple[list[Object], dict[str, BoxMask], list[_Refused]]:
    """What stays of the described things, the masks of those that had none, and who was refused.

    A box gets its mask. A thing that is only a name is looked for; see `_named`.
    """
    boxed = [thing for thing in things if thing.mask is None and thing.box]
    nameless: dict[str, list[Object]] = {}
    for thing in things:
        if thing.mask is None and not thing.box:
            nameless.setdefault(thing.name.lower(), []).append(thing)
    (masks,) = finder.masks([image], [[(x0, y0, x1, y1) for x0, y0, x1, y1 in (thing.box for thing in boxed)]])
    drawn = {thing.object_id: _network_mask(image, *mask) for thing, mask in zip(boxed, masks, strict=True)}
    (findings,) = finder.find_many([image], [list(nameless)])
    found, refused = _named(findings, list(nameless.values()))
    for thing, at in found:
        one = findings.found[at]
        drawn[thing.object_id] = _network_mask(image, one.mask, one.mask_score or 0.0)
    placed = [thing.but(mask_from="network") for thing in boxed] + [thing for thing, _ in found]
    return [thing for thing in things if thing.mask is not None] + placed, drawn, refused


def _named(findings: Findings, groups: list[list[Object]]) -> tuple[list[tuple[Object, int]], list[_Refused]]:
    """Every thing found, as an object of its name with its place in `findings.found`; and the names without one.

    Nothing tells which of several cups was described as which, so a detailed caption stays only where one thing was
    described by that name and one was found. A further one is an object too, "ID.1".
    """
    found: list[tuple[Object, int]] = []
    refused = [_Refused(groups[one.phrase][0].object_id, (one.reason, one.seen, one.wanted)) for one in findings.left]
    for phrase, group in enumerate(groups):
        places = [at for at, one in enumerate(findings.found) if one.phrase == phrase]
        sure = len(group) == len(places) == 1
        for rank, at in enumerate(places):
            like = group[min(rank, len(group) - 1)]
            name = like.object_id if rank < len(group) else f"{like.object_id}.{rank - len(group) + 1}"
            one, detail = findings.found[at], like.detail if sure else ""
            named = like.but(object_id=name, box=list(one.box), mask_from="network", det_score=one.score, detail=detail)
            found.append((named, at))
        for thing in group[len(places) :]:
            seen = f"'{thing.name}': {len(places)} for {len(group)} described"
            refused.append(_Refused(thing.object_id, ("not_found", seen, "a thing that answers the name")))
    return found, refused


def _network_mask(image: np.ndarray, mask: Mask, score: float) -> BoxMask:
    """With the network's own score; the rim is measured as that of any outline."""
    full = mask.full()
    return replace(mask_quality(image, full, mask.box), score=score)
