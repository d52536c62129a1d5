"""Describing from annotations: what somebody noted about a photograph becomes its caption and its objects."""

from __future__ import annotations

import re

from insightedit.backends.describe.suitability import suitability
from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask
from insightedit.core.record import Note, Object, Photo, Reject, Rle

MAX_NAME_WORDS = 6
SAME_BOX = 0.9  # two notes of one category whose boxes overlap more than this are one object noted twice


def describe(photo: Photo, min_side_px: int = 12) -> tuple[str, list[Object], list[Reject]]:
    """Caption, objects and what was left out, in px of the working image.

    Args:
        photo: with its notes.
        min_side_px: an object whose box is narrower or lower cannot be edited visibly.
    """
    objects: list[Object] = []
    rejects: list[Reject] = []
    taken: set[str] = set()
    for place, note in enumerate(photo.notes):
        object_id = f"{photo.photo_id}-{note.note_id or f'n{place}'}"
        if object_id in taken:  # ids repeat in annotations merged from several files
            object_id += f".{place}"
        taken.add(object_id)
        try:
            thing = _object(photo, note, object_id, min_side_px)
            if any(_same(thing, other) for other in objects):
                raise Unfit("noted_twice", thing.name, "one note per object")
            objects.append(thing)
        except Unfit as error:
            identity = {"photo_id": photo.photo_id, "object_id": object_id, "uri": photo.uri}
            rejects.append(
                Reject(step="describe", reason=error.reason, seen=error.seen, wanted=error.wanted, **identity)
            )
    return photo.caption or _caption(objects), objects, rejects


def _object(photo: Photo, note: Note, object_id: str, min_side_px: int) -> Object:
    if note.is_crowd:
        raise Unfit("crowd", note.category, "a single object")
    category, name = _name(note.category), _name(note.name or note.category)
    if not name:
        raise Unfit("no_name", note.note_id, "a category or short caption of letters")
    mask = _mask(photo, note)
    box = list(mask.box) if mask else _box(photo, note)
    if min(box[2] - box[0], box[3] - box[1]) < min_side_px:
        raise Unfit("too_small", f"{box[2] - box[0]} x {box[3] - box[1]} px", f"at least {min_side_px} px each way")
    removable, replaceable, because = suitability(category or name, note.supercategory, name)
    return Object(
        object_id=object_id,
        category=category or name,
        supercategory=note.supercategory.lower(),
        name=name,
        detail=note.detail,
        box=box,
        mask=Rle(**mask.rle()) if mask else None,
        mask_from=("polygon" if note.polygons else "rle") if mask else "box",
        removable=removable,
        replaceable=replaceable,
        unfit_because=because,
    )


def _name(text: str) -> str:
    """A name as one says it: words, no article, no underscores, no brackets; empty if nothing of that remains."""
    words = re.sub(r"[^\w' -]+|_", " ", re.sub(r"\(.*?\)|\[.*?\]", " ", text)).split()
    words = words[1:] if words and words[0].lower() in ("a", "an", "the", "this", "my") and len(words) > 1 else words
    if not words or len(words) > MAX_NAME_WORDS or not any(char.isalpha() for char in "".join(words)):
        return ""
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)


def _mask(photo: Photo, note: Note) -> Mask | None:
    """The annotated outline in the working frame.

    Raises:
        Unfit: malformed_polygon, malformed_rle, rle_size_mismatch, mask_of_no_area.
    """
    if note.polygons:
        scale_x, scale_y = photo.width / photo.note_width, photo.height / photo.note_height
        scaled = [
            [value * (scale_y if place % 2 else scale_x) for place, value in enumerate(polygon)]
            for polygon in note.polygons
        ]
        mask = Mask.from_polygons(scaled, photo.width, photo.height)
    elif note.rle:
        if note.rle.size != [photo.note_height, photo.note_width]:
            raise Unfit("rle_size_mismatch", str(note.rle.size), str([photo.note_height, photo.note_width]))
        mask = Mask.from_rle(note.rle.model_dump()).resized(photo.width, photo.height)
    else:
        return None
    if not mask.area:
        raise Unfit("mask_of_no_area", "0 px", "an outline inside the image")
    return mask


def _box(photo: Photo, note: Note) -> list[int]:
    """The annotated box in the working frame, cut to it.

    Raises:
        Unfit: no_box, box_of_no_area, box_outside_image.
    """
    if len(note.box) != 4:
        raise Unfit("no_box", "neither box nor outline", "a bbox or a segmentation")
    x0, y0, x1, y1 = note.box
    seen = f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}]"
    if not (x1 > x0 and y1 > y0):
        raise Unfit("box_of_no_area", seen, "positive width and height")
    frame = f"inside {photo.note_width} x {photo.note_height}"
    inside = max(0.0, min(x1, photo.note_width) - max(x0, 0)) * max(0.0, min(y1, photo.note_height) - max(y0, 0))
    if inside < 0.5 * (x1 - x0) * (y1 - y0):  # a rounding error is cut off, a wrong box is not guessed at
        raise Unfit("box_outside_image", seen, frame)
    scale_x, scale_y = photo.width / photo.note_width, photo.height / photo.note_height
    return [
        max(0, round(x0 * scale_x)),
        max(0, round(y0 * scale_y)),
        min(photo.width, round(x1 * scale_x)),
        min(photo.height, round(y1 * scale_y)),
    ]


def _same(one: Object, other: Object) -> bool:
    return one.category == other.category and overlap(one.box, other.box) > SAME_BOX


def overlap(one: list[int], other: list[int]) -> float:
    """Intersection over union of two boxes xyxy, 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def _caption(objects: list[Object]) -> str:
    """A plain sentence where nobody wrote one."""
    names = list(dict.fromkeys(thing.name for thing in objects))
    return f"A photograph showing: {', '.join(names)}." if names else ""
