"""Everything that can go wrong with a stream, as the layers above the log and the model see it.

StreamError
├── LogError                the event log
│   ├── LogUnavailable      does not answer, or throttles: the same call may succeed later
│   └── LogRefused          refuses: no table, no permission; trying again changes nothing
├── ProviderError           the model's side
├── StreamNotFound          no such stream, or it has expired
├── RequestTooLarge         a request that does not fit into a record
├── BadCursor               a position that this stream does not have
└── KeyReused               an idempotency key that came with another request before
"""


class StreamError(Exception):
    """The base of all errors of this application."""


class LogError(StreamError):
    """Raised when the event log fails."""


class LogUnavailable(LogError):
    """Raised when the log does not answer; whether a write happened is not known."""


class LogRefused(LogError):
    """Raised when the log refuses a request for good."""


class ProviderError(StreamError):
    """Raised when the model's answer fails.

    `code` is stable and `message` is for the reader: it tells the next step and leaks nothing.
    """

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class StreamNotFound(StreamError):
    """Raised when a stream does not exist or has expired."""


class RequestTooLarge(StreamError):
    """Raised when a request, as the log stores it, exceeds a record."""


class BadCursor(StreamError):
    """Raised when a cursor is malformed, beyond the stream's end, or of another stream."""


class KeyReused(StreamError):
    """Raised when an idempotency key comes again with a different request."""
