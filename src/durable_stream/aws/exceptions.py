"""What can go wrong between this process and AWS, below the store's own errors.

CallFailed
├── Disconnected    no connection, or it ended before the answer
├── TimedOut        no connection, or no answer, in time
└── Garbled         an answer that is none: not HTTP, not JSON, or damaged on the way
"""


class CallFailed(Exception):
    """Raised when a request has no answer. It may have been carried out or not."""


class Disconnected(CallFailed):
    """Raised when there is no connection, or it ended before the answer."""


class TimedOut(CallFailed):
    """Raised when the connection or the answer takes too long."""


class Garbled(CallFailed):
    """Raised when an answer cannot be understood."""
