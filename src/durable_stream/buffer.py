"""The buffer between a producer that yields at its own pace and a log of one record at a time."""

import asyncio
from collections import deque
from itertools import groupby

from durable_stream.events import MAX_EVENT, Event, Text

# The characters that may wait for a store that does not answer. Beyond it the producer waits.
MAX_WAITING = 256_000


class EventBuffer:
    """Holds the events that are not yet appended, and merges them into few records.

    `accepted` has all events that were ever put, in the order of the log.
    """

    def __init__(self) -> None:
        self.accepted: list[Event] = []
        self._waiting: deque[Event] = deque()
        self._taken = self._durable = 0
        self._watchers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._weight = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def complete(self) -> bool:
        """True if the end of the stream waits in here."""
        return bool(self._waiting) and self._waiting[-1].terminal

    async def put(self, event: Event) -> None:
        """Add one event, unless it holds nothing; wait first while the buffer is full.

        Raises ValueError for an event that no record can hold.
        """
        if not event.terminal and checked_weight(event):
            await self._room.wait()
        self.add(event)

    def add(self, event: Event) -> None:
        """Add one event without waiting; raises as `put`."""
        weight = checked_weight(event)
        if not weight:
            return
        self._check_open()
        self._weight += weight
        if self._weight > MAX_WAITING:
            self._room.clear()
        self._waiting.append(event)
        self.accepted.append(event)
        self.wake()

    async def logged(self) -> None:
        """Return when all events that were put before this call are durable."""
        self._check_open()
        if self._durable < len(self.accepted):
            watcher = asyncio.get_running_loop().create_future()
            self._watchers.append((len(self.accepted), watcher))
            await watcher

    def close(self) -> None:
        """Cancel all who wait, now and later: nothing is appended any more."""
        self._closed = True
        self._room.set()
        for _, watcher in self._watchers:
            watcher.cancel()

    def _check_open(self) -> None:
        if self._closed:
            raise asyncio.CancelledError

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
        self._taken = len(self.accepted)
        self._weight = 0
        self._room.set()
        return taken

    def confirm(self) -> None:
        """Note that all events that were taken are durable."""
        self._durable = self._taken
        while self._watchers and self._watchers[0][0] <= self._durable:
            _, watcher = self._watchers.popleft()
            if not watcher.done():
                watcher.set_result(None)


def checked_weight(event: Event) -> int:
    """The event's weight; raises ValueError for an event that no record can hold."""
    weight = event.weight
    if weight > MAX_EVENT and not isinstance(event, Text):
        raise ValueError(f"an event of kind {event.kind} exceeds {MAX_EVENT} characters: split it")
    return weight


def _class_of(event: Event) -> type[Event]:
    return type(event)
