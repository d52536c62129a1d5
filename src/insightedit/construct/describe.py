"""Step 1, describe: a caption, and the objects that one could edit. This is the way without a model, from annotations;
`describe_mllm` is the other one.
"""

from __future__ import annotations

from typing import Literal

from insightedit.backends.describe.annotations import describe
from insightedit.construct.describe_mllm import MllmKnobs
from insightedit.construct.photo_step import WorkStep
from insightedit.construct.work import Description, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.record import Reject
from insightedit.flow.step import fingerprint


class DescribeKnobs(Knobs):
    """Who describes: annotations that somebody made, or a model that looks, by its own section."""

    backend: Literal["annotations", "mllm"] = "annotations"
    mllm: MllmKnobs = MllmKnobs()
    min_side_px: int = 12  # of an annotated object's box
    max_objects: int = 30  # of the annotated ones


class Describe(WorkStep[Description]):
    """Photo -> caption and named objects."""

    name, version, value = "describe", "1", Description
    batch_size = 16
    knobs: DescribeKnobs

    def fingerprint(self, before: str) -> str:
        """As of every step; how a model would be asked is no part of what annotations say."""
        knobs = self.knobs.model_dump(mode="json", exclude={"mllm"})
        return fingerprint(before, self.name, self.version, self.seed, knobs)

    def one(self, work: Work) -> Description:
        photo = work.photo
        if not photo.notes:
            raise Unfit("no_annotation", "no object noted", "boxes, polygons or RLE in the annotations")
        caption, objects, rejects = describe(photo, self.knobs.min_side_px)
        if not objects:
            raise Unfit(
                "no_usable_object", f"{len(photo.notes)} noted, none usable: {rejects[0].reason}", "one or more"
            )
        most = self.knobs.max_objects
        wanted = f"at most {most} of a photograph"
        for place, thing in enumerate(objects[most:], most + 1):
            identity = {"photo_id": photo.photo_id, "object_id": thing.object_id, "uri": photo.uri}
            rejects.append(
                Reject(step=self.name, reason="too_many_objects", seen=f"no. {place}", wanted=wanted, **identity)
            )
        return Description(photo_id=photo.photo_id, caption=caption, objects=objects[:most], rejects=rejects)
