"""Everything that can go wrong between the Runtime API and a handler.

LambdaStreamError
├── InitError               the function cannot start: its handler, its import, its lifespan
├── UnsupportedEvent        the event is not an HTTP request
├── UnexpectedMessage       the application broke the ASGI message order
├── PreludeTooLarge         the application's headers exceed what Lambda reads
├── UnmarshalError          the event is not JSON
│   └── ContextUnmarshalError   what the context is made of is not JSON
├── MarshalError            a handler's result is not JSON
├── GarbledResponse         the Runtime API sent something that is not HTTP
├── RuntimeApiError         the Runtime API refused a request
│   ├── InvocationOver      this invocation can no longer be answered; the next one can
│   └── EnvironmentOver     no invocation will come any more; the process must exit
└── ResponseBroken          the connection of a streamed response broke (also an OSError)
"""


class LambdaStreamError(Exception):
    """The base of all errors of this package.

    `error_type` is the name it is reported by to Lambda; None stands for the class's own.
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
    """Raised when an invocation's payload is not the JSON it claims to be."""

    error_type = "Runtime.UnmarshalError"


class ContextUnmarshalError(UnmarshalError):
    """Raised when an invocation's client context or Cognito identity is not JSON."""

    error_type = "Runtime.LambdaContextUnmarshalError"


class MarshalError(LambdaStreamError):
    """Raised when a handler's result cannot be encoded as JSON."""

    error_type = "Runtime.MarshalError"


class GarbledResponse(LambdaStreamError):
    """Raised when what the Runtime API sends cannot be parsed."""


class RuntimeApiError(LambdaStreamError):
    """Raised when the Runtime API answers a request with anything but success."""

    def __init__(self, request: str, status: int, body: bytes) -> None:
        text = body.decode("utf-8", "replace").strip()
        super().__init__(f"{request} was answered {status}: {text[:500]}")
        self.status = status


class InvocationOver(RuntimeApiError):
    """Raised when an answer comes too late or is refused: the invocation is lost, no more."""


class EnvironmentOver(RuntimeApiError):
    """Raised when the Runtime API says that this execution environment is finished."""


class ResponseBroken(LambdaStreamError, OSError):
    """Raised by writing to a streamed response whose reader is gone.

    It is an OSError because ASGI says so: "If send is called on a closed connection, the
    server should raise some subclass of OSError" (ASGI HTTP spec 2.4, Disconnected Client).
    """
