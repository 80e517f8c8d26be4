"""Connects: how often a minute streams may be read.

A reader that leaves at once still holds an invocation, for as long as `Timing.reader_life`. So the
connects of a minute bound how many invocations the readers of one stream can hold, and how many
all readers of one owner's streams can.

A reader that is answered in one piece holds an invocation for a second, and comes back each
second: sixty of its connects count as one.
"""

import random

from app.exceptions import RetryLater
from app.limits.counters import Charge, Counters
from app.limits.settings import Limits
from durable_stream import Clock, Hooks, Window

_MINUTE = 60
_BUFFERED = 1
_STREAMED = 60 * _BUFFERED

# Readers that are refused together must not come back together.
_SPREAD_SECONDS = 10


class Connects(Hooks):
    """Counts the connects of readers, as atomically as requests are counted."""

    def __init__(self, counters: Counters, limits: Limits, clock: Clock) -> None:
        self._counters = counters
        self._limits = limits
        self._clock = clock

    async def connecting(self, stream_id: str, owner: str, window: Window) -> None:
        """Count a connect.

        Raises RetryLater, and then nothing is counted; StoreUnavailable or StoreRefused.
        """
        minute, second = divmod(int(self._clock.now()), _MINUTE)
        limits = (
            (f"stream:{stream_id}", self._limits.stream_connects_per_minute),
            (f"by:{owner}", self._limits.connects_per_minute),
        )
        # In this order: refused readers of one stream take nothing from those of others.
        charges = [
            Charge(
                f"connects:{name}:{minute}",
                _BUFFERED if window.buffered else _STREAMED,
                limit * _STREAMED,
                (minute + 2) * _MINUTE,
            )
            for name, limit in limits
            if limit is not None
        ]
        if await self._counters.take(charges) is not None:
            raise RetryLater(
                "reads_limited",
                "This is read too often: come back in the next minute.",
                retry_after=_MINUTE - second + random.randrange(_SPREAD_SECONDS),  # noqa: S311
            )
