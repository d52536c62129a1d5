"""ImgEdit-Bench (Ye et al., 2025): basic edits of nine types, hard ones without a type, and chains of turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from insightedit.datasets.layout import document, natural, need, wrong
from insightedit.evaluate.pictures import placed
from insightedit.evaluate.readers.read import Layout, Read, text_of
from insightedit.evaluate.sample import Fault, Sample


class ImgEdit(Layout):
    """`file`: basic_edit.json or one like it; `images`: what its `id` starts from, the folder of the file if None."""

    LAYOUT: ClassVar[str] = (
        'basic_edit.json {KEY: {id: "animal/NAME.jpg", prompt, edit_type}} and the pictures below the same folder, or '
        "below `images`; chains have turn1, turn2, .. instead of prompt"
    )

    path: Path
    file: str = "basic_edit.json"
    images: Path | None = None

    def read(self, benchmark: str) -> Read:
        """Samples in the order of their keys."""
        root = need(self.path, self.LAYOUT)
        place = self._file(root)
        records, images = document(place, dict, self.LAYOUT), need(self.images or place.parent, self.LAYOUT)
        samples = [_sample(images, key, records[key], benchmark) for key in sorted(records, key=natural)]
        return Read(samples)

    def _file(self, root: Path) -> Path:
        if root.is_file() or (root / self.file).is_file():
            return root if root.is_file() else root / self.file
        below = sorted(path for path in root.glob(f"*/{self.file}") if path.is_file())
        if len(below) != 1:
            why = f"there is no {self.file}" if not below else f"{self.file} is there {len(below)} times"
            raise wrong(root, why, self.LAYOUT)
        return below[0]


def _sample(images: Path, key: str, record: Any, benchmark: str) -> Sample:
    given = record if isinstance(record, dict) else {}
    turns = tuple(text_of(given[name]) or "" for name in sorted(given, key=natural) if _is_turn(name))
    said = " Then: ".join(turns) or text_of(given.get("prompt")) or ""
    kind = given.get("edit_type")
    fault = None
    if not isinstance(record, dict):
        fault = Fault("malformed_record", f"item {key} is no object")
    elif not said or not all(turns):
        fault = Fault("no_instruction", f"item {key} has a blank instruction")
    return Sample(
        id=key,
        benchmark=benchmark,
        category=kind if isinstance(kind, str) and kind else ("chain" if turns else "all"),
        source=placed(images, given.get("id")),
        instruction=said,
        turns=turns if len(turns) > 1 else (),
        output=f"{key}.png",
        fault=fault,
    )


def _is_turn(name: str) -> bool:
    return name.startswith("turn") and name[4:].isdigit()
