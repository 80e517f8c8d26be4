"""The errors of this application, beside those of `durable_stream`.

AppError                    a request is answered with it
├── RequestRefused          a route refuses the request
├── RetryLater              the caller may, but not now
├── SecretError             a secret cannot be had
│   ├── SecretUnavailable   right now
│   └── SecretRefused       not without the operator
├── Unauthorized            the caller shows no valid credentials
└── TokenExpired            the caller holds a stream's token that has expired

ProviderError               the model's side; a ProducerFailed of the engine
"""

from collections.abc import Mapping
from typing import ClassVar

from durable_stream import ProducerFailed

_BEARER: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class ProviderError(ProducerFailed):
    """Raised when the model's answer fails.

    `output_tokens` is the number of tokens that it had generated, None where the
    provider did not report them.
    """

    output_tokens: int | None = None


class AppError(Exception):
    """The base of the errors that a request is answered with.

    `status` is HTTP's, `code` is stable, and `message` names the next step. `detail` is for the
    operator, who finds it in the function's log.
    """

    status: int
    code: str
    message: str
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.message)


class RequestRefused(AppError):
    """Raised by a route to refuse a request.

    `param` names the member of the body that is at fault, where one is.
    """

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        self.status, self.code, self.message, self.param = status, code, message, param
        super().__init__()


class RetryLater(AppError):
    """Raised when the caller may try again in `retry_after` seconds."""

    status = 429

    def __init__(self, code: str, message: str, *, retry_after: int) -> None:
        self.code, self.message, self.retry_after = code, message, retry_after
        super().__init__()


class SecretError(AppError):
    """Raised when a secret cannot be had."""


class SecretUnavailable(SecretError):
    """Raised when a store of secrets does not answer, or throttles."""

    status = 503
    code = "secret_unavailable"
    message = "Who may do what cannot be found out right now. Send the same request again."
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "2"}


class SecretRefused(SecretError):
    """Raised when there is no such secret, or it may not be read, or makes no sense."""

    status = 500
    code = "secret_refused"
    message = "The API tokens are not set up: the operator finds the reason in the function's log."


class Unauthorized(AppError):
    """Raised when a caller shows no valid credentials."""

    status = 401
    code = "unauthorized"
    message = (
        "This needs an API token, sent as Authorization: Bearer <token>; or, to read a stream "
        "that exists, the address that it was created with."
    )
    headers: ClassVar[Mapping[str, str]] = _BEARER


class TokenExpired(AppError):
    """Raised when a stream's token was good once."""

    status = 401
    code = "token_expired"
    message = "The token in this address has expired, and the stream with it: create a new one."
    headers: ClassVar[Mapping[str, str]] = _BEARER
