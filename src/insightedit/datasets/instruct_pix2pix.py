"""InstructPix2Pix (Brooks et al., 2023), the CLIP-filtered set: Hugging Face tables, or the authors' shards."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from math import floor
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.datasets import archives, pictures
from insightedit.datasets.example import EditExample, whole
from insightedit.datasets.kept import Arrays, kept
from insightedit.datasets.layout import document, fields, sentence, wrong
from insightedit.datasets.tables import Rows

LAYOUT = (
    "a `save_to_disk` folder or data/train-*.parquet with original_image, edit_prompt, edited_image; "
    "or the authors' shard-NN.zip (and seeds.json) with ID/prompt.json, ID/SEED_0.jpg, ID/SEED_1.jpg, or them unzipped"
)
COLUMNS = ("original_image", "edit_prompt", "edited_image")
SHARES = {"train": (0.0, 0.9), "val": (0.9, 0.95), "test": (0.95, 1.0)}  # the authors' own, by order of seeds.json
_MEMBER = re.compile(r"(?:^|/)(\d+)/(?:(prompt)\.json|(\d+)_([01])\.jpg)$")


class InstructPix2PixKnobs(Knobs):
    """Where it is."""

    path: Path
    split: Literal["train", "val", "test"] = "train"
    max_side: int = 0  # px; larger pictures are shrunk, 0 = never
    arrow: Path | None = None  # parquet is unpacked here once
    index: Path | None = None  # where the index of the zips is kept


class InstructPix2Pix:
    """Pairs made by Stable Diffusion and Prompt-to-Prompt, with an instruction by GPT-3."""

    Knobs: ClassVar[type[Knobs]] = InstructPix2PixKnobs
    role = "instruct_pix2pix"

    def __init__(self, knobs: InstructPix2PixKnobs, name: str = "instruct_pix2pix") -> None:
        self.knobs, self.name = knobs, name
        self.left_out: Counter[str] = Counter()
        self.inner: Rows | _Zips | _Folders
        if knobs.path.is_dir() and list(knobs.path.glob("shard-*.zip")):
            self.inner = _Zips(knobs)
            self.left_out.update(self.inner.left_out)
        elif (knobs.path / "seeds.json").is_file():
            self.inner = _Folders(knobs)
        else:
            self.inner = Rows(knobs.path, knobs.split, COLUMNS, LAYOUT, knobs.arrow)
        self.parts = whole(len(self))

    def __len__(self) -> int:
        return len(self.inner)

    def example(self, index: int, seed: int) -> EditExample:
        """One pair; nothing about it is drawn."""
        row = self.inner[index]
        source, target = (pictures.read_bytes(row[name]) for name in ("original_image", "edited_image"))
        source, target = pictures.paired(source, target, self.knobs.max_side)
        key = row.get("id") or str(index)
        return EditExample(key, self.name, "edit", source, target, sentence(row["edit_prompt"]))


class _Zips:
    """The authors' shards, zipped: an index of offsets over all of them."""

    def __init__(self, knobs: InstructPix2PixKnobs) -> None:
        self.zips = sorted(knobs.path.glob("shard-*.zip"))
        held = kept(knobs.index, "instruct_pix2pix", self.zips, self._index)
        ids, self.left_out = held["ids"], +Counter({"no_picture_or_prompt": int(held["lacking"][0])})
        chosen = np.flatnonzero(_chosen(ids, knobs))
        self._ids, self._shard, self._spans = ids[chosen], held["shard"][chosen], held["spans"][chosen]
        if not len(self):
            raise wrong(knobs.path, f"its zips hold no pair of split '{knobs.split}'", LAYOUT)

    def _index(self) -> Arrays:
        ids: list[tuple[int, int]] = []
        shard: list[int] = []
        spans: list[list[tuple[int, int]]] = []
        lacking = 0
        for number, path in enumerate(self.zips):
            prompts, sides = _members(path)
            for (prompt, seed), both in sorted(sides.items()):
                if prompt in prompts and len(both) == 2:
                    ids.append((prompt, seed))
                    shard.append(number)
                    spans.append([prompts[prompt], both[0], both[1]])
                else:
                    lacking += 1
        return {
            "ids": np.array(ids, np.int64).reshape(-1, 2),
            "shard": np.array(shard, np.int32),
            "spans": np.array(spans, np.int64).reshape(-1, 3, 2),
            "lacking": np.array([lacking]),
        }

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.zips[int(self._shard[index])]
        prompt, source, target = (archives.zip_read(path, int(at), int(size)) for at, size in self._spans[index])
        number, seed = (int(value) for value in self._ids[index])
        return _row(f"{number:07d}-{seed}", prompt, source, target)


