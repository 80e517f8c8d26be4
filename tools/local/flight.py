"""An invocation while a sandbox has it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from local.exceptions import Refused
from local.invocation import Invocation


@dataclass(eq=False)
class Flight:
    """The state of an invocation in a sandbox.

    `claimed` is True once the runtime has begun to answer, `completed` once it has answered.
    `failure` is the error type for the REPORT line.
    """

    invocation: Invocation
    timer: asyncio.TimerHandle | None = None
    deadline_ms: int = 0
    delivered_at: float | None = None
    claimed: bool = False
    completed: bool = False
    failure: str | None = None

    @property
    def request_id(self) -> str:
        return self.invocation.request_id

    def limit(self, seconds: float, expire: Callable[["Flight"], None]) -> None:
        """Replace its time limit; `expire` is called after so many seconds."""
        self.unlimit()
        self.timer = asyncio.get_running_loop().call_later(seconds, expire, self)

    def unlimit(self) -> None:
        if self.timer:
            self.timer.cancel()

    def deliver(self, timeout: float, clock_offset: float) -> None:
        """Record that the runtime has it now; the deadline is in the sandbox's clock."""
        self.delivered_at = time.monotonic()
        self.deadline_ms = int((time.time() + clock_offset + timeout) * 1000)

    def claim(self, invocation_id: str) -> None:
        """Record that the runtime begins to answer, which it may do once.

        Raises:
            Refused: the runtime has already answered, or the answer is to another attempt.
        """
        if self.delivered_at is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "no such invocation")
        if invocation_id not in ("", self.invocation.invocation_id):
            raise Refused(HTTPStatus.GONE, "InvokeTimeout", "the answer is to another attempt")
        if self.claimed:
            raise Refused(HTTPStatus.FORBIDDEN, "InvalidStateTransition", "it has been answered")
        self.claimed = True
