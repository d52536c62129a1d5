"""EditBench (Wang et al., 2023, Imagen Editor) as BrushNet re-processed it: a picture, a caption, a mask to fill."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from insightedit.datasets.layout import document, natural, need
from insightedit.evaluate.pictures import placed, runs
from insightedit.evaluate.readers.read import Layout, Read, text_of
from insightedit.evaluate.sample import Fault, Sample

SIDE = 512  # px: what the run lengths count over


class EditBench(Layout):
    """The caption stands for the instruction: this is filling by mask, not editing by instruction."""

    LAYOUT: ClassVar[str] = (
        "EditBench/ with mapping_file.json {KEY: {image, caption, inpainting_mask: start length start length ..}} and "
        "the pictures below it, 512 x 512 px"
    )

    path: Path

    def read(self, benchmark: str) -> Read:
        """Items in the order of their keys."""
        root = need(self.path, self.LAYOUT)
        root = root / "EditBench" if (root / "EditBench").is_dir() else root
        records = document(root / "mapping_file.json", dict, self.LAYOUT)
        samples = [_sample(root, key, records[key], benchmark) for key in sorted(records, key=natural)]
        return Read(samples)


def _sample(root: Path, key: str, record: Any, benchmark: str) -> Sample:
    given = record if isinstance(record, dict) else {}
    caption = text_of(given.get("caption"))
    return Sample(
        id=key,
        benchmark=benchmark,
        category="fill",
        source=placed(root, given.get("image")),
        mask=runs(f"mask of {key}", given.get("inpainting_mask"), SIDE, SIDE),
        instruction=caption or "",
        caption_target=caption,
        clip_text=caption,
        output=f"{key}.png",
        fault=None if caption else Fault("no_instruction", f"item {key} has no caption"),
    )
