"""Where a benchmark's pictures are: files, cells of tables, run lengths, scenes. Read one at a time, never unpacked.

A picture that is not where it should be is no reason to stop: reading it raises `Unfit`, which becomes the status of
its one sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from insightedit.core.errors import InputError, Unfit
from insightedit.core.files import inside
from insightedit.core.fingerprint import digest
from insightedit.core.image import Colour, Limits, decode, encode, encode_mask_png
from insightedit.datasets.tables import Rows
from insightedit.scenes.published import ENGINE
from insightedit.scenes.render import Rendered, render_pair
from insightedit.scenes.scene import Pair

LIMITS = Limits(min_side=8)  # benchmarks hold what they hold
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
Channel = Literal["grey", "alpha"]  # how a mask says "editable": white, or see-through
Side = Literal["before", "after", "changed"]


class Picture(Protocol):
    """One encoded picture. Small and picklable: it says where the bytes are and holds none."""

    @property
    def name(self) -> str:
        """What it is called in messages and reports."""

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            Unfit: missing_file, changed_file, outside_root, ..: the status of the sample.
        """

    def digest(self) -> str:
        """Hex digits that another content would change.

        Raises:
            Unfit: as `read`.
        """


@dataclass(frozen=True)
class FilePicture:
    """A file; `sha256` is what the benchmark says of it, "" where it says nothing."""

    path: Path
    sha256: str = ""

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        try:
            if (size := self.path.stat().st_size) > LIMITS.max_bytes:
                raise Unfit("too_many_bytes", str(size), f"at most {LIMITS.max_bytes}")
            data = self.path.read_bytes()
        except OSError as error:
            raise Unfit("missing_file", error.strerror or str(error), "an image file") from error
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256:
            raise Unfit("changed_file", "another SHA-256", self.sha256)
        return data

    def digest(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()


@dataclass(frozen=True)
class Absent:
    """A picture that cannot be had, and why."""

    name: str
    reason: str
    seen: str = ""
    wanted: str = ""

    def read(self) -> bytes:
        raise Unfit(self.reason, self.seen, self.wanted)

    def digest(self) -> str:
        raise Unfit(self.reason, self.seen, self.wanted)


@dataclass(frozen=True, eq=False)
class CellPicture:
    """A picture inside a row of a table."""

    rows: Rows
    index: int
    column: str

    @property
    def name(self) -> str:
        return f"row {self.index}, {self.column}"

    def read(self) -> bytes:
        try:
            value = self.rows[self.index][self.column]
        except InputError as error:
            raise Unfit("damaged_row", error.why, "a whole file") from error
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise Unfit("no_image_bytes", type(data).__name__, "the bytes of an image file inside the row")
        return data

    def digest(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()


@dataclass(frozen=True)
class RunsPicture:
    """A mask as (start, length) pairs over a row-major frame of `width` x `height` px; starts count from 1."""

    name: str
    runs: tuple[int, ...]
    width: int
    height: int

    def read(self) -> bytes:
        return encode_mask_png(self._pixels())

    def digest(self) -> str:
        return digest(self.runs, self.width, self.height)

    def _pixels(self) -> np.ndarray:
        flat = np.zeros(self.width * self.height, bool)
        for start, length in zip(self.runs[::2], self.runs[1::2], strict=True):
            flat[start - 1 : start - 1 + length] = True
        return flat.reshape(self.height, self.width)


@dataclass(frozen=True)
class ScenePicture:
    """A side of a rendered pair, or the mask of what differs between its sides."""

    pair: Pair
    side: Side
    size: int

    @property
    def name(self) -> str:
        return f"scene {self.pair.scene_id}, {self.side}"

    def read(self) -> bytes:
        drawn = _drawn(self.pair, self.size)
        if self.side == "changed":
            return encode_mask_png(drawn.changed)
        return encode((drawn.before if self.side == "before" else drawn.after).image, ".png")

    def digest(self) -> str:
        return digest(ENGINE, self.pair.scene_id, self.pair.task, self.side, self.size)


@lru_cache(maxsize=8)
def _drawn(pair: Pair, size: int) -> Rendered:
    return render_pair(pair, size)


def placed(root: Path, relative: object, sha256: str = "") -> Picture:
    """The picture that a record names below `root`. Nothing is opened, and no name leads out of `root`."""
    if not isinstance(relative, str) or not relative.strip():
        return Absent(repr(relative)[:60], "malformed_record", "no file name", "a path")
    try:
        return FilePicture(inside(root, relative.strip()), sha256)
    except (InputError, OSError) as error:
        reason = "outside_root" if isinstance(error, InputError) else "missing_file"  # a name too long for the system
        return Absent(relative[:120], reason, relative[:120], f"a path below {root}")


def runs(name: str, code: object, width: int, height: int) -> Picture:
    """The mask of a run-length code: numbers, or text with numbers."""
    given = code.split() if isinstance(code, str) else code
    wanted = f"pairs of start (from 1) and length within {width * height} px"
    if not isinstance(given, Sequence) or len(given) % 2:
        return Absent(name, "malformed_mask", type(code).__name__, wanted)
    try:
        numbers = tuple(int(value) for value in given)
    except (TypeError, ValueError):
        return Absent(name, "malformed_mask", "a word among the numbers", wanted)
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    if not all(start >= 1 and length >= 1 and start - 1 + length <= width * height for start, length in pairs):
        return Absent(name, "malformed_mask", "a run beyond the frame", wanted)
    return RunsPicture(name, numbers, width, height)


def pixels(picture: Picture, background: Colour = WHITE) -> np.ndarray:
    """A picture -> uint8 RGB (H, W, 3), upright; what is transparent is laid on `background`.

    Raises:
        Unfit: as `Picture.read` and `core.image.decode`; `seen` names the picture.
    """
    try:
        return decode(picture.read(), LIMITS, background)[0]
    except Unfit as error:
        raise Unfit(error.reason, f"{picture.name}: {error.seen}", error.wanted) from error


def mask_pixels(picture: Picture, channel: Channel = "grey") -> np.ndarray:
    """A mask -> uint8 (h, w), 255 = editable; grey values in between stay, as some protocols weigh by them.

    Raises:
        Unfit: as `pixels`.
    """
    on_black = pixels(picture, BLACK).astype(np.int64)  # (h, w, 3)
    if channel == "alpha":  # what shows through: on white and on black a pixel differs by just as much
        return np.asarray((pixels(picture, WHITE) - on_black).mean(axis=2).round(), np.uint8)
    return np.asarray((on_black @ np.array([19595, 38470, 7471]) + 0x8000) >> 16, np.uint8)  # as Pillow's "L"
