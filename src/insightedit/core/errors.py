"""Errors that say what happened, why, and how to mend it."""

from __future__ import annotations


class InsightEditError(Exception):
    """Base of every error that a user may see.

    Args:
        what: what could not be done, in one clause.
        why: the cause as far as it is known.
        mend: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, why: str, mend: str) -> None:
        self.what, self.why, self.mend = what, why, mend
        super().__init__(what, why, mend)  # all three, so that the error survives pickling between processes

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.mend}"


class ConfigError(InsightEditError):
    """A configuration file, a `--set` or an option is wrong."""

    exit_code = 2


class InputError(InsightEditError):
    """Photographs, annotations or a dataset cannot be read as a whole."""

    exit_code = 2


class OutputError(InsightEditError):
    """The output folder cannot be written, or holds something else."""


class BackendError(InsightEditError):
    """A back end (classical or neural) could not answer."""


class Stop(BackendError):
    """No further question of this run can be answered: the budget is spent, the key refused, the service down.

    Steps let it through instead of rejecting an item for it. The run then begins nothing new, waits for what is under
    way and ends with this error; what is finished stays, and the same command continues.
    """


class UnknownName(ConfigError):
    """A name that is not in a table; see `core.lookup.pick`."""


class Unfit(Exception):
    """One photograph or one part of it is unfit; becomes a `Reject`, never stops a run.

    Args:
        reason: a word with underscores, counted in the funnel.
        seen: what was found.
        wanted: what would have been accepted.
    """

    def __init__(self, reason: str, seen: str = "", wanted: str = "") -> None:
        self.reason, self.seen, self.wanted = reason, seen, wanted
        super().__init__(reason, seen, wanted)

    def __str__(self) -> str:
        return f"{self.reason}: {self.seen}, wanted {self.wanted}"


def one_line(error: BaseException, limit: int = 300) -> str:
    """What an exception says, on one line, cut to `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
