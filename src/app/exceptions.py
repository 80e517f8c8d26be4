"""Everything that can go wrong with a stream, as the layers above the log and the model see it.

StreamError
├── LogError                the event log
│   ├── LogUnavailable      does not answer, or throttles: the same call may succeed later
│   └── LogRefused          refuses: no table, no permission; trying again changes nothing
│       └── NoTable         is not there: `sam local` makes no table
├── ProviderError           the model's side
├── SecretError             a secret cannot be had
│   ├── SecretUnavailable   right now
│   └── SecretRefused       not without the operator
├── AccessError             who asks may not
│   ├── Unauthorized        does not say who it is, or not credibly
│   └── TokenExpired        holds a stream's token that has expired
├── LimitExceeded           who asks may, but not now
├── BeyondBudget            who asks may not ask for so much, on any day
├── StreamNotFound          no such stream, or it has expired, or is somebody else's
├── RequestTooLarge         a request that does not fit into a record
├── BadCursor               a position that this stream does not have
└── KeyReused               an idempotency key that came with another request before
"""

from typing import ClassVar, Literal


class StreamError(Exception):
    """The base of all errors of this application."""


class LogError(StreamError):
    """Raised when the event log fails; `code` is stable."""

    code: ClassVar[str]


class LogUnavailable(LogError):
    """Raised when the log does not answer; whether a write happened is not known."""

    code = "log_unavailable"


class LogRefused(LogError):
    """Raised when the log refuses a request for good."""

    code = "log_refused"


class NoTable(LogRefused):
    """Raised under `sam local` where nothing says which table is to hold the log."""


class ProviderError(StreamError):
    """Raised when the model's answer fails.

    `code` is stable and `message` is for the reader: it tells the next step and leaks nothing.
    `at_work` says that the model may have been at work, though the code alone would exclude it.
    `output_tokens` is how many tokens it had said, None where the provider has not told.
    """

    output_tokens: int | None = None

    def __init__(self, code: str, message: str, *, retryable: bool, at_work: bool = False) -> None:
        super().__init__(message)
        self.at_work = at_work
        self.code = code
        self.message = message
        self.retryable = retryable


class SecretError(StreamError):
    """Raised when a secret cannot be had; `code` is stable."""

    code: ClassVar[str]


class SecretUnavailable(SecretError):
    """Raised when a store of secrets does not answer, or throttles."""

    code = "secret_unavailable"


class SecretRefused(SecretError):
    """Raised when there is no such secret, or it may not be read, or makes no sense."""

    code = "secret_refused"


class AccessError(StreamError):
    """Raised when somebody asks for what is not theirs."""


class Unauthorized(AccessError):
    """Raised when somebody does not say who they are, or not credibly."""


class TokenExpired(AccessError):
    """Raised when a stream's token was good once."""


LimitCode = Literal["rate_limited", "budget_spent", "reads_limited"]


class LimitExceeded(StreamError):
    """Raised when a request would exceed a limit, which is free again in `retry_after` seconds."""

    def __init__(self, code: LimitCode, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


class BeyondBudget(StreamError):
    """Raised when one request may cost more tokens than a whole day has."""


class StreamNotFound(StreamError):
    """Raised when a stream does not exist, has expired, or is somebody else's."""


class RequestTooLarge(StreamError):
    """Raised when a request, as the log stores it, exceeds a record."""


class BadCursor(StreamError):
    """Raised when a cursor is malformed, beyond the stream's end, or of another stream."""


class KeyReused(StreamError):
    """Raised when an idempotency key comes again with a different request."""
