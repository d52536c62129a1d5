"""COCO-Stuff (Caesar et al., 2018): every pixel of COCO 2017 has a class."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.datasets import choice, overlay, pictures
from insightedit.datasets.example import EditExample, whole
from insightedit.datasets.layout import files, first_of, need, of_record, probe, wrong

LAYOUT = (
    "ROOT/images/train2017/*.jpg, ROOT/annotations/train2017/*.png (8-bit, 255 = no class) and ROOT/labels.txt with "
    "`id: name`; or by `images` (a folder with train2017), `masks` (likewise) and `labels`"
)
VOID = 255
_LABEL = re.compile(r"(\d+):\s*(\S.*)")


class COCOStuffKnobs(Knobs):
    """Where it is, and how often something is named that is not there."""

    path: Path | None = None  # InstructDiffusion's layout: images/, annotations/, labels.txt
    images: Path | None = None  # SmartEdit's: coco/ with train2017/*.jpg
    masks: Path | None = None  # SmartEdit's: with train2017/*.png and ft_local/coco_stuff_labels.txt
    labels: Path | None = None
    split: str = "train2017"
    absent: float = Field(0.2, ge=0, le=1)  # chance of a class that is not in the crop: nothing may change


class COCOStuff:
    """A random square of a picture, and one class in it painted. Source and target are the same square."""

    Knobs: ClassVar[type[Knobs]] = COCOStuffKnobs
    role = "coco_stuff"

    def __init__(self, knobs: COCOStuffKnobs, name: str = "coco_stuff") -> None:
        self.knobs, self.name = knobs, name
        self.images, self.masks, labels = _places(knobs)
        self.names = _names(labels)
        found = files(self.masks, "*.png", LAYOUT)
        self._stems = np.array([path.stem for path in found])
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))
        first = [str(stem) for stem in self._stems[:8]]
        probe(lambda stem: of_record(self.images, f"{stem}.jpg"), first, self.images, LAYOUT)

    def __len__(self) -> int:
        return len(self._stems)

    def example(self, index: int, seed: int) -> EditExample:
        """One picture; square, class, colour and wording are drawn."""
        key = str(self._stems[index])
        image = pictures.read(of_record(self.images, f"{key}.jpg"))
        classes = _classes(self.masks / f"{key}.png")
        if classes.shape != image.shape[:2]:
            raise Unfit("other_frame", f"a mask of {classes.shape}", f"one of {image.shape[:2]}")
        square = _square(classes.shape, choice.share(seed, self.name, key, "square"))
        image, classes = image[square], classes[square]
        here = [int(value) for value in np.unique(classes) if int(value) in self.names]
        if not here:
            return overlay.unchanged(self.name, key, image, seed)
        absent = sorted(set(self.names) - set(here))
        lie = bool(absent) and choice.share(seed, self.name, key, "absent") < self.knobs.absent
        value = choice.one_of(absent if lie else here, seed, self.name, key, "class")
        return overlay.example(self.name, key, image, classes == value, self.names[value], seed)


def _places(knobs: COCOStuffKnobs) -> tuple[Path, Path, Path]:
    root = knobs.path
    if root is None and (knobs.images is None or knobs.masks is None):
        raise wrong(Path("coco_stuff"), "neither `path` nor both `images` and `masks` are given", LAYOUT)
    images = (knobs.images or Path(root or "") / "images") / knobs.split
    masks = (knobs.masks or Path(root or "") / "annotations") / knobs.split
    known = [place / "labels.txt" for place in (root, knobs.masks) if place is not None]
    known += [place / "ft_local" / "coco_stuff_labels.txt" for place in (knobs.masks,) if place is not None]
    labels = need(knobs.labels, LAYOUT) if knobs.labels else first_of(known, LAYOUT)
    return need(images, LAYOUT), need(masks, LAYOUT), labels


def _names(path: Path) -> dict[int, str]:
    """Value of a pixel -> name: the file counts from 1 (0 is "unlabeled"), pixels from 0."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(path, str(error), LAYOUT) from error
    found = [_LABEL.fullmatch(line.strip()) for line in lines if line.strip()]
    if not found or not all(found):
        raise wrong(path, "a line is not `id: name`", LAYOUT)
    return {int(match[1]) - 1: match[2] for match in found if match and int(match[1]) > 0}


def _classes(path: Path) -> np.ndarray:
    """(H, W) uint8 of class values; a palette keeps its indices."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.mode not in ("L", "P"):
                raise Unfit("malformed_mask", f"{path.name} is {image.mode}", "8 bits, one channel")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise Unfit("malformed_mask", f"{path.name}: {str(error)[:80]}", "a PNG") from error


def _square(shape: tuple[int, ...], along: float) -> tuple[slice, slice]:
    """The largest square, `along` (0..1) its longer side."""
    height, width = shape[:2]
    side = min(height, width)
    top, left = (int(along * (length - side + 1)) for length in (height, width))
    return slice(top, top + side), slice(left, left + side)