def _members(path: Path) -> tuple[dict[int, tuple[int, int]], dict[tuple[int, int], dict[int, tuple[int, int]]]]:
    """Places of the prompts by id, and of the two sides by (id, seed)."""
    prompts: dict[int, tuple[int, int]] = {}
    sides: dict[tuple[int, int], dict[int, tuple[int, int]]] = defaultdict(dict)
    for name, offset, size in archives.zip_members(path, LAYOUT):
        found = _MEMBER.search(name)
        if found and found[2]:
            prompts[int(found[1])] = (offset, size)
        elif found:
            sides[int(found[1]), int(found[3])][int(found[4])] = (offset, size)
    return prompts, sides


def _chosen(ids: np.ndarray, knobs: InstructPix2PixKnobs) -> np.ndarray:
    """bool (N,): pairs of the split, by the authors' seeds.json where it lies beside the shards."""
    if (knobs.path / "seeds.json").is_file():
        listed = {(int(name), seed) for name, seed in _listed(knobs)}
        return np.array([(int(prompt), int(seed)) in listed for prompt, seed in ids], bool)
    prompts = np.unique(ids[:, 0])
    low, high = (floor(share * len(prompts)) for share in SHARES[knobs.split])
    return np.isin(ids[:, 0], prompts[low:high])


def _listed(knobs: InstructPix2PixKnobs) -> list[tuple[str, int]]:
    """(id, seed) of the split's pairs, from seeds.json: [[id, [seed, ...]], ...]."""
    path = knobs.path / "seeds.json"
    seeds = document(path, list, LAYOUT)
    low, high = (floor(share * len(seeds)) for share in SHARES[knobs.split])
    try:
        return [(str(int(name)).zfill(len(name)), int(seed)) for name, several in seeds[low:high] for seed in several]
    except (TypeError, ValueError) as error:
        raise wrong(path, f"an entry is not [id, [seed, ...]] ({error})", LAYOUT) from error


class _Folders:
    """The authors' shards, unzipped."""

    def __init__(self, knobs: InstructPix2PixKnobs) -> None:
        self.path, listed = knobs.path, _listed(knobs)
        if not listed:
            raise wrong(knobs.path / "seeds.json", f"split '{knobs.split}' has no pair", LAYOUT)
        self._names, self._seeds = np.array([name for name, _ in listed]), np.array([seed for _, seed in listed])

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, seed = str(self._names[index]), int(self._seeds[index])
        paths = [self.path / name / part for part in ("prompt.json", f"{seed}_0.jpg", f"{seed}_1.jpg")]
        missing = next((path for path in paths if not path.is_file()), None)
        if missing:
            raise Unfit("missing_file", str(missing), "prompt.json and both pictures")
        return _row(f"{name}-{seed}", *(path.read_bytes() for path in paths))


def _row(key: str, prompt: bytes, source: bytes, target: bytes) -> dict[str, Any]:
    try:
        (instruction,) = fields(json.loads(prompt), edit=str)
    except ValueError as error:
        raise Unfit("malformed_record", f"prompt.json of {key}: {error}", "JSON with `edit`") from error
    return {"id": key, "edit_prompt": instruction, "original_image": source, "edited_image": target}
