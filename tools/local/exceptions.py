"""The errors of the emulator."""


class CannotStart(Exception):
    """Raised when the emulator cannot run; the message says what to do."""


class SettingRefused(CannotStart):
    """Raised when the function refuses a setting; the function's own message is enough."""


class Throttled(Exception):
    """Raised when the concurrency limit is reached."""


class Truncated(Exception):
    """Raised when a peer closes its connection before the end of the body."""


class MalformedAnswer(Exception):
    """Raised when a function's result cannot become an HTTP response."""


class FunctionError(Exception):
    """Raised when a function reports an error."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class Refused(Exception):
    """Raised when a call is answered with an error, of the Runtime API or of the control API."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
