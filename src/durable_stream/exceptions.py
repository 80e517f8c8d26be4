"""Everything that can go wrong with a stream.

StreamError
├── StoreError              the table behind the log
│   ├── StoreUnavailable    does not answer, or throttles: the same call may succeed later
│   └── StoreRefused        refuses: no table, no permission; another try changes nothing
│       └── NoTable         is not there: `sam local` makes no table
├── ProducerFailed          the producer of a stream's events failed
│   └── StepRefused         it broke a rule of steps
├── StepFailed              a step's function raised an exception
├── StreamNotFound          no such stream, or it has expired
├── InputTooLarge           an input that does not fit into a record
├── BadCursor               a position that this stream does not have
└── KeyReused               an idempotency key that came with another input before
"""

import traceback


class StreamError(Exception):
    """The base of all errors of this package.

    `code` is stable, and `message` is for a caller: it says what to do. `detail` is for the
    operator, who finds it in the function's log.
    """

    code: str
    message: str

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.message)


class StoreError(StreamError):
    """Raised when the store fails."""


class StoreUnavailable(StoreError):
    """Raised when the store does not answer; a write may have happened or not."""

    code = "log_unavailable"
    message = "The event log does not answer right now. Send the same request again."


class StoreRefused(StoreError):
    """Raised when the store refuses a request for good."""

    code = "log_refused"
    message = "The event log is not set up: the operator finds the reason in the function's log."


class NoTable(StoreRefused):
    """Raised under `sam local` where nothing says which table is to hold the log."""

    message = "There is no table here, for `sam local` makes none: use `make sam-local`."


class ProducerFailed(StreamError):
    """Raised by a producer that failed.

    A `retryable` failure is tried again. A `free` one is known to have cost nothing. `hint` is
    handed to the writer's next attempt as it is.
    """

    hint: object = None

    def __init__(self, code: str, message: str, *, retryable: bool, free: bool = False) -> None:
        self.code, self.message = code, message
        self.retryable = retryable
        self.free = free
        super().__init__()


def failure_in(group: ExceptionGroup[Exception]) -> ProducerFailed | None:
    """The failure of a producer among the errors of its tasks, if there is one."""
    for error in group.exceptions:
        failure = failure_in(error) if isinstance(error, ExceptionGroup) else error
        if isinstance(failure, ProducerFailed):
            return failure
    return None


class StepFailed(StreamError):
    """Raised by a step whose function raised an exception, now or in an earlier attempt.

    `type` is the exception's name, and `text` its message.
    """

    def __init__(self, name: str, type_: str, text: str) -> None:
        self.type, self.text = type_, text
        super().__init__(f"the step {name!r} raised {type_}: {text}")


class StepRefused(ProducerFailed):
    """Raised where the rules of steps are broken; the stream ends with this error.

    `code` is `diverged`, `step_ambiguous`, `step_invalid`, or `interrupted`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, retryable=False)


class StreamNotFound(StreamError):
    """Raised when a stream does not exist, or has expired."""

    code = "stream_not_found"
    message = "There is no such stream, or it has expired: create a new one."


class InputTooLarge(StreamError):
    """Raised when an input, as the log stores it, exceeds a record."""

    code = "input_too_large"
    message = "The input is too large to be stored: shorten it."


class BadCursor(StreamError):
    """Raised when a cursor is malformed, beyond the stream's end, or of another stream."""

    code = "bad_cursor"

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__()


class KeyReused(StreamError):
    """Raised when an idempotency key comes again with a different input."""

    code = "idempotency_key_reused"

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__()


def described(error: BaseException) -> dict[str, object]:
    """The error's type and stack for the function's log, without its message.

    A message may quote the input or a secret.
    """
    return {"error": type(error).__name__, "frames": traceback.format_tb(error.__traceback__)}


def shortened(stream_id: str) -> str:
    """Enough of a stream id to find its log lines, too little to read the stream with."""
    return stream_id[:8]
