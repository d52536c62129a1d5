"""Two edits of one object make further pairs without painting again.

Both were painted into the same photograph, so outside the union of their masks they are equal:

    photo -> without it        and  photo -> a blue one   give   a blue one -> without it  (adding something new)
    photo -> a blue one        and  photo -> a golden one give   a blue one -> a golden one
"""

from __future__ import annotations

import hashlib
from itertools import combinations

from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Rle


def composed(edits: list[Edit]) -> list[Edit]:
    """Per object: its removal with one of its replacements, and one pair of replacements."""
    found: list[Edit] = []
    for object_id in dict.fromkeys(edit.object_id for edit in edits):
        own = [edit for edit in edits if edit.object_id == object_id]
        replacements = [edit for edit in own if edit.task == "replace"]
        removals = [edit for edit in own if edit.task == "remove_add"]
        found += [compose(new, removal) for removal in removals[:1] for new in replacements[:1]]
        found += [compose(one, other) for one, other in list(combinations(replacements, 2))[-1:]]
    return found


def compose(first: Edit, second: Edit) -> Edit:
    """The edit from what `first` made to what `second` made, of the same object in the same photograph.

    `first` is a replacement; `second` a replacement (the result is one too) or a removal (the result is a removal of
    the new thing, and read backwards its addition).
    """
    if first.source_sha256 != second.source_sha256 or first.object_id != second.object_id:
        raise ValueError(f"edits {first.edit_id} and {second.edit_id} do not start from the same picture and object")
    mask = _union(Mask.from_rle(first.mask.model_dump()), Mask.from_rle(second.mask.model_dump()))
    name = hashlib.sha256(f"{first.edit_id}\x1f{second.edit_id}".encode()).hexdigest()[:16]
    return second.but(
        edit_id=name,
        method="composed",
        natural="neither",
        category=first.category_after or first.category,
        object_before=first.object_after or first.object_before,
        detail_before=first.detail_after,
        look_before=first.look_after,
        source_sha256=first.edited_sha256,
        mask=Rle(**mask.rle()),
        box=list(mask.box),
        mask_share=mask.share,
        border_share=mask.border_share,
        engine=f"{first.engine}+{second.engine}",
        parents=[first.edit_id, second.edit_id],
    )


def _union(one: Mask, other: Mask) -> Mask:
    return Mask.of(one.full() | other.full())
