"""Seeded faults: what bad editors make of an edit whose good outcome is known.

Of scenes they are rendered; of photographs they come from other edits of the same photograph, or from the good picture
by operations on its pixels. A fault is decided by (seed, id of the edit, fault). Not every edit can have every fault.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np

from insightedit.core.errors import UnknownName
from insightedit.core.image import decode_own, encode_jpeg
from insightedit.core.lookup import suggest
from insightedit.core.seed import derive
from insightedit.evaluate.known import Known
from insightedit.scenes.render import render
from insightedit.scenes.scene import COLOURS, Pair
from insightedit.scenes.truth import APART, wrong_answers

PAN = 0.2  # units by which the camera moves: about a thirtieth of the picture
SHIFT = 0.02  # of a photograph's longer side
BLUR = 0.15  # sd, of the root of the mask's area
FLAT, DARK = 0.35, 0.45  # a shadow's height over its object's; the share of light that it takes
VISIBLE = 8  # px that a fault must change clearly, to be one
SOFT_PX, QUALITY = 0.6, 75  # of a re-encoded picture: sd of the blur, JPEG quality

Maker = Callable[[Known, random.Random], np.ndarray | None]


def faulty(edit: Known, fault: str, seed: int = 0) -> np.ndarray | None:
    """The picture that a bad editor gives, uint8 RGB (H, W, 3); None where the edit cannot have this fault.

    It cannot, either, where nobody would see it: a blurred fill of a plain ground is as good as a sharp one.

    Args:
        edit: good.
        fault: a name in `FAULTS`.
        seed: another seed, other wrong objects, colours and directions.

    Raises:
        UnknownName: no such fault.
    """
    if fault not in FAULTS:
        raise UnknownName(f"no fault '{fault}'", "it is not in the table", suggest(fault, FAULTS))
    on_scene, on_photograph = FAULTS[fault]
    draw = random.Random(derive(seed, edit.id, fault))
    picture = (on_photograph if edit.pair is None else on_scene)(edit, draw)
    return picture if picture is not None and _shows(picture, edit.target) else None


def reencoded(image: np.ndarray) -> np.ndarray:
    """A picture as editors give it that generate every pixel anew: a little softer, and nowhere quite equal."""
    return decode_own(encode_jpeg(np.asarray(cv2.GaussianBlur(image, (0, 0), SOFT_PX)), QUALITY))


# --- of both ---------------------------------------------------------------------------------------------------------


def _nothing_changed(edit: Known, draw: random.Random) -> np.ndarray | None:
    return edit.source.copy()


def _blurred_fill(edit: Known, draw: random.Random) -> np.ndarray | None:
    soft = np.asarray(cv2.GaussianBlur(edit.target, (0, 0), max(1.0, BLUR * math.sqrt(edit.mask.sum()))))
    return _inside(edit.mask, soft, edit.target)


def _shows(picture: np.ndarray, good: np.ndarray) -> bool:
    return int((cv2.absdiff(picture, good).max(axis=2) >= APART).sum()) >= VISIBLE


def _inside(mask: np.ndarray, image: np.ndarray, around: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(mask[..., None], image, around))


# --- of scenes -------------------------------------------------------------------------------------------------------


def _pair(edit: Known) -> Pair:
    if edit.pair is None:
        raise ValueError(f"edit {edit.id} is not of a rendered scene")
    return edit.pair


def _other_thing(edit: Known, draw: random.Random) -> np.ndarray | None:
    """The task done to another thing; a new thing put elsewhere."""
    wrong = [scene for name, scene in wrong_answers(_pair(edit)) if name == "other thing"]
    return render(draw.choice(wrong), len(edit.source)).image if wrong else None


def _panned(edit: Known, draw: random.Random) -> np.ndarray | None:
    """What lies outside the mask, seen by a camera that moved sideways."""
    after = _pair(edit).after
    moved = replace(after.camera, right=after.camera.right + draw.choice((-PAN, PAN)))
    return _inside(edit.mask, edit.target, render(replace(after, camera=moved), len(edit.source)).image)


def _light_left(edit: Known, draw: random.Random) -> np.ndarray | None:
    """The thing is gone or another one; its shadow and its reflections stay."""
    if edit.task not in ("remove", "replace"):
        return None
    drawn = edit.rendered
    cast = edit.mask & ~drawn.subject_before & ~drawn.subject_after  # (S, S)
    return _inside(cast, edit.source, edit.target)


def _another_too(edit: Known, draw: random.Random) -> np.ndarray | None:
    """Besides what was asked, another thing's colour."""
    pair = _pair(edit)
    spared = [index for index in range(len(pair.after.things)) if index != pair.index_after]
    if not spared:
        return None
    index = draw.choice(spared)
    thing = pair.after.things[index]
    colour = draw.choice([name for name in COLOURS if name != thing.colour])
    return render(pair.after.having(index, replace(thing, colour=colour)), len(edit.source)).image


# --- of photographs --------------------------------------------------------------------------------------------------


def _other_object(edit: Known, draw: random.Random) -> np.ndarray | None:
    """The same done to another object: a published edit of its own."""
    return draw.choice(edit.beside).target.copy() if edit.beside else None


def _other_object_too(edit: Known, draw: random.Random) -> np.ndarray | None:
    """Both edits in one picture."""
    if not edit.beside:
        return None
    other = draw.choice(edit.beside)
    return _inside(other.mask, other.target, edit.target)


def _moved(edit: Known, draw: random.Random) -> np.ndarray | None:
    """What lies outside the mask, moved sideways; mirrored at the frame."""
    by = max(2, round(SHIFT * max(edit.mask.shape)))
    left = draw.choice((0, 2 * by))
    wide = np.pad(edit.target, ((0, 0), (by, by), (0, 0)), mode="reflect")
    return _inside(edit.mask, edit.target, wide[:, left : left + edit.target.shape[1]])


def _ghost(edit: Known, draw: random.Random) -> np.ndarray | None:
    """A soft dark shape at the foot of what was removed: its outline, flattened."""
    if edit.task != "remove":
        return None
    rows, columns = np.flatnonzero(edit.mask.any(axis=1)), np.flatnonzero(edit.mask.any(axis=0))
    crop = edit.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    height = max(2, round(FLAT * len(crop)))
    shade = np.zeros(edit.mask.shape, np.float32)  # (H, W)
    flat = cv2.resize(crop, (crop.shape[1], height), interpolation=cv2.INTER_AREA)
    shade[max(0, rows[-1] + 1 - height) : rows[-1] + 1, columns[0] : columns[-1] + 1] = flat[-(rows[-1] + 1) :]
    soft = cv2.GaussianBlur(shade, (0, 0), max(1.0, 0.04 * math.sqrt(edit.mask.sum()))) * edit.mask
    return np.asarray((edit.target * (1 - DARK * soft[..., None])).astype(np.uint8))


FAULTS: Mapping[str, tuple[Maker, Maker]] = {  # of scenes, of photographs
    "nothing_changed": (_nothing_changed, _nothing_changed),
    "wrong_object": (_other_thing, _other_object),
    "background_shifted": (_panned, _moved),
    "blurred_fill": (_blurred_fill, _blurred_fill),
    "leftover_shadow": (_light_left, _ghost),
    "over_edit": (_another_too, _other_object_too),
}
