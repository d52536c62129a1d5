"""What a published dataset promises, each promise with the check that can break it.

A check looks at one row and says why it fails, or nothing. It knows the columns and trusts no value in them.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from insightedit.construct.reverify import Verifier, unverified
from insightedit.construct.tally import CLIP_SCORES
from insightedit.core.errors import Unfit
from insightedit.core.image import JPEG_BLOCK, Limits, decode
from insightedit.core.record import SCHEMA_VERSION, Record
from insightedit.metrics.pixel import block_grid

SHOWN = 5  # failures named per promise; all are counted
ADVANCED_WORDS = 20
ANY_SIZE = Limits(min_side=1)

PROMISES = {
    "files": "every parquet file is whole and none of a numbered series is missing",
    "manifest": "every file is the one that manifest.json names, byte for byte",
    "schema": "every file has the columns and types of this version",
    "ids unique": "no edit_id appears twice",
    "split": "every row's split is that of its file",
    "clusters": "no source_cluster lies in two splits",
    "images decode": "both images decode, have the stated size and the stated SHA-256",
    "mask": "the mask decodes, is not empty, has the images' size and the stated box",
    "equal outside": f"the images are bit-equal outside the mask, rounded out to the {JPEG_BLOCK}-px JPEG grid",
    "changed inside": "the images differ inside the mask",
    "instructions": "each kept direction has an instruction, none is blank, and one direction is kept at least",
    "advanced short": f"no advanced instruction has more than {ADVANCED_WORDS} words",
    "advanced unique": "the formula of each advanced instruction picks out exactly the edited object, evaluated again",
    "licence": "every row states a licence",
    "scores": "every score that is given lies in its range",
}

_SHARE, _COSINE = (0.0, 1.0), (-1.0, 1.0)
_POINTS = (0.0, 10.0)  # VIEScore counts to 5 or to 10, by the prompt
RANGES = {
    "mask_area": _SHARE, "border_touch": _SHARE, "quality": _SHARE, "residue": _SHARE, "changed": (0.0, 255.0),
    "outside_psnr": (0.0, math.inf), "seam": (-math.inf, math.inf), "texture": (-math.inf, math.inf),
    "det_score": _SHARE, "mask_score": _SHARE, "sc_fwd_follow": _POINTS, "sc_fwd_overedit": _POINTS,
    "sc_rev_follow": _POINTS, "sc_rev_overedit": _POINTS, "pq_natural": _POINTS, "pq_artifact": _POINTS,
    "o_fwd": _POINTS, "o_rev": _POINTS, **dict.fromkeys(CLIP_SCORES, _COSINE),
}  # fmt: skip


class Failure(Record):
    """One thing that breaks a promise."""

    at: str  # edit_id, or the file
    why: str


class Promise(Record):
    """One promise: whether it holds, over how many rows or files, and what breaks it."""

    name: str
    says: str
    holds: bool
    checked: int
    failed: int
    failures: list[Failure]  # the first few
    note: str = ""


@dataclass
class Book:
    """Counts checks and failures per promise."""

    _checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROMISES, 0))
    _failed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROMISES, 0))
    _failures: dict[str, list[Failure]] = field(default_factory=lambda: {name: [] for name in PROMISES})
    _notes: dict[str, str] = field(default_factory=dict)

    def check(self, promise: str, at: str, why: str | None) -> None:
        """Count one check; `why` says how it failed, None that it did not."""
        self._checked[promise] += 1
        if why is None:
            return
        self._failed[promise] += 1
        if len(self._failures[promise]) < SHOWN:
            self._failures[promise].append(Failure(at=at, why=why))

    def note(self, promise: str, text: str) -> None:
        """Say something about a promise as a whole."""
        self._notes[promise] = text

    def promises(self) -> list[Promise]:
        """All promises, in their order."""
        return [
            Promise(
                name=name,
                says=says,
                holds=not self._failed[name],
                checked=self._checked[name],
                failed=self._failed[name],
                failures=self._failures[name],
                note=self._notes.get(name, ""),
            )
            for name, says in PROMISES.items()
        ]


Row = dict[str, Any]
Found = tuple[str, str | None]  # promise, why it fails


def check_row(row: Row, languages: Mapping[str, Verifier] = {}) -> list[Found]:
    """Every promise that one row can break on its own. Safe to call from several threads.

    Args:
        row: as read from parquet.
        languages: see `inspection.inspect`.
    """
    words: list[tuple[str, Callable[[Row], str | None]]] = [
        ("instructions", instructions),
        ("advanced short", advanced),
        ("advanced unique", lambda row: unverified(row, languages)),
        ("licence", licence),
        ("scores", scores),
    ]
    return [*check_pixels(row), *((promise, check(row)) for promise, check in words)]


# --- pixels ----------------------------------------------------------------------------------------------------------


def check_pixels(row: Row) -> Iterator[Found]:
    """The promises about images. What cannot be decoded fails its own promise and leaves those behind it unchecked."""
    sides, why = [], []
    for name in ("source", "edited"):
        pixels, broken = _image(row, name)
        sides.append(pixels)
        why += [broken] if broken else []
    yield "images decode", "; ".join(why) or None
    mask, broken = _mask(row)
    yield "mask", broken
    source, edited = sides
    if source is None or edited is None or mask is None or not source.shape[:2] == edited.shape[:2] == mask.shape:
        return
    apart = source ^ edited  # (H, W, 3); `any(axis=2)` takes five times as long as two ors
    differ = (apart[..., 0] | apart[..., 1] | apart[..., 2]) > 0  # (H, W)
    outside = differ & ~block_grid(mask)
    yield "equal outside", _leak(outside) if outside.any() else None
    yield "changed inside", None if (differ & mask).any() else "not one pixel differs inside the mask"


def _bytes(row: Row, column: str) -> bytes:
    return (row[column] or {}).get("bytes") or b""


def _image(row: Row, name: str) -> tuple[np.ndarray | None, str | None]:
    """Pixels of one side, and why it breaks its promise."""
    data = _bytes(row, f"{name}_image")
    try:
        pixels, size = decode(data, ANY_SIZE)
    except Unfit as unfit:
        return None, f"{name}: {unfit.reason.replace('_', ' ')} ({unfit.seen})"
    if size != (row["width"], row["height"]):
        return pixels, f"{name}: is {size[0]} x {size[1]}, states {row['width']} x {row['height']}"
    if hashlib.sha256(data).hexdigest() != row[f"{name}_sha256"]:
        return pixels, f"{name}: its SHA-256 is not {name}_sha256"
    return pixels, None


def _mask(row: Row) -> tuple[np.ndarray | None, str | None]:
    """The mask as bool (H, W), and why it breaks its promise."""
    try:
        image = Image.open(io.BytesIO(_bytes(row, "mask")), formats=("PNG",))
        if image.size != (row["width"], row["height"]):  # known from the header, before any pixel is decoded
            return None, f"is {image.width} x {image.height}, the images {row['width']} x {row['height']}"
        pixels = np.asarray(image.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what the PNG reader raises
        return None, f"is no whole PNG ({type(error).__name__})"
    mask = pixels > 0
    if not mask.any():
        return mask, "is empty"
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1]
    stated = row["bbox_xywh"]
    return mask, None if stated == box else f"its box is {box} (x, y, w, h), bbox_xywh states {stated}"


def _leak(outside: np.ndarray) -> str:
    y, x = (int(place[0]) for place in np.nonzero(outside))
    return f"{int(outside.sum())} pixels differ outside, the first at x {x}, y {y}"


# --- words and numbers -----------------------------------------------------------------------------------------------


def instructions(row: Row) -> str | None:
    """Each kept direction says something."""
    kept = [way for way in ("fwd", "rev") if row[f"keep_{way}"]]
    if not kept:
        return "no direction is kept"
    for way in kept:
        sentences = [*(row[f"instr_{way}_simple"] or ()), *(row[f"instr_{way}_advanced"] or ())]
        if not sentences:
            return f"keep_{way} is set, and no instr_{way}_simple or instr_{way}_advanced is given"
        if any(not (sentence or "").strip() for sentence in sentences):
            return f"an instruction of the {way} direction is blank"
    return None


def advanced(row: Row) -> str | None:
    """Advanced instructions are short enough."""
    for way in ("fwd", "rev"):
        for sentence in row[f"instr_{way}_advanced"] or ():
            words = len((sentence or "").split())
            if words > ADVANCED_WORDS:
                return f"{words} words: {sentence[:80]}..."
    return None


def licence(row: Row) -> str | None:
    """A licence is stated, be it "unknown"."""
    missing = [name for name in ("license", "license_url") if row[name] is None]
    if missing:
        return f"{' and '.join(missing)} is null"
    return None if row["license"].strip() else "license is empty"


def scores(row: Row) -> str | None:
    """Scores are null or numbers of their range."""
    for name, (least, most) in RANGES.items():
        value = row.get(name)
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            return f"{name} is {value:g}, not in {least:g}..{most:g}"
    version = row["schema_version"]
    return None if version == SCHEMA_VERSION else f"schema_version is {version}, not {SCHEMA_VERSION}"
