"""The engine's settings of time, its clock, and the life of one response."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The engine's settings. All times are in seconds."""

    # A writer appends at once, then at most every `flush_interval`, and at least every
    # `heartbeat`. After `lease` without a sign of life a reader takes over. Whatever the clocks
    # say, that reader has listened for `listening`: longer than a live writer is silent, and than
    # it may take to return behind a store that was (an attempt that hangs is given up after 1 s,
    # and the next one is made within 0.4 s). Readers that come to the same moment are
    # `claim_jitter` apart, at most.
    flush_interval: float = 0.04
    heartbeat: float = 0.5
    lease: float = 2.0
    listening: float = 1.5
    claim_jitter: float = 0.2
    # How long a failing store is retried before a reader's response, or a creation, gives up.
    read_patience: float = 15.0
    create_patience: float = 5.0
    # A writer that was not superseded retries until its invocation's deadline. Where there is
    # none, it does so for as long as `template.yaml` lets an invocation last.
    writer_patience: float = 900.0
    # How long before the invocation's deadline the writer hands over, and the time that must be
    # left on top of that to make a take-over worthwhile.
    handoff_margin: float = 1.5
    claim_margin: float = 1.0
    # Readers poll the store this often while records arrive, and slow down to the idle interval.
    poll_interval: float = 0.05
    poll_interval_idle: float = 0.5
    keep_alive: float = 2.0
    # A reader that is not the writer leaves after so long, and comes back if it is still there.
    # Lambda does not report disconnects, so this frees the invocation of one that has left.
    reader_life: float = 60.0
    # Where no byte is seen before the response ends, it ends after this window.
    buffered_window: float = 1.0
    # How long the records of a stream are kept.
    stream_ttl: int = 24 * 3600


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock, in Unix seconds. No clock decides who writes: the store does."""

    now: Callable[[], float] = field(default=time.time)


@dataclass(frozen=True, slots=True)
class Window:
    """How long a reader's response may last.

    `deadline` is when the platform ends it, in Unix seconds; None where nothing does. `buffered`
    says that no byte is seen before the response ends, so it should end soon.
    """

    deadline: float | None = None
    buffered: bool = False

    def hand_over_at(self, timing: Timing, clock: Clock) -> float:
        """When a writer in this response must stop, as a time of the event loop's clock."""
        if self.deadline is None:
            return math.inf
        left = self.deadline - clock.now()
        return asyncio.get_running_loop().time() + left - timing.handoff_margin
