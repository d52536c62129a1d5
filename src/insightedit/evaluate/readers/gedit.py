"""GEdit-Bench (Liu et al., 2025, Step1X-Edit): real requests in English and Chinese, from the Hugging Face table."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from insightedit.datasets.layout import wrong
from insightedit.datasets.tables import Rows, small_columns
from insightedit.evaluate.pictures import CellPicture
from insightedit.evaluate.readers.read import Layout, Read, text_of
from insightedit.evaluate.sample import Fault, Sample

SMALL = ("key", "task_type", "instruction", "instruction_language", "Intersection_exist")


class GEdit(Layout):
    """`language`: which rows; `image`: which column the editor is given."""

    LAYOUT: ClassVar[str] = (
        "stepfun-ai/GEdit-Bench: data/train-*.parquet or a `save_to_disk` folder with key, task_type, instruction, "
        "instruction_language (en or cn), input_image_raw, Intersection_exist"
    )

    path: Path
    language: Literal["en", "cn"]
    image: str = "input_image_raw"

    def read(self, benchmark: str) -> Read:
        """Rows of the language, in their order; split "intersection" is the part that the authors report apart."""
        rows = Rows(self.path, "train", (*SMALL, self.image), self.LAYOUT)
        table = small_columns(rows, SMALL).to_pylist()
        languages = {row["instruction_language"] for row in table}
        if self.language not in languages:
            why = f"no row is in '{self.language}', only in {', '.join(sorted(map(str, languages)))}"
            raise wrong(self.path, why, self.LAYOUT)
        chosen = [(index, row) for index, row in enumerate(table) if row["instruction_language"] == self.language]
        return Read([self._sample(rows, index, row, benchmark) for index, row in chosen])

    def _sample(self, rows: Rows, index: int, row: dict[str, object], benchmark: str) -> Sample:
        key, kind, said = str(row["key"]), text_of(row["task_type"]), text_of(row["instruction"])
        fault = None
        if said is None:
            fault = Fault("no_instruction", f"row {index} has a blank instruction")
        elif kind is None or not row["key"]:
            fault = Fault("malformed_record", f"row {index} has no key or no task_type")
        return Sample(
            id=key if row["key"] else f"row-{index}",
            benchmark=benchmark,
            category=kind or "",
            split="intersection" if row["Intersection_exist"] else "rest",
            source=CellPicture(rows, index, self.image),
            instruction=said or "",
            output=f"fullset/{kind}/{self.language}/{key}.png",
            fault=fault,
        )
