"""What RefCOCO and gRefCOCO share: refs, instances, and an overlay on what a sentence refers to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.datasets import choice, overlay, pictures, plain_pickle, segments
from insightedit.datasets.example import EditExample, whole
from insightedit.datasets.layout import document, fields, first_of, need, of_record, probe, sentences, wrong
from insightedit.datasets.packed import Packed

IMAGES = ("train2014", "images/train2014", "images/mscoco/images/train2014")  # below the root
NOTHING = -1  # gRefCOCO's annotation id of a sentence that refers to nothing in the picture


class ReferringKnobs(Knobs):
    """Where it is and which part of it."""

    path: Path
    images: Path | None = None  # COCO train2014; None looks below `path`
    split: str = "train"  # train, val, test, testA, testB, ...
    split_by: str = "unc"


class Referring:
    """An object, sentences that refer to it, and the picture: one of the sentences is drawn, the object is painted."""

    Knobs: ClassVar[type[Knobs]] = ReferringKnobs
    layout: ClassVar[str]
    role: ClassVar[str]

    def __init__(self, knobs: ReferringKnobs, folder: str, stem: str, name: str) -> None:
        self.knobs, self.name = knobs, name
        base = need(knobs.path, self.layout)
        place = base / folder if (base / folder).is_dir() else base
        self.images = knobs.images or first_of([base / below for below in IMAGES], self.layout)
        need(self.images, self.layout)
        refs = self._refs(place, f"{stem}({knobs.split_by})")
        self.left_out: Counter[str] = Counter()
        self.items = self._joined(refs, place / "instances.json")
        if not len(self):
            raise wrong(place, f"no usable ref is of split '{knobs.split}'", self.layout)
        self.parts = whole(len(self))
        first = [self.items[number]["file"] for number in range(min(8, len(self)))]
        probe(lambda file: of_record(self.images, file), first, self.images, self.layout)

    def _refs(self, place: Path, stem: str) -> list[dict[str, Any]]:
        path = first_of([place / f"{stem}.p", place / f"{stem}.json"], self.layout)
        read = document(path, list, self.layout) if path.suffix == ".json" else plain_pickle.read(path, self.layout)
        if not isinstance(read, list) or not all(isinstance(ref, dict) for ref in read):
            raise wrong(path, "it is not a list of refs", self.layout)
        return [ref for ref in read if _in_split(ref.get("split"), self.knobs.split)]

    def _joined(self, refs: list[dict[str, Any]], path: Path) -> Packed:
        """Refs with what their ids stand for, one record each."""
        instances = document(path, dict, self.layout)
        try:
            frames = {item["id"]: item for item in instances["images"]}
            notes = {item["id"]: item for item in instances["annotations"]}
        except (KeyError, TypeError) as error:
            raise wrong(path, "it has no `images` and `annotations` with ids", self.layout) from error
        joined = []
        for ref in refs:
            try:
                joined.append(_record(ref, frames, notes))
            except Unfit as error:
                self.left_out[error.reason] += 1
        return Packed(joined)

    def __len__(self) -> int:
        return len(self.items)

    def example(self, index: int, seed: int) -> EditExample:
        """One ref; sentence, colour and wording are drawn."""
        item = self.items[index]
        image = pictures.read(of_record(self.images, item["file"]))
        width, height = item["size"]
        if abs(image.shape[1] * height - image.shape[0] * width) > max(image.shape) * 2:
            raise Unfit("other_frame", f"{image.shape[1]} x {image.shape[0]}", f"{width} x {height}")
        nothing = not item["segmentations"]
        mask = np.zeros((height, width), bool) if nothing else segments.union(item["segmentations"], width, height)
        said = choice.one_of(item["sentences"], seed, self.name, item["id"], "sentence")
        return overlay.example(self.name, item["id"], image, mask, said, seed)


def _in_split(given: Any, wanted: str) -> bool:
    """RefCOCO names testA and testB; "test" means both."""
    return isinstance(given, str) and (given == wanted or (wanted == "test" and given.startswith("test")))


def _record(ref: dict[str, Any], frames: dict[Any, Any], notes: dict[Any, Any]) -> dict[str, Any]:
    """Everything that one example needs.

    Raises:
        Unfit: why this ref is left out.
    """
    said, image_id, ids = fields(ref, sentences=list, image_id=int, ann_id=(int, list))
    told = sentences([item.get("sent") if isinstance(item, dict) else None for item in said])
    if not told:
        raise Unfit("no_sentence", str(ref.get("ref_id")), "a sentence")
    if image_id not in frames:
        raise Unfit("unknown_image", str(image_id), "an id in instances.json")
    file, width, height = fields(frames[image_id], file_name=str, width=int, height=int)
    ids = [one for one in (ids if isinstance(ids, list) else [ids]) if one != NOTHING]
    if any(one not in notes for one in ids):
        raise Unfit("unknown_annotation", str(ids)[:60], "ids in instances.json")
    single = [notes[one] for one in ids if not notes[one].get("iscrowd")]
    if ids and not single:
        raise Unfit("only_a_crowd", str(ids)[:60], "an annotation of single things")
    shapes = [note.get("segmentation") for note in single]
    key = str(ref.get("ref_id", f"{image_id}-{ids}"))
    return {"id": key, "file": file, "size": [width, height], "segmentations": shapes, "sentences": told}
