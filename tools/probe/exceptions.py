"""The error of the probe."""


class ProbeFailed(Exception):
    """Raised when the deployment cannot be measured; the message says what to do."""
