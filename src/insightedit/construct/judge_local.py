"""What can be said of an edit without asking a model, whoever painted it: who fails here need not be asked about."""

from __future__ import annotations

from typing import Literal

import numpy as np

from insightedit.construct.judge import Judge, JudgeKnobs
from insightedit.construct.work import Work
from insightedit.core.config import Knobs
from insightedit.core.image import decode_own
from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Judgement, Object
from insightedit.metrics.pixel import changed_inside, outside_difference


class LocalKnobs(Knobs):
    """What an edit must be before anybody is asked about it."""

    min_changed: float = 4.0  # mean absolute difference inside the mask, levels of 255
    min_repainted: float = 0.5  # share of the object that a new colour must reach, where `quality` names its method
    # method -> least quality of the classical judge, 0..1. Fitted on classical fills and recolours, it says little of
    # a network's: a method that is not named here is not measured by it
    quality: dict[Literal["removal", "recolour", "material", "transplant"], float] = {}


def locally(work: Work, knobs: LocalKnobs) -> dict[str, Judgement]:
    """What is known of each edit without a model, by edit id; `reasons` says why it need not be asked about.

    Args:
        work: with pictures.
        knobs: the bars.
    """
    classical = Classical(JudgeKnobs(min_repainted=knobs.min_repainted))
    found: dict[str, Judgement] = {}
    for edit, thing in work.edits_with_objects():
        source, edited = (decode_own(work.picture(name)) for name in (edit.source_sha256, edit.edited_sha256))
        least = next((bar for method, bar in knobs.quality.items() if method == edit.method), None)
        measured = facts(edit, source, edited) if least is None else classical.measured(edit, thing, source, edited)
        reasons = list(measured.reasons)
        if measured.changed is not None and measured.changed < knobs.min_changed:
            reasons.append("nothing_changed")
        if measured.outside_equal is False:
            reasons.append("changed_outside")
        if least is not None and (measured.quality is None or measured.quality < least):
            reasons.append("low_quality")
        if any(found[parent].reasons for parent in edit.parents):
            reasons.append("parent_rejected")
        found[edit.edit_id] = measured.but(reasons=reasons)
    return found


class Classical(Judge):
    """The classical judge as a measure."""

    def measured(self, edit: Edit, thing: Object, source: np.ndarray, edited: np.ndarray) -> Judgement:
        """Facts and calibrated quality of one edit; uint8 (H, W, 3) each."""
        return self._measured(edit, thing, source, edited)


def facts(edit: Edit, source: np.ndarray, edited: np.ndarray) -> Judgement:
    """Whether it did anything, and nothing elsewhere; uint8 (H, W, 3) each."""
    mask = Mask.from_rle(edit.mask.model_dump())
    equal, psnr = outside_difference(source, edited, mask.full())
    changed = changed_inside(source, edited, mask)
    return Judgement(edit_id=edit.edit_id, changed=changed, outside_equal=equal, outside_psnr=psnr)
