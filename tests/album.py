"""Small photographs of the examples, annotated."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"
CHOSEN = ("fig.jpg", "flower.jpg", "coffee.jpg")


def small_album(folder: Path, names: tuple[str, ...] = CHOSEN, side: int = 320) -> Path:
    """A few example photographs at `side` px with their annotations.json."""
    coco = json.loads((EXAMPLES / "annotations.json").read_text())
    folder.mkdir(parents=True)
    coco["images"] = [image for image in coco["images"] if image["file_name"] in names]
    scales = {}
    for image in coco["images"]:
        with Image.open(EXAMPLES / image["file_name"]) as opened:
            picture = opened.convert("RGB")
        scales[image["id"]] = min(1.0, side / max(picture.size))
        picture.thumbnail((side, side))
        picture.save(folder / image["file_name"], quality=92)
        image["width"], image["height"] = picture.size
    notes = [note for note in coco["annotations"] if note["image_id"] in scales]
    for note in notes:
        scale = scales[note["image_id"]]
        note["bbox"] = [value * scale for value in note["bbox"]]
        note["segmentation"] = [[value * scale for value in polygon] for polygon in note["segmentation"]]
    coco["annotations"] = notes
    (folder / "annotations.json").write_text(json.dumps(coco))
    return folder
