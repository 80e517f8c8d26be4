"""What can go wrong in the emulator, and whose fault it is."""


class CannotStart(Exception):
    """Raised when the emulator cannot run; the message says what to do about it."""


class SettingRefused(CannotStart):
    """Raised when the function refuses a setting; the message, its own, needs no traceback."""


class Throttled(Exception):
    """Raised when as many invocations are under way as the concurrency limit allows."""


class Truncated(Exception):
    """Raised when a peer closes its connection before the body it announced has ended."""


class MalformedAnswer(Exception):
    """Raised when what a function returned cannot be made an HTTP response."""


class FunctionError(Exception):
    """Raised when a function says that its answer has failed."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class Refused(Exception):
    """Raised when a Runtime API call is one that Lambda answers with an error."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
