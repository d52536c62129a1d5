"""Photographs in any number for measuring: small flipped and relit variants of the example photographs, annotated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from insightedit.core.files import shipped

OBJECTS = 2  # per photo: enough to pass through every step
GOOD = ("fig", "flower", "clock", "wine", "rocket", "picos", "dogs", "coffee", "brushes", "birdtoy")


def make(folder: Path, count: int, side: int) -> Path:
    """`count` distinct JPEGs of at most `side` px and annotations.json in `folder`, unless they are there."""
    if (folder / "annotations.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    source = shipped("examples/photos")
    coco = json.loads((source / "annotations.json").read_text())
    chosen = [image for image in coco["images"] if Path(image["file_name"]).stem in GOOD]
    images, annotations = [], []
    for number in range(count):
        image, turn = chosen[number % len(chosen)], number // len(chosen)
        name = f"{number:05d}.jpg"
        width, height = _variant(source / image["file_name"], folder / name, side, turn)
        images.append({**image, "id": number, "file_name": name, "width": width, "height": height})
        scale = width / image["width"]
        own = [note for note in coco["annotations"] if note["image_id"] == image["id"]]
        own.sort(key=lambda note: -note["area"])
        for note in own[1 : 1 + OBJECTS]:
            annotations.append(_moved(note, len(annotations), number, scale, width, flip=turn % 2 == 1))
    coco.update(images=images, annotations=annotations)
    (folder / "annotations.json").write_text(json.dumps(coco))
    return folder


def _variant(source: Path, target: Path, side: int, turn: int) -> tuple[int, int]:
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((side, side))
    pixels = np.asarray(picture).astype(np.float32) * (1 - 0.004 * turn)
    pixels = pixels[:, ::-1] if turn % 2 else pixels
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target, quality=92)
    return picture.size


def _moved(note: dict, number: int, image_id: int, scale: float, width: int, flip: bool) -> dict:
    x, y, w, h = (value * scale for value in note["bbox"])
    polygons = [[value * scale for value in polygon] for polygon in note["segmentation"] or []]
    if flip:
        x = width - x - w
        polygons = [[width - value if place % 2 == 0 else value for place, value in enumerate(p)] for p in polygons]
    return {**note, "id": number, "image_id": image_id, "bbox": [x, y, w, h], "segmentation": polygons}
