"""CC12M (Changpinyo et al., 2021): captions, with pictures where img2dataset has fetched them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.datasets import archives, pictures
from insightedit.datasets.example import CaptionExample, whole
from insightedit.datasets.kept import Arrays, kept
from insightedit.datasets.layout import files, need, sentence, wrong

LAYOUT = "cc12m.tsv with one `url<TAB>caption` a line; or a folder of img2dataset's NNNNN.tar with KEY.jpg and KEY.txt"
EVERY = 64  # lines between two known offsets: 12 million lines need 1.5 MB
CHUNK = 1 << 24  # bytes
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class CC12MKnobs(Knobs):
    """Where it is and how much of a caption counts."""

    path: Path
    images: bool = True  # of shards: read the picture with the caption
    max_words: int = Field(0, ge=0)  # a longer caption is cut there (CLIP's text encoder reads 77 tokens); 0 = never
    index: Path | None = None  # where the index of the shards is kept; None makes it anew


class CC12M:
    """Captions of a TSV, or of webdataset shards together with their pictures."""

    Knobs: ClassVar[type[Knobs]] = CC12MKnobs
    role = "captions"

    def __init__(self, knobs: CC12MKnobs, name: str = "cc12m") -> None:
        self.knobs, self.name = knobs, name
        need(knobs.path, LAYOUT)
        self.inner: _Lines | _Shards = _Shards(knobs) if knobs.path.is_dir() else _Lines(knobs.path)
        self.left_out = self.inner.left_out
        self.parts = whole(len(self))

    def __len__(self) -> int:
        return len(self.inner)

    def example(self, index: int, seed: int) -> CaptionExample:
        """One caption; nothing about it is drawn."""
        key, text, image = self.inner.read(index)
        words = sentence(text).split()
        return CaptionExample(key, self.name, " ".join(words[: self.knobs.max_words or None]), image)


class _Lines:
    """The lines of a TSV by number: every 64th line's offset is known."""

    left_out: ClassVar[Counter[str]] = Counter()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets, self._count = _line_offsets(path)
        if not self._count or b"\t" not in self._block(0)[0]:
            raise wrong(path, "its first line has no tab", LAYOUT)

    def __len__(self) -> int:
        return self._count

    def _block(self, number: int) -> list[bytes]:
        with self.path.open("rb") as handle:
            handle.seek(int(self._offsets[number]))
            return handle.read(int(self._offsets[number + 1] - self._offsets[number])).split(b"\n")

    def read(self, index: int) -> tuple[str, str, None]:
        """(id, caption, no picture)."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        line = self._block(index // EVERY)[index % EVERY]
        if b"\t" not in line:
            raise Unfit("malformed_line", f"line {index + 1} of {self.path.name} has no tab", "url<TAB>caption")
        return f"{self.path.stem}-{index}", line.split(b"\t")[-1].decode("utf-8", "replace"), None


def _line_offsets(path: Path) -> tuple[np.ndarray, int]:
    """Offsets of lines 0, 64, 128, ... and of the end, and the number of lines."""
    offsets, lines, start = [0], 0, 0
    last = b"\n"
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
            first = EVERY - 1 - lines % EVERY  # the first line end here that a known line follows
            offsets += (start + 1 + ends[first::EVERY]).tolist()
            lines, start, last = lines + len(ends), start + len(chunk), chunk[-1:]
    lines += last != b"\n"
    if offsets[-1] != start:
        offsets.append(start)
    return np.array(offsets, np.int64), lines


class _Shards:
    """The samples of img2dataset's tars that have a caption, and a picture if one is asked for."""

    def __init__(self, knobs: CC12MKnobs) -> None:
        self.images = knobs.images
        self.tars = files(knobs.path, "*.tar", LAYOUT)
        held = kept(knobs.index, "cc12m", self.tars, self._index)
        self._shard, self._spans = held["shard"], held["spans"]  # (N,), (N, 2, 2): picture and caption, offset and size
        missing = {"no_caption": int(held["lacking"][0]), "no_picture": int(held["lacking"][1])}
        self.left_out = Counter({**missing, "cut_off_shard": int(held["lacking"][2])})
        self.left_out = +self.left_out
        if not len(self):
            raise wrong(knobs.path, "no tar there has a sample with caption and picture", LAYOUT)

    def _index(self) -> Arrays:
        shard: list[int] = []
        spans: list[tuple[tuple[int, int], tuple[int, int]]] = []
        lacking = [0, 0, 0]
        for number, tar in enumerate(self.tars):
            members, is_whole = archives.tar_members(tar)
            lacking[2] += not is_whole
            for picture, text in _samples(members).values():
                if text and picture:
                    shard.append(number)
                    spans.append((picture, text))
                else:
                    lacking[0 if picture else 1] += 1
        table = np.array(spans, np.int64).reshape(-1, 2, 2)
        return {"shard": np.array(shard, np.int32), "spans": table, "lacking": np.array(lacking)}

    def __len__(self) -> int:
        return len(self._shard)

    def read(self, index: int) -> tuple[str, str, np.ndarray | None]:
        """(id, caption, picture)."""
        tar = self.tars[int(self._shard[index])]
        picture, text = ((int(offset), int(size)) for offset, size in self._spans[index])
        caption = archives.tar_read(tar, *text).decode("utf-8", "replace")
        image = pictures.read_bytes(archives.tar_read(tar, *picture)) if self.images else None
        return f"{tar.stem}-{picture[0]}", caption, image


Span = tuple[int, int]


def _samples(members: list[tuple[str, int, int]]) -> dict[str, tuple[Span | None, Span | None]]:
    """Key -> (place of the picture, place of the caption), as webdataset groups members by what is before the dot."""
    found: dict[str, tuple[Span | None, Span | None]] = {}
    for name, offset, size in members:
        path = PurePosixPath(name)
        key, suffix = str(path.with_suffix("")), path.suffix.lower()
        picture, text = found.get(key, (None, None))
        if suffix in PICTURES:
            found[key] = ((offset, size), text)
        elif suffix == ".txt":
            found[key] = (picture, (offset, size))
    return found
