"""Edits that are known to be good: exact ones of rendered scenes, kept ones of a published dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from insightedit.core.image import decode_own, fit_within
from insightedit.datasets.layout import document, need, sentences
from insightedit.datasets.tables import Rows
from insightedit.evaluate.draw import LAYOUT
from insightedit.evaluate.readers.rendered import RenderedScenes, pair_of
from insightedit.scenes.render import Rendered, render_pair
from insightedit.scenes.scene import Pair

METHODS = {"removal": "remove", "recolour": "recolour", "material": "recolour"}  # of one object, by the offline engine
COLUMNS = ("edit_id", "source_sha256", "source_cluster", "method", "keep_fwd", "instr_fwd_simple", "source_image",
           "edited_image", "mask")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Known:
    """An edit that is known to be good.

    Attributes:
        id: unique within a set.
        family: edits that share a photograph share it; a scene is its own.
        task: "remove", "add", "replace" or "recolour".
        method: what made it: "scene", "removal", "recolour" or "material".
        instruction: that it follows.
        source, target: uint8 RGB (H, W, 3), equal outside the mask.
        mask: bool (H, W), where they may differ.
        pair: the scenes behind the pictures; None of photographs.
        clip_text, caption_source, caption_target: for CLIP, as in `metrics.sample.Sample`; None of photographs.
        beside: edits of other objects by the same method, of the same photograph, whose masks are elsewhere.
    """

    id: str
    family: str
    task: str
    method: str
    instruction: str
    source: np.ndarray
    target: np.ndarray
    mask: np.ndarray
    pair: Pair | None = None
    clip_text: str | None = None
    caption_source: str | None = None
    caption_target: str | None = None
    beside: tuple[Known, ...] = ()

    @cached_property
    def rendered(self) -> Rendered:
        """The pair drawn, with the masks of its things.

        Raises:
            ValueError: a photograph's.
        """
        if self.pair is None:
            raise ValueError(f"edit {self.id} is not of a rendered scene")
        return render_pair(self.pair, len(self.source))


def of_scenes(count: int, seed: int = 0, size: int = 64) -> Iterator[Known]:
    """The first `count` samples of the benchmark "scenes" with their exact answers; tasks take turns.

    Args:
        count, seed, size: as `readers.rendered.RenderedScenes`.
    """
    for one in RenderedScenes(count=count, seed=seed, size=size).read("scenes").samples:
        pair = pair_of(one)
        assert pair is not None, "they are rendered"
        drawn = render_pair(pair, size)
        yield Known(one.id, one.id, pair.task, "scene", one.instruction, drawn.before.image, drawn.after.image,
                    drawn.changed, pair, one.clip_text, one.caption_source, one.caption_target)  # fmt: skip


def of_dataset(folder: Path, side: int = 384) -> list[Known]:
    """The kept edits of one object, read forwards, of all splits of a dataset that the offline engine built.

    Args:
        folder: what `insightedit build` or `demo` left, or its dataset/.
        side: px of the longer side; larger pictures are shrunk.

    Raises:
        InputError: the dataset cannot be read.
    """
    root = need(folder / "dataset" if (folder / "dataset").is_dir() else folder, LAYOUT)
    counted = document(root / "manifest.json", dict, LAYOUT).get("splits", {})
    tables = [Rows(root, split, COLUMNS, LAYOUT) for split, rows in counted.items() if rows]
    rows = (table[number] for table in tables for number in range(len(table)))
    of_photo: dict[str, list[Known]] = {}
    for row in rows:
        if row["method"] in METHODS and row["keep_fwd"]:
            of_photo.setdefault(row["source_sha256"], []).append(_known(row, side))
    return [replace(one, beside=_elsewhere(one, edits)) for edits in of_photo.values() for one in edits]


def _known(row: dict[str, Any], side: int) -> Known:
    source, edited = (fit_within(decode_own(row[name]["bytes"]), side) for name in ("source_image", "edited_image"))
    stored = decode_own(row["mask"]["bytes"]) > 127
    size = (source.shape[1], source.shape[0])
    mask = cv2.resize(stored.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0  # (H, W), whatever it touches
    target = np.where(mask[..., None], edited, source)  # resampling leaves traces beyond
    said = sentences(row["instr_fwd_simple"])
    method = row["method"]
    return Known(row["edit_id"], row["source_cluster"], METHODS[method], method, said[0] if said else "", source,
                 target, mask)  # fmt: skip


def _elsewhere(one: Known, edits: list[Known]) -> tuple[Known, ...]:
    alike = (other for other in edits if other.method == one.method)
    return tuple(sorted((other for other in alike if not (other.mask & one.mask).any()), key=lambda other: other.id))
