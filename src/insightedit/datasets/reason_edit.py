"""ReasonEdit's synthetic training pairs (Huang et al., 2024, SmartEdit): 476 pictures, several instructions each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.datasets import choice, pictures
from insightedit.datasets.example import EditExample, whole
from insightedit.datasets.layout import document, fields, natural, of_record, probe, sentences, wrong
from insightedit.datasets.packed import Packed

LAYOUT = 'one JSON file {"0000": {origin_img_path, target_img_path, instruction: [..]}, ..}, its paths below `images`'


class ReasonEditKnobs(Knobs):
    """Where it is."""

    path: Path  # the JSON file
    images: Path | None = None  # what the paths in it start from; None = the folder of the file
    max_side: int = 0  # px; larger pictures are shrunk, 0 = never


class ReasonEdit:
    """Edits that take understanding; one of the instructions is drawn."""

    Knobs: ClassVar[type[Knobs]] = ReasonEditKnobs
    role = "reason_edit"

    def __init__(self, knobs: ReasonEditKnobs, name: str = "reason_edit") -> None:
        self.knobs, self.name = knobs, name
        records = document(knobs.path, dict, LAYOUT)
        if not records:
            raise wrong(knobs.path, "it is empty", LAYOUT)
        self.images = knobs.images or knobs.path.parent
        self.items = Packed((key, records[key]) for key in sorted(records, key=natural))
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))
        probe(lambda number: self._paths(number)[0], range(min(8, len(self))), self.images, LAYOUT)

    def __len__(self) -> int:
        return len(self.items)

    def _paths(self, index: int) -> list[Path]:
        named = fields(self.items[index][1], origin_img_path=str, target_img_path=str)
        return [of_record(self.images, name) for name in named]

    def example(self, index: int, seed: int) -> EditExample:
        """One pair; its instruction is drawn."""
        key, record = self.items[index]
        source, target = (pictures.read(path) for path in self._paths(index))
        source, target = pictures.paired(source, target, self.knobs.max_side)
        told = sentences(record.get("instruction"))
        if not told:
            raise Unfit("no_instruction", key, "a list of sentences")
        said = choice.one_of(told, seed, self.name, key, "instruction")
        return EditExample(key, self.name, "edit", source, target, said)
