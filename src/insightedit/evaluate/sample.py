"""The common form of all benchmarks: a sample is a picture, what to do with it, and what is known of the outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from insightedit.core.errors import ConfigError, Unfit
from insightedit.core.fingerprint import digest
from insightedit.core.lookup import suggest
from insightedit.evaluate.pictures import Channel, Picture, mask_pixels, pixels

PARTS = ("source", "target", "mask")
SKEW = 0.03  # relative difference of aspect ratios that rounding sides down to multiples of 8 explains
SEEN = 128  # of 255: a mask that reaches this nowhere marks nothing; JPEG leaves noise below

# What may be wrong with a sample; the words of `metrics.outcome.Status` where they mean the same.
STATUSES = {
    "duplicate_id": "an earlier sample has this id",
    "malformed_record": "a field is missing or of another kind",
    "no_instruction": "there is nothing to do",
    "missing_source": "the picture to edit is not there",
    "missing_target": "the picture that should come out is not there",
    "missing_mask": "the mask is not there",
    "outside_root": "a path leads out of the benchmark's folder",
    "changed_file": "a picture is not the one whose SHA-256 the benchmark states",
    "unreadable": "a picture cannot be decoded",
    "wrong_target_size": "the target's aspect ratio is not the source's",
    "wrong_mask_size": "the mask's aspect ratio is not the source's",
    "empty_mask": "the mask marks nothing",
    "missing_output": "the editor gave no picture",
    "failed": "the editor failed on it",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a sample: a word of `STATUSES`, and the details on one line."""

    status: str
    why: str

    @classmethod
    def of(cls, error: Unfit, part: str = "source") -> Fault:
        """What an `Unfit` about one of a sample's parts says."""
        status = f"missing_{part}" if error.reason == "missing_file" else error.reason
        why = f"{part}: {error.reason} ({error.seen}; wanted: {error.wanted})"
        return cls(status if status in STATUSES else "unreadable", why)

    def error(self) -> Unfit:
        """As an exception."""
        return Unfit(self.status, self.why, STATUSES[self.status])


@dataclass(frozen=True)
class Sample:
    """One edit that is asked for.

    Attributes:
        id: unique within the benchmark; never a path.
        category: what the publisher reports apart: a scenario, a type of edit, a number of turns.
        source, target, mask: pictures; white (or, `mask_in` "alpha", see-through) places of the mask may change.
        instruction: what to do; of several turns, all of them in one text.
        turns: of a chain, every instruction, each for the result of the one before; empty where there is one edit.
        turn: which turn of its session a single edit is, from 1.
        session: samples of one session share a photograph.
        split: "understanding", "advanced", ..; "" where there are none.
        clip_text: what CLIPScore compares the outcome with; None: the publisher names no text.
        output: where the publisher's own tools leave the outcome, below a folder of outputs; "" if unknown.
        fault: why it cannot be used; None: nothing is known against it.
        meta: whatever else the benchmark says.
    """

    id: str
    benchmark: str
    category: str
    source: Picture
    instruction: str
    target: Picture | None = None
    mask: Picture | None = None
    mask_in: Channel = "grey"
    split: str = ""
    caption_source: str | None = None
    caption_target: str | None = None
    clip_text: str | None = None
    turns: tuple[str, ...] = ()
    turn: int = 1
    session: str = ""
    output: str = ""
    fault: Fault | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def asked(self) -> str:
        """16 hex digits of what an editor is given: the source's pixels as stored, and the words.

        Raises:
            Unfit: the source cannot be read, or the sample has a fault.
        """
        if self.fault is not None:
            raise self.fault.error()
        try:
            return digest("asked", self.source.digest(), self.instruction, self.turns)
        except Unfit as error:
            raise Fault.of(error).error() from error

    def hashes(self) -> dict[str, str]:
        """Part -> digest of its picture; of one that cannot be read, the reason."""
        return {part: _digest(picture) for part in PARTS if (picture := getattr(self, part)) is not None}

    def content(self) -> str:
        """16 hex digits of everything that a score may depend on, besides the outcome."""
        words = (self.instruction, self.turns, self.caption_source, self.caption_target, self.clip_text)
        return digest("sample", self.benchmark, self.id, self.mask_in, words, self.hashes())


