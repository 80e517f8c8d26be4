"""Polling: keeps a tail up to date while another process writes the stream."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from durable_stream.events import Heartbeat
from durable_stream.exceptions import StoreError, StoreUnavailable
from durable_stream.store import Store
from durable_stream.tail import Tail
from durable_stream.timing import Timing

if TYPE_CHECKING:
    from durable_stream.writing import Writing

_SLOWER = 1.6


class Poller:
    """Feeds one tail from the store while a reader is attached; rests while `writing` runs here."""

    def __init__(self, stream_id: str, store: Store, tail: Tail, timing: Timing) -> None:
        self.writing: Writing | None = None
        self._stream_id = stream_id
        self._store = store
        self._tail = tail
        self._timing = timing
        self._clock = asyncio.get_running_loop().time
        self._readers = 0
        self._polling: asyncio.Task[None] | None = None

    @property
    def polling(self) -> bool:
        """True while the store is asked; a poller that has broken asks no more."""
        return self._polling is not None and not self._polling.done()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Keep the tail up to date while the block runs."""
        self._readers += 1
        if not self.polling:
            self._tail.trouble = None
            self._polling = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            self._readers -= 1
            if self._readers == 0 and self._polling is not None:
                self._polling.cancel()
                self._polling = None

    async def _poll(self) -> None:
        try:
            await self._poll_until_terminal()
        except StoreError as error:
            self._tail.trouble = error
            self._tail.announce()

    async def _poll_until_terminal(self) -> None:
        timing, tail = self._timing, self._tail
        pause = timing.poll_interval
        answered_at = self._clock()
        while tail.newest is None or not tail.newest.terminal:
            await asyncio.sleep(pause)
            if self.writing is not None:
                await self.writing.over()
                answered_at = self._clock()
                continue
            if tail.newest is None:
                continue
            try:
                spoken = await self._poll_once(tail.newest.seq + 1)
            except StoreUnavailable:
                if self._clock() - answered_at > timing.read_patience:
                    raise
                spoken = False
            else:
                answered_at = self._clock()
            slower = min(pause * _SLOWER, timing.poll_interval_idle)
            pause = timing.poll_interval if spoken else slower

    async def _poll_once(self, start: int) -> bool:
        """Read once; False if there is nothing new but heartbeats."""
        page = await self._store.read(self._stream_id, start, consistent=False)
        self._tail.feed(*page.records)
        return any(not isinstance(record.event, Heartbeat) for record in page.records)
