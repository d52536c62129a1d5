"""What a reader of a benchmark gives back, and the base of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from insightedit.core.config import Knobs
from insightedit.evaluate.sample import Sample


@dataclass
class Read:
    """Samples in the publisher's order.

    `missing`: parts that are not there at all, an error unless a partial benchmark is allowed; `remarks`: what a reader
    of the numbers should know about these files.
    """

    samples: list[Sample] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Layout(Knobs):
    """A reader's knobs and the one line that describes the files it reads."""

    LAYOUT: ClassVar[str]

    @classmethod
    def layout(cls) -> str:
        """The expected layout, for errors."""
        return cls.LAYOUT


def text_of(value: object) -> str | None:
    """A text with its white space tidied; None for a blank one and for anything else."""
    tidy = " ".join(value.split()) if isinstance(value, str) else ""
    return tidy or None