@dataclass(frozen=True)
class Group:
    """Samples that are averaged together: those of some categories and splits (none named: all).

    `weight_by_size`: True pools the samples; False is the unweighted mean of the means of its categories.
    """

    name: str
    categories: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    weight_by_size: bool = True

    def takes(self, sample: Sample) -> bool:
        """Whether a sample belongs to it."""
        return (not self.categories or sample.category in self.categories) and (
            not self.splits or sample.split in self.splits
        )


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that was read.

    Attributes:
        version: of the file that describes it; raised whenever a number could change.
        profiles: of metrics, the default first.
        missing: what is short of the whole; empty if nothing is.
        remarks: what a reader of its numbers should know.
        settings: of the reader, as far as they decide which samples there are.
    """

    name: str
    version: int
    title: str
    samples: tuple[Sample, ...]
    profiles: tuple[str, ...]
    groups: tuple[Group, ...]
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def categories(self) -> tuple[str, ...]:
        """In the order in which samples bring them."""
        return tuple(dict.fromkeys(sample.category for sample in self.samples))

    def members(self, group: Group) -> list[Sample]:
        """The samples of a group."""
        return [sample for sample in self.samples if group.takes(sample)]

    def fingerprint(self) -> str:
        """16 hex digits of name, version, and what every sample says of itself; opens no picture."""
        said = [
            (one.id, one.category, one.split, one.instruction, one.turns, one.clip_text, one.meta)
            for one in self.samples
        ]
        return digest("benchmark", self.name, self.version, said)

    def first(self, limit: int | float) -> Benchmark:
        """A part for trying things: `limit` samples (a share of all, if below 1), taken from each category in turn.

        Raises:
            ConfigError: `limit` is not positive.
        """
        if limit <= 0:
            raise ConfigError(f"a limit of {limit} samples", "it must be positive", "Use --limit 20 or --limit 0.1")
        count = -int(-limit * len(self) // 1) if limit < 1 else int(limit)
        chosen = {sample.id for sample in list(self._in_turn())[:count]}
        return self._only(chosen)

    def named(self, ids: Sequence[str]) -> Benchmark:
        """The samples of those ids.

        Raises:
            ConfigError: one is not there; the nearest is suggested.
        """
        known = {sample.id for sample in self.samples}
        for name in ids:
            if name not in known:
                near = suggest(name, known).split(" Known:")[0] if len(known) > 20 else suggest(name, known)
                raise ConfigError(f"no sample '{name}' in benchmark '{self.name}'", "no sample has that id", near)
        return self._only(set(ids))

    def _only(self, ids: Collection[str]) -> Benchmark:
        kept = tuple(sample for sample in self.samples if sample.id in ids)
        left = f"only {len(kept)} of {len(self)} samples were asked for"
        return Benchmark(**{**self.__dict__, "samples": kept, "remarks": (*self.remarks, left)})

    def _in_turn(self) -> Iterator[Sample]:
        by_category = [[one for one in self.samples if one.category == name] for name in self.categories]
        return (sample for row in zip_longest(*by_category) for sample in row if sample is not None)


@dataclass(frozen=True, eq=False)
class Shown:
    """A sample's pictures. They may differ in size by a common factor: each profile says what it makes of that.

    Attributes:
        source: uint8 RGB (H, W, 3).
        target: uint8 RGB, or None where there is none or it was not asked for.
        mask: uint8 (h, w), 255 = editable; grey values as stored; or None.
        gaps: "target" or "mask" -> why it is None although the benchmark names it.
    """

    source: np.ndarray
    target: np.ndarray | None = None
    mask: np.ndarray | None = None
    gaps: Mapping[str, Fault] = field(default_factory=dict)


def source_of(sample: Sample) -> np.ndarray:
    """The picture to edit, uint8 RGB (H, W, 3).

    Raises:
        Unfit: the sample's own fault; missing_source, unreadable, ..: the reason is a word of `STATUSES`.
    """
    if sample.fault is not None:
        raise sample.fault.error()
    try:
        return pixels(sample.source)
    except Unfit as error:
        raise Fault.of(error).error() from error


def shown(sample: Sample, parts: Collection[str] = PARTS) -> Shown:
    """Read a sample's pictures and check them against the source; a broken mask does not cost the metrics without one.

    Args:
        sample: of a benchmark.
        parts: those that are wanted.

    Raises:
        Unfit: as `source_of`.
    """
    source = source_of(sample)  # (H, W, 3)
    found, gaps = dict[str, np.ndarray](), dict[str, Fault]()
    for part in ("target", "mask"):
        picture: Picture | None = getattr(sample, part)
        if picture is None or part not in parts:
            continue
        try:
            image = pixels(picture) if part == "target" else mask_pixels(picture, sample.mask_in)
            _check(part, image, source)
            found[part] = image
        except Unfit as error:
            gaps[part] = Fault.of(error, part)
    return Shown(source, gaps=gaps, **found)


def status(sample: Sample, parts: Collection[str] = PARTS) -> Fault | None:
    """The first thing that is wrong with a sample, or None; reads its pictures."""
    try:
        return next(iter(shown(sample, parts).gaps.values()), None)
    except Unfit as error:
        return Fault(error.reason, error.seen)


def _check(part: str, image: np.ndarray, source: np.ndarray) -> None:
    (height, width), (other_height, other_width) = image.shape[:2], source.shape[:2]
    if abs(width * other_height / (height * other_width) - 1) > SKEW:
        wanted = f"the aspect ratio of the source, {other_width} x {other_height} px"
        raise Unfit(f"wrong_{part}_size", f"{width} x {height} px", wanted)
    if part == "mask" and image.max() < SEEN:
        raise Unfit("empty_mask", f"no value above {image.max()}", "white where the edit may be")


def _digest(picture: Picture) -> str:
    try:
        return picture.digest()
    except Unfit as error:
        return f"none: {error.reason}"
