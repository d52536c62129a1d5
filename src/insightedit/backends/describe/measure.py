"""What objects look like, computed from pixels and masks: colour, size rank, place in the frame.

Everything here abstains (None) where a person could disagree: near ties, borders of thirds, mixed colours.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from insightedit.backends.describe.colour import name_colour
from insightedit.core.mask import Mask
from insightedit.core.record import Object

DOUBT = 0.04  # share of the frame on either side of a third's edge where the place is left open (offline.md 6)
NEAR_TIE = 1.25  # two areas closer than this ratio have no order that a person would swear to
COLOUR_MARGIN = 0.15  # of the object's size: how much surrounding a crop for colour needs


def measured(image: np.ndarray, objects: list[Object]) -> list[Object]:
    """The objects with area, colour, size_rank, across and down.

    Args:
        image: uint8 RGB (H, W, 3).
        objects: with masks of that frame.
    """
    height, width = image.shape[:2]
    ranks = size_ranks([thing.area for thing in objects])
    return [
        thing.but(
            size_rank=rank,
            across=_third((thing.box[0] + thing.box[2]) / 2 / width, ("left", "middle", "right")),
            down=_third((thing.box[1] + thing.box[3]) / 2 / height, ("top", "middle", "bottom")),
            **_colour(image, thing),
        )
        for thing, rank in zip(objects, ranks, strict=True)
    ]


def _colour(image: np.ndarray, thing: Object) -> dict[str, str | float | None]:
    if thing.mask is None:
        return {}
    mask = Mask.from_rle(thing.mask.model_dump())
    x0, y0, x1, y1 = mask.box
    colour, share = name_colour(image[y0:y1, x0:x1], mask.crop)
    return {"colour": colour, "colour_share": share}


def size_ranks(areas: list[int]) -> list[int | None]:
    """1 for the largest; None for any object with another one of nearly its size."""
    ranks: list[int | None] = []
    for index, area in enumerate(areas):
        others = [other for place, other in enumerate(areas) if place != index]
        tied = any(max(area, other) < NEAR_TIE * max(1, min(area, other)) for other in others)
        ranks.append(None if tied else 1 + sum(other > area for other in others))
    return ranks


Place = Literal["left", "middle", "right", "top", "bottom"]


def _third(share: float, names: tuple[Place, Place, Place]) -> Place | None:
    if min(abs(share - 1 / 3), abs(share - 2 / 3)) < DOUBT:
        return None
    return names[min(2, int(share * 3))]
