"""Small copies of a benchmark's pictures and of its outcomes, made once, under names of their content."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from insightedit.core.errors import Unfit
from insightedit.core.files import TEMPORARY
from insightedit.core.fingerprint import digest
from insightedit.core.image import fit_within
from insightedit.core.page import outline
from insightedit.evaluate.generate import Generated
from insightedit.evaluate.pictures import FilePicture, Picture, mask_pixels, pixels
from insightedit.evaluate.sample import SEEN, Fault, Sample

SIDE = 384  # px, longer side at most
QUALITY = 88
TINY = 128  # px: pictures up to here are shown as squares, so their JPEG must not smear
FRAME = 256  # px: an outline is drawn in a frame at least so large
LONGEST = 700  # characters of an outline's path, as far as a coarser one can do it
NAME = re.compile(r"[0-9a-f]{16}\.jpg")


@dataclass(frozen=True)
class Thumbnail:
    """A file below the folder of thumbnails, and its size in px."""

    file: str
    width: int
    height: int


@dataclass(frozen=True)
class Views:
    """All pictures of one sample; None where there is none that can be read.

    Attributes:
        outcomes: by label of the editor.
        outline: SVG path around the mask in a frame of `frame` px; "" without a mask.
        frame: width and height; the source's own, enlarged where it is tiny.
        fault: why there is no source.
    """

    source: Thumbnail | None
    target: Thumbnail | None
    outcomes: Mapping[str, Thumbnail | None]
    outline: str
    frame: tuple[int, int]
    fault: str = ""


def make(folder: Path, samples: Iterable[Sample], outputs: Mapping[str, Generated]) -> list[Views]:
    """Thumbnails of some samples, in their order; those in the folder that are of none of them are removed.

    Args:
        folder: for the files.
        samples: of the benchmark.
        outputs: what each editor made, by label.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoders and resizing let go of the interpreter
        found = list(pool.map(lambda sample: _views(folder, sample, outputs), samples))
    named = {one.file for views in found for one in (views.source, views.target, *views.outcomes.values()) if one}
    for path in folder.iterdir():
        if NAME.fullmatch(path.name) and path.name not in named:
            path.unlink()
    return found


def _views(folder: Path, sample: Sample, outputs: Mapping[str, Generated]) -> Views:
    source, fault = None, sample.fault
    try:
        source = _thumbnail(folder, sample.source, sample.source.digest())
    except Unfit as error:
        fault = fault or Fault.of(error)
    outcomes = {label: _outcome(folder, made, sample.id) for label, made in outputs.items()}
    longer = max(source.width, source.height) if source else SIDE
    factor = -(-FRAME // longer)
    frame = (source.width * factor, source.height * factor) if source else (SIDE, SIDE)
    said = f"{fault.status}: {fault.why}" if fault else ""
    return Views(source, _quiet(folder, sample.target), outcomes, _outline(sample, *frame), frame, said)


def _outcome(folder: Path, made: Generated, sample_id: str) -> Thumbnail | None:
    outcome = made.outcomes.get(sample_id)
    if outcome is None:
        return None
    try:
        return _thumbnail(folder, FilePicture(made.folder / outcome.file), outcome.sha256)
    except Unfit:
        return None  # its status says what is wrong


def _quiet(folder: Path, picture: Picture | None) -> Thumbnail | None:
    """A thumbnail, or None: a target that cannot be read is the status of the metrics that need it."""
    try:
        return None if picture is None else _thumbnail(folder, picture, picture.digest())
    except Unfit:
        return None


def _thumbnail(folder: Path, picture: Picture, content: str) -> Thumbnail:
    path = folder / f"{digest('thumbnail', SIDE, QUALITY, content)[:16]}.jpg"
    with suppress(OSError), Image.open(path, formats=("JPEG",)) as known:  # not there, or damaged: it is made again
        return Thumbnail(path.name, *known.size)
    small = fit_within(pixels(picture), SIDE)  # (h, w, 3)
    height, width = small.shape[:2]
    buffer = io.BytesIO()
    quality = 95 if max(width, height) <= TINY else QUALITY
    Image.fromarray(small).save(buffer, "JPEG", quality=quality, subsampling=0)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{id(buffer)}{TEMPORARY}")  # two samples may share a source
    unfinished.write_bytes(buffer.getvalue())
    os.replace(unfinished, path)
    return Thumbnail(path.name, width, height)


def _outline(sample: Sample, width: int, height: int) -> str:
    """As fine as fits; a mask that cannot be read has none, and is the status of the metrics that need it."""
    if sample.mask is None:
        return ""
    try:
        mask: np.ndarray = mask_pixels(sample.mask, sample.mask_in) >= SEEN  # (h, w)
    except Unfit:
        return ""
    path = ""
    for tolerance in (0.8, 1.6, 3.2, 6.4):
        path = outline(mask, width, height, tolerance)
        if len(path) <= LONGEST:
            break
    return path
