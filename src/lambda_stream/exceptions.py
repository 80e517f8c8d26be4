"""The errors of this package, between the Runtime API and a handler.

LambdaStreamError
├── InitError               the function cannot start: handler name, import or lifespan failed
├── UnsupportedEvent        the event is not an HTTP request
├── UnexpectedMessage       the application broke the ASGI message order
├── PreludeTooLarge         the application's headers exceed what Lambda reads
├── UnmarshalError          the event is not JSON
│   └── ContextUnmarshalError   the client context or the Cognito identity is not JSON
├── MarshalError            a handler's result is not JSON
├── GarbledResponse         the Runtime API sent something that is not HTTP
├── RuntimeApiError         the Runtime API refused a request
│   ├── InvocationOver      this invocation can no longer be answered; the next one can
│   └── EnvironmentOver     there will be no further invocation; the process must exit
└── ResponseBroken          the connection of a streamed response broke (also an OSError)
"""


class LambdaStreamError(Exception):
    """The base of all errors of this package.

    `error_type` is the type that Lambda reports; None stands for the name of the class.
    """

    error_type: str | None = None


class InitError(LambdaStreamError):
    """Raised when the function cannot be initialised.

    `error_type` is the `category.reason` that the Runtime API's `/init/error` expects.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class UnsupportedEvent(LambdaStreamError):
    """Raised when an event is not an HTTP request that Mangum recognises."""


class UnexpectedMessage(LambdaStreamError):
    """Raised when an ASGI application sends a message that its state does not allow."""


class PreludeTooLarge(LambdaStreamError):
    """Raised when status, headers and cookies together exceed the prelude's limit."""


class UnmarshalError(LambdaStreamError):
    """Raised when the payload of an invocation is declared as JSON and is not."""

    error_type = "Runtime.UnmarshalError"


class ContextUnmarshalError(UnmarshalError):
    """Raised when an invocation's client context or Cognito identity is not JSON."""

    error_type = "Runtime.LambdaContextUnmarshalError"


class MarshalError(LambdaStreamError):
    """Raised when a handler's result cannot be encoded as JSON."""

    error_type = "Runtime.MarshalError"


class GarbledResponse(LambdaStreamError):
    """Raised when a response of the Runtime API cannot be parsed."""


class RuntimeApiError(LambdaStreamError):
    """Raised when the Runtime API refuses a request."""

    def __init__(self, request: str, status: int, body: bytes) -> None:
        text = body.decode("utf-8", "replace").strip()
        super().__init__(f"{request} was answered {status}: {text[:500]}")
        self.status = status


class InvocationOver(RuntimeApiError):
    """Raised when a response is too late or refused: only this invocation is lost."""


class EnvironmentOver(RuntimeApiError):
    """Raised when the Runtime API ends this execution environment."""


class ResponseBroken(LambdaStreamError, OSError):
    """Raised by writing to a streamed response whose connection is lost.

    ASGI requires an OSError: "If send is called on a closed connection, the server should raise
    some subclass of OSError" (ASGI HTTP spec 2.4, Disconnected Client).
    """
