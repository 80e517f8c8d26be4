"""What can keep a deployment from being probed."""


class ProbeFailed(Exception):
    """Raised when there is nothing to measure; the message says what to do about it."""
