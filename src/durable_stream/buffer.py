"""The buffer between a producer that yields at its own pace and a log of one record at a time."""

import asyncio
from collections import deque
from itertools import groupby

from durable_stream.events import Event

# The characters that may wait for a store that does not answer. Beyond it the producer waits.
MAX_WAITING = 256_000


class EventBuffer:
    """Holds the events that are not yet appended, and merges them into few records."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._weight = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def complete(self) -> bool:
        """True if the end of the stream waits in here."""
        return bool(self._waiting) and self._waiting[-1].terminal

    async def put(self, event: Event) -> None:
        """Add one event, unless it holds nothing; wait first while the buffer is full."""
        if not event.weight:
            return
        if not event.terminal:
            await self._room.wait()
        self._weight += event.weight
        if self._weight > MAX_WAITING:
            self._room.clear()
        self._waiting.append(event)
        self.wake()

    def wake(self) -> None:
        """Wake the writer that waits for a change."""
        self._changed.set()

    async def changed(self, seconds: float) -> None:
        """Return at the next change, or when the time is over."""
        self._changed.clear()
        try:
            async with asyncio.timeout(max(0, seconds)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def take(self) -> list[Event]:
        """All events that wait, runs of one class merged."""
        taken: list[Event] = []
        for kind, run in groupby(self._waiting, _class_of):
            taken += kind.merged(list(run))
        self._waiting.clear()
        self._weight = 0
        self._room.set()
        return taken


def _class_of(event: Event) -> type[Event]:
    return type(event)
