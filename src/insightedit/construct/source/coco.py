"""COCO annotations: captions, boxes, polygons, RLE; and the licence of every image.

Read beside what COCO defines: on images `author`, `source`, `caption`, `license_text`; on categories
`supercategory`; on annotations `short_caption` and `detailed_caption`. A caption annotation (`caption` without `bbox`)
captions its image.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from insightedit.construct.source.found import Facts, split_uri
from insightedit.construct.source.found import text_of as _text
from insightedit.core.errors import InputError, Unfit
from insightedit.core.files import read_json
from insightedit.core.mask import compressed
from insightedit.core.record import Note, Reject, Rle


class Annotations:
    """A COCO file, by image.

    Raises:
        InputError: not JSON, or not COCO's object with `images` and `annotations`.
    """

    def __init__(self, path: Path) -> None:
        data = read_json(path)
        if not isinstance(data, dict) or not all(_is_list_of_dicts(data.get(key)) for key in ("images", "annotations")):
            why = "it needs a JSON object with the lists 'images' and 'annotations'"
            raise InputError(f"{path} is not a COCO annotation file", why, "See docs/photos.md for the format")
        self.path, self.rejects = path, list[Reject]()
        self.licences = _by_id(data.get("licenses"))
        self.categories = _by_id(data.get("categories"))
        self.facts = self._by_file(data)
        self.used: set[str] = set()

    def _by_file(self, data: dict[str, Any]) -> dict[str, Facts]:
        notes: dict[Any, list[Note]] = {}
        captions: dict[Any, str] = {}
        known = {_key(image.get("id")) for image in data["images"]}
        for entry in data["annotations"]:
            image_id = _key(entry.get("image_id"))
            if image_id not in known:
                self._reject(
                    "annotation_of_unknown_image", f"annotation {entry.get('id')}", f"image_id {image_id} in 'images'"
                )
            elif "bbox" not in entry and "segmentation" not in entry and "caption" in entry:
                captions.setdefault(image_id, _text(entry["caption"]))
            elif (note := self._note(entry)) is not None:
                notes.setdefault(image_id, []).append(note)
        return self._images(data["images"], notes, captions)

    def _images(
        self, images: list[dict[str, Any]], notes: dict[Any, list[Note]], captions: dict[Any, str]
    ) -> dict[str, Facts]:
        found: dict[str, Facts] = {}
        for image in images:
            name = image.get("file_name")
            if not isinstance(name, str) or not name:
                self._reject("image_without_file_name", f"image {image.get('id')}", "a 'file_name'")
                continue
            name = str(PurePosixPath(name.replace("\\", "/").encode("utf-8", "replace").decode()))
            if name in found:
                self._reject("image_listed_twice", name, "one entry per file")
                continue
            image_id = _key(image.get("id"))
            caption = _text(image.get("caption")) or captions.get(image_id, "")
            found[name] = self._image_facts(image, caption, notes.get(image_id, []))
        return found

    def _image_facts(self, image: dict[str, Any], caption: str, notes: list[Note]) -> Facts:
        licence = self.licences.get(_key(image.get("license")), {})
        return Facts(
            author=_text(image.get("author")),
            licence=_text(licence.get("name")) or _text(image.get("license_text")),
            licence_url=_text(licence.get("url")),
            source_url=_text(image.get("source_url")) or _text(image.get("flickr_url")) or _text(image.get("coco_url")),
            source_dataset=_text(image.get("source")) or self.path.stem,
            caption=caption,
            note_width=_whole(image.get("width")),
            note_height=_whole(image.get("height")),
            notes=notes,
        )

    def _note(self, entry: dict[str, Any]) -> Note | None:
        category = self.categories.get(_key(entry.get("category_id")), {})
        note_id = _text(str(entry.get("id", "")))
        try:
            polygons, rle = _outline(entry.get("segmentation"))
            return Note(
                note_id=note_id,
                category=_text(category.get("name")),
                supercategory=_text(category.get("supercategory")),
                name=_text(entry.get("short_caption")) or _text(entry.get("name")),
                detail=_text(entry.get("detailed_caption")),
                box=_box(entry.get("bbox")),
                polygons=polygons,
                rle=rle,
                is_crowd=bool(entry.get("iscrowd")),
            )
        except (TypeError, ValueError, KeyError, OverflowError, Unfit) as error:
            self._reject("malformed_annotation", f"annotation {note_id}: {error}"[:200], "COCO's bbox and segmentation")
            return None

    def _reject(self, reason: str, seen: str, wanted: str) -> None:
        self.rejects.append(Reject(step="source", reason=reason, uri=self.path.name, seen=seen, wanted=wanted))

    def of(self, uri: str, name: str = "") -> Facts | None:
        """What the file says of the photograph at `uri`: by its path below the root, else by its bare name.

        A member of a tar goes by its name inside, a row of a parquet file by `name`. An entry is given to one
        photograph only, the first that asks: a second file of the same bare name is another photograph.
        """
        place, member = split_uri(uri)
        path = name or (member.rpartition("@")[0] if member else place)
        for known in dict.fromkeys((path, PurePosixPath(path).name)):
            if known in self.facts and known not in self.used:
                self.used.add(known)
                return self.facts[known]
            if known in self.facts:
                self.rejects.append(
                    Reject(step="source", reason="name_used_twice", uri=uri, seen=known, wanted="a path")
                )
        return None

    def missing(self) -> list[Reject]:
        """Annotated images that no photograph was found for."""
        return [
            Reject(step="source", reason="annotated_file_missing", uri=name, seen="no such photograph", wanted=name)
            for name, facts in self.facts.items()
            if name not in self.used and facts.notes
        ]


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _key(value: Any) -> Any:
    """An id that can be looked up, whatever stands there."""
    return value if isinstance(value, int | str) else str(value)


def _by_id(value: Any) -> dict[Any, dict[str, Any]]:
    entries = value if isinstance(value, list) else []
    return {_key(entry.get("id")): entry for entry in entries if isinstance(entry, dict)}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 24 else 0


def _box(value: Any) -> list[float]:
    """COCO's [x, y, width, height] -> xyxy; [] where none is given."""
    if not value:
        return []
    x, y, width, height = (float(part) for part in value)
    return [x, y, x + width, y + height]


def _outline(value: Any) -> tuple[list[list[float]], Rle | None]:
    if not value:
        return [], None
    if isinstance(value, dict):
        rle = compressed(value)
        return [], Rle(size=rle["size"], counts=rle["counts"].decode("ascii"))
    polygons = [[float(part) for part in polygon] for polygon in value]
    if any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
        raise ValueError("a polygon needs at least three points, as x1, y1, x2, y2, ...")
    return polygons, None
