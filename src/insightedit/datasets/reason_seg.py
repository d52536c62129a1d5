"""ReasonSeg (Lai et al., 2024, LISA) from its own annotation files.

SmartEdit trained on an unreleased copy with a `Name` per picture. The original has none: there the question stands
first and the object is "it"; a short phrase names it by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.datasets import choice, overlay, pictures
from insightedit.datasets.example import EditExample, whole
from insightedit.datasets.layout import fields, files, natural, need, sentences

LAYOUT = "ROOT/train/NAME.jpg beside NAME.json with text, is_sentence and shapes [{label, points}] (LISA's ReasonSeg)"


class ReasonSegKnobs(Knobs):
    """Where it is."""

    path: Path
    split: str = "train"


class ReasonSeg:
    """A question that takes thought, and what answers it painted."""

    Knobs: ClassVar[type[Knobs]] = ReasonSegKnobs
    role = "reason_seg"

    def __init__(self, knobs: ReasonSegKnobs, name: str = "reason_seg") -> None:
        self.knobs, self.name = knobs, name
        below = need(knobs.path, LAYOUT) / knobs.split
        found = files(below if below.is_dir() else knobs.path, "*.json", LAYOUT)
        self.paths = sorted(found, key=lambda path: natural(path.stem))
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))

    def __len__(self) -> int:
        return len(self.paths)

    def example(self, index: int, seed: int) -> EditExample:
        """One picture; question, colour and wording are drawn."""
        path = self.paths[index]
        note = _note(path)
        (shapes,) = fields(note, shapes=list)
        texts = sentences(note.get("text"))
        if not texts:
            raise Unfit("no_sentence", path.name, "`text`")
        image = pictures.read(path.with_suffix(".jpg"))
        mask = _mask(shapes, image.shape[1], image.shape[0])
        said = choice.one_of(texts, seed, self.name, path.stem, "text")
        name = note.get("Name")
        if isinstance(name, str) and name.strip():
            return overlay.example(self.name, path.stem, image, mask, name, seed, before=said)
        if note.get("is_sentence", True):
            return overlay.example(self.name, path.stem, image, mask, "", seed, before=said)
        return overlay.example(self.name, path.stem, image, mask, said.rstrip("."), seed)


def _note(path: Path) -> dict[str, Any]:
    """One annotation file; a few of the released ones are Windows text."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    try:
        note = json.loads(text)
    except ValueError as error:
        raise Unfit("malformed_record", f"{path.name}: {error}", "JSON") from error
    if not isinstance(note, dict):
        raise Unfit("malformed_record", path.name, "an object")
    return note


def _mask(shapes: list[Any], width: int, height: int) -> np.ndarray:
    """bool (H, W): polygons drawn from large to small, so that an "ignore" region inside an object takes its part away.

    The order, the drawing and the meaning of the labels are LISA's (utils/data_processing.py); "flag" marks a picture
    and covers nothing.
    """
    drawn = []
    for shape in shapes:
        label, points = fields(shape, label=str, points=list)
        if "flag" in label.lower():
            continue
        area = _filled(points, width, height)
        drawn.append((int(area.sum()), "ignore" not in label.lower(), area))
    mask = np.zeros((height, width), bool)
    for _, wanted, area in sorted(drawn, key=lambda item: -item[0]):
        mask[area] = wanted
    if not mask.any():
        raise Unfit("empty_mask", "no pixel", "a target region")
    return mask


def _filled(points: list[Any], width: int, height: int) -> np.ndarray:
    try:
        corners = np.array(points, np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise Unfit("malformed_polygon", str(points)[:60], "[[x, y], ...]") from error
    reach = 4 * max(width, height)
    if not len(corners) or not np.isfinite(corners).all() or np.abs(corners).max() > reach:
        raise Unfit("malformed_polygon", str(points)[:60], f"points of {width} x {height} px")
    area = np.zeros((height, width), np.uint8)
    outline = [corners.astype(np.int32)]
    cv2.polylines(area, outline, True, 1, 1)
    cv2.fillPoly(area, outline, 1)
    return area.astype(bool)
