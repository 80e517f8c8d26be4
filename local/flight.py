"""An invocation while a sandbox has it in hand."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from local import reports
from local.invocation import Invocation


@dataclass(eq=False)
class Flight:
    """What a sandbox knows of an invocation.

    `claimed` once the runtime has begun to answer, `completed` once it has answered; `failure` is
    the error type that its report will name.
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
        """Give it this long from now, instead of what it had."""
        self.unlimit()
        self.timer = asyncio.get_running_loop().call_later(seconds, expire, self)

    def unlimit(self) -> None:
        if self.timer:
            self.timer.cancel()

    def deliver(self, timeout: float) -> None:
        self.delivered_at = time.monotonic()
        self.deadline_ms = int((time.time() + timeout) * 1000)

    def report(self, init_seconds: float | None, memory: int, peak_memory: int | None) -> str:
        assert self.delivered_at is not None
        return reports.report(
            self.request_id,
            seconds=time.monotonic() - self.delivered_at,
            init_seconds=init_seconds,
            memory=memory,
            peak_memory=peak_memory,
            failure=self.failure,
        )
