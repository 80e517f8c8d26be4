"""Reading: one reader's way through a stream, from its cursor to the end."""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence

from durable_stream.events import Handoff
from durable_stream.exceptions import StoreUnavailable
from durable_stream.records import Record
from durable_stream.stream import Stream
from durable_stream.timing import Window
from durable_stream.writing import Writing


class Reading:
    """Yields a stream's records from position `seq` on, each once, in order.

    `first` holds those of them that have been read already. Readers keep a stream alive: one that
    finds no writer takes over, if its window has the time. One that has not become the writer
    leaves after `Timing.reader_life`, to come back.
    """

    def __init__(
        self,
        stream: Stream,
        seq: int,
        window: Window,
        *,
        first: Sequence[Record] = (),
        writing: Writing | None = None,
    ) -> None:
        self.stream_id = stream.stream_id
        self._stream = stream
        self._tail = stream.tail
        self._seq = seq
        self._window = window
        self._store = stream.engine.store
        self._timing = timing = stream.engine.timing
        self._first = first
        self._writing = writing
        self._complete = False
        self._clock = asyncio.get_running_loop().time
        hand_over_at = window.hand_over_at(timing, stream.engine.clock)
        self._claim_until = hand_over_at - timing.claim_margin
        # Behind the hand-over, so that our own writer's last records still go out.
        self._until = hand_over_at + timing.handoff_margin / 2
        if window.buffered:
            self._until = min(self._until, self._clock() + timing.buffered_window)
        self._leave_at = self._clock() + timing.reader_life
        # A short response must leave time to take over: the next may come to a sandbox that has
        # heard nothing yet.
        self._listening = min(timing.listening, (self._until - self._clock()) / 2)

    async def batches(self) -> AsyncGenerator[Sequence[Record]]:
        """The new records, as many as there are at once; an empty batch after a long silence.

        Ends behind a terminal record, and without one when the time is over or a handed-over
        stream needs a longer-lived invocation: then the client should come back.
        Raises StoreUnavailable or StoreRefused.
        """
        with self._stream.attached():
            while True:
                records = await self._available()
                if records:
                    self._seq = records[-1].seq + 1
                    self._complete = records[-1].terminal
                    yield records
                    if records[-1].terminal or self._must_leave(records[-1]):
                        return
                if self._tail.closed or self._clock() >= self.until:
                    return
                if records:
                    continue
                if self._tail.since(self._seq) is None:
                    return  # The store has lost records that the tail has seen: it has expired.
                if not await self._has_news():
                    yield ()

    @property
    def until(self) -> float:
        """When the reading ends, by the event loop's clock; later, once it has become a writer."""
        return self._until if self._writing is not None else min(self._until, self._leave_at)

    @property
    def cut_at(self) -> float:
        """When its sending may be cut: by then no take-over is under way any more."""
        return min(self._until, self.until + self._timing.read_patience)

    @property
    def complete(self) -> bool:
        """True if everything has been delivered."""
        return self._complete

    @property
    def writes(self) -> bool:
        """True once this reader has become the stream's writer."""
        return self._writing is not None

    async def settled(self) -> None:
        """Return when the writing that this reader started, if any, is over.

        An invocation must not end before: Lambda would freeze the sandbox in mid-sentence.
        """
        if self._writing is not None:
            await self._writing.over()

    async def _available(self) -> Sequence[Record]:
        if self._first:
            first, self._first = self._first, ()
            return first
        known = self._tail.since(self._seq)
        if known is not None:
            return known
        page = await self._store.read(self.stream_id, self._seq, consistent=True)
        if not page.more:
            self._tail.feed(*page.records)
        return page.records

    async def _has_news(self) -> bool:
        """Wait for news, or make some by taking over; False when it is time for a keep-alive."""
        if self._tail.trouble is not None:
            raise self._tail.trouble
        if self._may_take_over():
            return await self._try_to_take_over()
        return await self._tail.changed(self._seq, self._patience())

    def _must_leave(self, record: Record) -> bool:
        return isinstance(record.event, Handoff) and self._clock() >= self._claim_until

    def _patience(self) -> float:
        """How long to wait for news before looking at the clock again."""
        claimable_in = math.inf
        if self._clock() < self._claim_until and not self._stream.lock.locked():
            claimable_in = self._stream.claimable_in(self._listening)
        return min(self._timing.keep_alive, claimable_in, self.until - self._clock())

    def _may_take_over(self) -> bool:
        return (
            self._stream.claimable_in(self._listening) <= 0
            and self._clock() < self._claim_until
            and not self._stream.lock.locked()
        )

    async def _try_to_take_over(self) -> bool:
        """Take over, if no other process is faster; False if the store did not answer."""
        try:
            # Up to the claim's own limit: a hanging store must not hold the invocation.
            async with asyncio.timeout_at(self._claim_until):
                self._writing = await self._stream.take_over(self._window) or self._writing
        except (StoreUnavailable, TimeoutError):
            # The poller asks the same store, and reports it when its patience is over.
            pause = min(self._timing.poll_interval_idle, self.until - self._clock())
            await asyncio.sleep(pause)
            return False
        return True
