"""MagicBrush (Zhang et al., 2023): real photographs edited by hand with DALL-E 2, one row a turn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

from insightedit.core.config import Knobs
from insightedit.datasets import pictures
from insightedit.datasets.example import EditExample, whole
from insightedit.datasets.layout import sentence
from insightedit.datasets.tables import Rows

LAYOUT = (
    "osunlp/MagicBrush: data/train-*.parquet or a `save_to_disk` folder with img_id, turn_index, source_img, "
    "target_img, instruction"
)
COLUMNS = ("img_id", "turn_index", "source_img", "target_img", "instruction")


class MagicBrushKnobs(Knobs):
    """Where it is."""

    path: Path
    split: str = "train"  # or "dev"
    max_side: int = 0  # px; larger pictures are shrunk, 0 = never
    arrow: Path | None = None  # parquet is unpacked here once


class MagicBrush:
    """Every turn is a pair of its own. `mask_img` is not read: it marks the area by blanking the picture there."""

    Knobs: ClassVar[type[Knobs]] = MagicBrushKnobs
    role = "magicbrush"

    def __init__(self, knobs: MagicBrushKnobs, name: str = "magicbrush") -> None:
        self.knobs, self.name = knobs, name
        self.rows = Rows(knobs.path, knobs.split, COLUMNS, LAYOUT, knobs.arrow)
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))

    def __len__(self) -> int:
        return len(self.rows)

    def example(self, index: int, seed: int) -> EditExample:
        """One turn; nothing about it is drawn."""
        row = self.rows[index]
        source, target = (pictures.read_bytes(row[name]) for name in ("source_img", "target_img"))
        source, target = pictures.paired(source, target, self.knobs.max_side)
        key = f"{row['img_id']}-{row['turn_index']}"
        return EditExample(key, self.name, "edit", source, target, sentence(row["instruction"]))
