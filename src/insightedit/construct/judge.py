"""Step 5, judge: what can be said of an edit without asking a model, and which edits are kept.

Everything is measured on the pictures as they are stored, decoded again. What is not measured stays None.
"""

from __future__ import annotations

import numpy as np

from insightedit.construct.photo_step import WorkStep
from insightedit.construct.work import Painting, Verdict, Wording, Work
from insightedit.core.config import Knobs
from insightedit.core.image import decode_own
from insightedit.core.mask import Mask
from insightedit.core.record import Direction, Edit, Judgement, Object
from insightedit.metrics.fill import fill_features, fill_score
from insightedit.metrics.pixel import changed_inside, outside_difference
from insightedit.metrics.recolour import recolour_features, recolour_score


class Least(Knobs):
    """The least quality by kind of edit: calibrated probabilities, see benchmarks/labels."""

    removal: float = 0.80
    recolour: float = 0.75
    material: float = 0.85
    transplant: float = 0.90
    replacement: float = 0.90  # painted by a network


class JudgeKnobs(Knobs):
    """What an edit must reach to be kept."""

    min_changed: float = 4.0  # mean absolute difference inside the mask, levels of 255
    min_repainted: float = 0.5  # share of the object that a new colour must reach: half a red kite is no red kite
    outline: Least = Least()  # where somebody drew the object's mask
    box: Least = Least(removal=0.90, recolour=0.90, material=0.92)  # where it was found from a box: it errs more

    def least(self, method: str, mask_from: str) -> float:
        """The quality that such an edit must reach."""
        return float(getattr(self.box if mask_from == "box" else self.outline, method))


class Judge(WorkStep[Verdict]):
    """Edits with pictures and words -> scores, and whether each direction is kept."""

    name, version, value = "judge", "1", Verdict
    needs = frozenset({"paint"})
    knobs: JudgeKnobs

    def one(self, work: Work) -> Verdict:
        painting = work.value("paint", Painting)
        pictures = {picture.sha256: decode_own(picture.jpeg) for picture in painting.pictures[:1]}
        worded = {item.edit_id: item.instructions for item in work.value("instruct", Wording).edits}
        verdicts: dict[str, Judgement] = {}
        for edit, thing in work.edits_with_objects():
            if edit.parents:
                verdict = self._of_parents(edit, [verdicts[parent] for parent in edit.parents])
            else:
                edited = decode_own(work.picture(edit.edited_sha256))
                verdict = self._measured(edit, thing, pictures[edit.source_sha256], edited)
            directions = {instruction.direction for instruction in worded.get(edit.edit_id, [])}
            verdicts[edit.edit_id] = self._decided(edit, thing, verdict, directions)
        return Verdict(photo_id=work.photo.photo_id, edits=list(verdicts.values()))

    def _measured(self, edit: Edit, thing: Object, source: np.ndarray, edited: np.ndarray) -> Judgement:
        mask = Mask.from_rle(edit.mask.model_dump())
        support = mask.full()
        equal, psnr = outside_difference(source, edited, support)
        judgement = Judgement(
            edit_id=edit.edit_id,
            changed=changed_inside(source, edited, mask),
            outside_equal=equal,
            outside_psnr=psnr,
        )
        if edit.method in ("removal", "transplant", "replacement"):
            features = fill_features(source, edited, support)
            quality, residue = fill_score(features), -features["leftover"]
            return judgement.but(
                quality=quality, residue=residue, seam=features.get("seam"), texture=features["tex_hf"]
            )
        own = Mask.from_rle(thing.mask.model_dump()).full() if thing.mask else support
        features = recolour_features(source, edited, own)
        half = features["changed"] < self.knobs.min_repainted
        return judgement.but(quality=recolour_score(features), reasons=["half_repainted"] if half else [])

    def _of_parents(self, edit: Edit, parents: list[Judgement]) -> Judgement:
        """A composed edit is as good as the worse of the two it is made of; it was not painted again."""
        qualities = [parent.quality for parent in parents]
        known = [quality for quality in qualities if quality is not None]
        return Judgement(
            edit_id=edit.edit_id,
            changed=max((parent.changed or 0.0) for parent in parents),
            outside_equal=all(parent.outside_equal for parent in parents),
            quality=min(known) if len(known) == len(qualities) else None,
            reasons=[]
            if all(parent.keep_forward or parent.keep_reverse for parent in parents)
            else ["parent_rejected"],
        )

    def _decided(self, edit: Edit, thing: Object, verdict: Judgement, directions: set[Direction]) -> Judgement:
        reasons = list(verdict.reasons)
        if verdict.changed is not None and verdict.changed < self.knobs.min_changed:
            reasons.append("nothing_changed")
        if verdict.outside_equal is False:
            reasons.append("changed_outside")
        least = 0.0 if edit.parents else self.knobs.least(edit.method, thing.mask_from)
        if verdict.quality is None or verdict.quality < least:
            reasons.append("low_quality")
        if not directions and not reasons:
            reasons.append("no_instruction")
        good = not reasons
        return verdict.but(
            keep_forward=good and "forward" in directions,
            keep_reverse=good and "reverse" in directions,
            reasons=reasons,
        )
