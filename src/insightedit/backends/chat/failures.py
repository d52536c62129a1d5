"""What can go wrong with a request, told apart by what it means for the run.

Three kinds. `ReplyFailure`: asking again would give the same, so it becomes a `Reject` that keeps the reply.
`ServiceFailure`: nothing is wrong with the photograph, a later run may succeed. `RunFailure` and `BudgetReached`: every
further request would fail the same way, so they are a `Stop`.
"""

from __future__ import annotations

from typing import ClassVar

from insightedit.core.errors import BackendError, Stop

LONGEST_QUOTE = 400  # characters of a server's words that an error repeats


class ChatFailure(BackendError):
    """Base of all failures of a request.

    Args:
        what, why, mend: as every error of the toolkit.
        reply: the text that came back, whole, to be kept beside the reject.
        retry_after_s: how long the server asked to be left alone.
    """

    reason: ClassVar[str] = "failed"  # a word for the funnel

    def __init__(self, what: str, why: str, mend: str, reply: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(what, why, mend)
        self.reply, self.retry_after_s = reply, retry_after_s


class ReplyFailure(ChatFailure):
    """About the reply or the request itself: the record leaves as a `Reject`."""


class Refused(ReplyFailure):
    """The model declined, in words (`message.refusal`)."""

    reason = "refused"


class Filtered(ReplyFailure):
    """A content filter stopped the reply, or the request before it."""

    reason = "content_filter"


class Truncated(ReplyFailure):
    """The reply ran into `max_tokens` before its JSON was complete."""

    reason = "truncated"


class Malformed(ReplyFailure):
    """No JSON, or JSON that does not fit the schema, after the repair turn too."""

    reason = "malformed"


class BadRequest(ReplyFailure):
    """The server does not accept this request: 400, 413, 422."""

    reason = "bad_request"


class ServiceFailure(ChatFailure):
    """About the service: tried again with growing pauses, then given up for this run."""


class RateLimited(ServiceFailure):
    """429: too many requests or tokens."""

    reason = "rate_limited"


class ServerFailed(ServiceFailure):
    """5xx, or an answer that is not the protocol's."""

    reason = "server_error"


class TimedOut(ServiceFailure):
    """No whole answer in time."""

    reason = "timeout"


class Unreachable(ServiceFailure):
    """No connection, or one that broke."""

    reason = "connection"


class RunFailure(ChatFailure, Stop):
    """No request of this run can succeed."""


class Denied(RunFailure):
    """401, 403: the key is missing, wrong or not allowed."""

    reason = "denied"


class OutOfCredit(RunFailure):
    """402, or 429 with `insufficient_quota`: waiting does not help, paying does."""

    reason = "out_of_credit"


class WrongEndpoint(RunFailure):
    """404, 405 or a redirect: the base URL or the model's name is wrong."""

    reason = "wrong_endpoint"


class EndpointDown(RunFailure):
    """Many requests in a row were given up: the service is down."""

    reason = "endpoint_down"


class BudgetReached(Stop):
    """The next request could exceed the budget: a clean stop; what was answered is kept."""


def quote(text: str) -> str:
    """A server's words, on one line and no longer than an error should be."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + " ..."


FILTER_CODES = frozenset(["content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked"])
# status -> class, and what the user can do; 429, 5xx and codes are decided in `of_status`
STATUSES: dict[int, tuple[type[ChatFailure], str]] = {
    401: (Denied, "Set a valid key in {key_env}"),
    402: (OutOfCredit, "Add credit, or use another endpoint"),
    403: (Denied, "Use a key in {key_env} that may use this model from this place"),
    404: (WrongEndpoint, "Check base_url (it usually ends in /v1) and the model's name"),
    405: (WrongEndpoint, "Check base_url: it usually ends in /v1"),
    408: (TimedOut, "Try later, or raise timeout_s"),
    409: (ServerFailed, "Try later"),
    425: (ServerFailed, "Try later"),
    413: (BadRequest, "Send smaller images: lower max_side"),
}


def of_status(
    status: int, code: str, message: str, where: str, key_env: str, retry_after_s: float | None
) -> ChatFailure:
    """The failure that an HTTP status and the error object of the body mean.

    Args:
        status: HTTP status, not 200.
        code: `error.code` or `error.type` of the body, or "".
        message: the server's words.
        where: the endpoint as it may be shown.
        key_env: name of the environment variable that holds the key.
        retry_after_s: what the headers ask for.
    """
    kind, mend = STATUSES.get(status, (BadRequest, "Change the request: see the server's words"))
    if status == 429 and code == "insufficient_quota":
        kind, mend = OutOfCredit, "Add credit, or use another endpoint"
    elif status == 429:
        kind, mend = RateLimited, "Lower concurrency, requests_per_minute or tokens_per_minute"
    elif status >= 500 or status < 300:  # an error object under 200 that names no status of its own
        kind, mend = ServerFailed, "Try later; the same command continues"
    elif status < 400:
        kind, mend = WrongEndpoint, "Give the address that it redirects to: redirects are not followed"
    elif code in FILTER_CODES:
        kind, mend = Filtered, "Leave this photograph out"
    why = f"{status} {code}: {quote(message)}" if code else f"{status}: {quote(message)}"
    return kind(f"{where} did not answer", why, mend.format(key_env=key_env), message, retry_after_s)
