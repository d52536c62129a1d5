"""What is compared: an editor, a folder of outcomes made elsewhere, or the benchmark's own targets.

A contender is cheap to make and picklable; it loads what is heavy in `setup`, in the process that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from insightedit.core.errors import InputError, Unfit
from insightedit.core.files import inside
from insightedit.core.fingerprint import digest
from insightedit.core.seed import derive
from insightedit.editors.editor import Editor
from insightedit.editors.table import make
from insightedit.evaluate.pictures import FilePicture, pixels
from insightedit.evaluate.sample import Sample, source_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class Contender(Protocol):
    """Makes the outcome of a sample."""

    @property
    def label(self) -> str:
        """Its row in tables."""

    @property
    def device(self) -> str | None:
        """Where its networks run ("auto", "cuda", ..), one process a GPU; None: it has none, one process a core."""

    def fingerprint(self) -> str:
        """16 hex digits of whatever decides an outcome besides sample and seed."""

    def key(self, sample: Sample, seed: int) -> str:
        """16 hex digits: equal ones mean equal outcomes.

        Raises:
            Unfit: the sample cannot be read, or there is no outcome; the reason is the sample's status.
        """

    def setup(self) -> None:
        """Load what is heavy."""

    def outcome(self, sample: Sample, seed: int) -> np.ndarray:
        """The outcome, uint8 RGB (H, W, 3).

        Raises:
            Unfit: as `key`.
            InputError, BackendError: the editor failed on this sample.
        """


@dataclass(frozen=True)
class EditorContender:
    """An editor of `editors.table`; each turn of a chain is done to the result of the one before.

    Every sample has a seed of its own, drawn from the run's seed and from what is asked, so that an outcome depends
    neither on the order of samples nor on their names.
    """

    label: str
    editor: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def made(self) -> Editor:
        """The editor; nothing is loaded yet."""
        return make(self.editor, **self.values)

    @property
    def device(self) -> str | None:
        return getattr(self.made.settings, "device", None)

    def fingerprint(self) -> str:
        return self._mark

    @cached_property
    def _mark(self) -> str:
        return self.made.fingerprint()

    def key(self, sample: Sample, seed: int) -> str:
        return digest(self._mark, sample.asked(), seed)

    def setup(self) -> None:
        self.made.setup()

    def outcome(self, sample: Sample, seed: int) -> np.ndarray:
        image, asked = source_of(sample), sample.asked()
        for turn, instruction in enumerate(sample.turns or (sample.instruction,)):
            image = self.made.edit(image, instruction, derive(seed, asked, turn))
        return image

    def __getstate__(self) -> dict[str, Any]:
        """To another process go the settings and the fingerprint, which may take long to find, but no weights."""
        return {**{name: getattr(self, name) for name in ("label", "editor", "values")}, "_mark": self._mark}


@dataclass(frozen=True)
class FolderContender:
    """Outcomes made elsewhere: where the publisher's tools leave them (`Sample.output`), or ID.png, below a folder.

    Of several folders the first that has it counts: some tools write understanding and reasoning to two places.
    """

    label: str
    folders: tuple[Path, ...]
    device: str | None = None

    def fingerprint(self) -> str:
        return digest("folder", [str(folder.resolve()) for folder in self.folders])

    def key(self, sample: Sample, seed: int) -> str:
        if sample.fault is not None:
            raise sample.fault.error()
        return digest("given", self._picture(sample).digest())

    def setup(self) -> None:
        """Nothing is loaded."""

    def outcome(self, sample: Sample, seed: int) -> np.ndarray:
        try:
            return pixels(self._picture(sample))
        except Unfit as error:
            raise Unfit("unreadable", f"{error.reason}: {error.seen}", error.wanted) from error

    def _picture(self, sample: Sample) -> FilePicture:
        names = [sample.output] if sample.output else []
        names += [f"{sample.id}{suffix}" for suffix in SUFFIXES]
        for folder, name in product(self.folders, names):
            try:
                path = inside(folder, name)
                if path.is_file():
                    return FilePicture(path)
            except (InputError, OSError):  # a name that leads out, or is too long: no outcome has it
                continue
        where = " or ".join(map(str, self.folders))
        raise Unfit("missing_output", f"neither {' nor '.join(names[:2])} below {where}", "a picture")


@dataclass(frozen=True)
class ReferenceContender:
    """The benchmark's own targets: what a perfect editor would reach, by the same metrics."""

    label: str = "reference"
    device: str | None = None

    def fingerprint(self) -> str:
        return digest("reference")

    def key(self, sample: Sample, seed: int) -> str:
        self._target(sample)
        return digest("reference", sample.hashes()["target"])

    def setup(self) -> None:
        """Nothing is loaded."""

    def outcome(self, sample: Sample, seed: int) -> np.ndarray:
        self._target(sample)
        assert sample.target is not None
        try:
            return pixels(sample.target)
        except Unfit as error:
            status = "missing_target" if error.reason == "missing_file" else "unreadable"
            raise Unfit(status, error.seen, error.wanted) from error

    def _target(self, sample: Sample) -> None:
        if sample.fault is not None:
            raise sample.fault.error()
        if sample.target is None:
            raise Unfit("missing_target", "the benchmark names none", "a target")
