"""Random scenes and every kind of edit of them, for the tests of instructions; no pixels, only objects with masks."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Object, Rle

WIDTH, HEIGHT = 240, 180
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
MATERIALS = ("golden", "silver", "striped", "polka-dotted", "wooden", "marble")
NAMES = (
    ("dog", "dog", "animal"), ("brown dog", "dog", "animal"), ("pigeon", "bird", "animal"), ("cat", "cat", "animal"),
    ("man", "person", "person"), ("woman in red coat", "person", "person"), ("astronaut", "astronaut", ""),
    ("wine bottle", "wine bottle", ""), ("bottle", "bottle", "kitchen"), ("cup", "cup", "kitchen"),
    ("bowl", "bowl", "kitchen"), ("fig", "fig", ""), ("apple", "apple", "food"), ("bananas", "banana", "food"),
    ("dining table", "dining table", "furniture"), ("chair", "chair", "furniture"), ("clock", "clock", "indoor"),
    ("vase", "vase", "indoor"), ("sunglasses", "sunglasses", ""), ("curtains", "curtain", ""), ("water", "water", ""),
    ("pink brush", "pink brush", ""), ("blue brush", "blue brush", ""), ("second fir", "fir tree", ""),
    ("left eye", "left eye", ""), ("toy bird", "toy bird", ""), ("small rock", "small rock", ""),
    ("tv", "tv", "electronic"), ("umbrella", "umbrella", "accessory"),
    ("hourglass", "hourglass", ""), ("orange", "orange", "food"),
)  # fmt: skip
AFTERS = (("teapot", "an old teapot with a chipped lid", None), ("red balloon", "", "red"), ("sunflower", "", None))


def thing(number: int, name: str, box: tuple[int, int, int, int], **values: Any) -> Object:
    """An object whose mask is the ellipse in a box (xyxy)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x0, y0, x1, y1 = box
    round_ = ((x - (x0 + x1) / 2) / ((x1 - x0) / 2)) ** 2 + ((y - (y0 + y1) / 2) / ((y1 - y0) / 2)) ** 2 <= 1
    mask = Mask.of(round_)
    values = {"category": name, **values}
    return Object(
        object_id=f"o{number}",
        name=name,
        box=list(mask.box),
        mask=Rle(**mask.rle()),
        area=mask.area,
        across=_third((mask.box[0] + mask.box[2]) / 2 / WIDTH, ("left", "middle", "right")),
        down=_third((mask.box[1] + mask.box[3]) / 2 / HEIGHT, ("top", "middle", "bottom")),
        **values,
    )


def _third(share: float, words: tuple[str, str, str]) -> str | None:
    """The third of the frame; None near a border between two."""
    if min(abs(share - 1 / 3), abs(share - 2 / 3)) < 0.03:
        return None
    return words[int(share * 3)]


def scene(rng: Random) -> list[Object]:
    """One to seven objects; in a third of the scenes some share a name, in some one lies in or beside another."""
    chosen = [rng.choice(NAMES) for _ in range(rng.randint(1, 7))]
    if rng.random() < 0.35:
        chosen[1:3] = [chosen[0]] * len(chosen[1:3])
    found: list[Object] = []
    for number, (name, category, above) in enumerate(chosen):
        colour = next((word for word in name.split()[:-1] if word in COLOURS), None) or rng.choice((*COLOURS[:6], None))
        detail = rng.choice(("", f"a {name} with a scratched surface, seen from above"))
        values = {"category": category, "supercategory": above, "colour": colour, "detail": detail}
        found.append(thing(number, name, _box(rng, found), **values))
    return found


def _box(rng: Random, found: list[Object]) -> tuple[int, int, int, int]:
    wide, tall = rng.randint(14, 80), rng.randint(14, 80)
    left, top = rng.randint(0, WIDTH - wide), rng.randint(0, HEIGHT - tall)
    near = rng.choice(found) if found and rng.random() < 0.6 else None
    if near is not None and rng.random() < 0.7:  # level with another thing, to its right
        left, top = (
            min(near.box[2] + 4, WIDTH - wide),
            max(0, min(HEIGHT - tall, (near.box[1] + near.box[3] - tall) // 2)),
        )
    elif near is not None:  # within it
        wide, tall = max(6, (near.box[2] - near.box[0]) // 3), max(6, (near.box[3] - near.box[1]) // 3)
        left, top = (near.box[0] + near.box[2] - wide) // 2, (near.box[1] + near.box[3] - tall) // 2
    return left, top, left + wide, top + tall


def edit(target: Object, **values: Any) -> Edit:
    """An edit of an object, a removal unless `values` say otherwise."""
    given: dict[str, Any] = {
        "edit_id": f"{target.object_id}/{'/'.join(map(str, values.values()))}",
        "photo_id": "photo",
        "object_id": target.object_id,
        "task": "remove_add",
        "method": "removal",
        "natural": "source",
        "category": target.category,
        "object_before": target.name,
        "detail_before": target.detail,
        "look_before": target.colour,
        "source_sha256": "s",
        "edited_sha256": "e",
        "mask": target.mask,
        "box": target.box,
    }
    return Edit(**{**given, **values})


def edits(target: Object, rng: Random) -> list[Edit]:
    """One edit of every kind."""
    same: dict[str, Any] = {"task": "replace", "object_after": target.name, "category_after": target.category}
    colour = rng.choice([word for word in COLOURS if word != target.colour and word not in target.name])
    material, (name, detail, look) = rng.choice(MATERIALS), rng.choice(AFTERS)
    new = {"object_after": name, "category_after": name, "detail_after": detail, "look_after": look}
    neither = {"method": "composed", "natural": "neither", "look_before": colour, "detail_before": ""}
    return [
        edit(target),
        edit(target, **same, method="recolour", look_after=colour),
        edit(target, **same, method="material", look_after=material),
        edit(target, task="replace", method="transplant", **new),
        edit(target, **neither),
        edit(target, **same, **neither, look_after=material),
    ]
