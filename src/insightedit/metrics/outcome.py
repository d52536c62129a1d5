"""What became of one metric on one sample: a value, or the reason why there is none."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """A word for the report. Everything but `OK` and `NOT_APPLICABLE` counts against the coverage of a run."""

    OK = "ok"
    NOT_APPLICABLE = "not_applicable"  # the benchmark says that this metric means nothing for this sample
    MISSING_OUTPUT = "missing_output"  # the editor gave no picture
    MISSING_SOURCE = "missing_source"
    MISSING_TARGET = "missing_target"
    MISSING_MASK = "missing_mask"
    MISSING_TEXT = "missing_text"
    MISSING_REPLY = "missing_reply"  # the judge was not asked
    UNREADABLE = "unreadable"
    WRONG_SIZE = "wrong_size"  # the edited picture is of another size than its profile allows
    WRONG_MASK_SIZE = "wrong_mask_size"
    TOO_SMALL = "too_small"  # for this metric
    EMPTY_MASK = "empty_mask"
    EMPTY_CROP = "empty_crop"  # the published box of the mask has no width or no height
    NO_BACKGROUND = "no_background"  # the mask covers all that could be measured
    UNAVAILABLE = "unavailable"  # weights or libraries are not there
    FAILED = "failed"  # a network failed, or gave no number
    # what a judge does instead of answering; the words of backends.chat.failures
    REFUSED = "refused"
    CONTENT_FILTER = "content_filter"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    BAD_REQUEST = "bad_request"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"


class Outcome(NamedTuple):
    """A value with status "ok", or no value and why.

    Infinities are values: a PSNR of equal pictures is one. They are counted, not averaged (`metrics.summary`).
    """

    value: float | None
    status: Status = Status.OK
    why: str = ""


Scores = dict[str, Outcome]  # of one sample, by metric


class Gap(Exception):
    """One metric, or all of one sample, has no value.

    Args:
        status: the word for the report.
        why: what was seen.
    """

    def __init__(self, status: Status, why: str = "") -> None:
        self.status, self.why = status, why
        super().__init__(status, why)

    @property
    def outcome(self) -> Outcome:
        return Outcome(None, self.status, self.why)


def valued(value: float) -> Outcome:
    """A value as an outcome; what is no number is a failure and no value."""
    if math.isnan(value):
        return Outcome(None, Status.FAILED, "the result is not a number")
    return Outcome(float(value))


def status_of(scores: Scores) -> Status:
    """One word for a sample: the first thing that is wrong with it, else "ok"."""
    fine = (Status.OK, Status.NOT_APPLICABLE)
    return next((outcome.status for outcome in scores.values() if outcome.status not in fine), Status.OK)
