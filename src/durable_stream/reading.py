"""One reader's way through a stream, from where it stands to the end."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from app.exceptions import LogUnavailable
from app.settings import Settings
from durable_stream.dynamodb import DynamoDBLog
from durable_stream.records import Handoff, Record
from durable_stream.tail import Tail
from durable_stream.writing import Generation

TakeOver = Callable[[Tail], Awaitable[Generation | None]]


class Reading:
    """Yields a stream's records from position `start` on, each once, in order.

    `first` is what has been read of them already.

    A reader is also who keeps a stream alive: when it finds nobody writing, it takes over, if its
    invocation has the time. `until`, `claim_until` and `leave_at` are times of the event loop's
    clock. A reader that has not become the writer leaves at `leave_at`, to come back.
    """

    def __init__(
        self,
        log: DynamoDBLog,
        tail: Tail,
        start: int,
        *,
        first: Sequence[Record] = (),
        take_over: TakeOver,
        settings: Settings,
        until: float = math.inf,
        claim_until: float = math.inf,
        leave_at: float = math.inf,
        generation: Generation | None = None,
    ) -> None:
        self.stream_id = tail.stream_id
        self._log = log
        self._tail = tail
        self._seq = start
        self._first = first
        self._take_over = take_over
        self._settings = settings
        self._until = until
        self._claim_until = claim_until
        self._leave_at = leave_at
        self._generation = generation
        self._complete = False
        self._clock = asyncio.get_running_loop().time
        # A short response must leave time to take over: the next may come to a sandbox that has
        # heard nothing yet.
        self._listening = min(settings.listening, (until - self._clock()) / 2)

    async def batches(self) -> AsyncGenerator[Sequence[Record]]:
        """What is new, as much as there is at once; an empty batch when long nothing is.

        Ends behind a terminal record, and without one when the time is over or a handed-over
        stream needs a longer-lived invocation: then the client should come back.
        Raises LogUnavailable or LogRefused.
        """
        with self._tail.attached():
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
                    return  # The log has lost what the tail has seen: the stream has expired.
                if not await self._has_news():
                    yield ()

    @property
    def until(self) -> float:
        """When this reading ends; later, once the reader has become the writer."""
        return self._until if self._generation is not None else min(self._until, self._leave_at)

    @property
    def cut_at(self) -> float:
        """When its sending may be cut: by then no take-over is under way any more."""
        return min(self._until, self.until + self._settings.log_patience)

    @property
    def complete(self) -> bool:
        """Whether everything has been delivered."""
        return self._complete

    async def settled(self) -> None:
        """Return when the generation that this reader started, if any, is over.

        An invocation must not end before: Lambda would freeze the sandbox in mid-sentence.
        """
        if self._generation is not None:
            await self._generation.over()

    async def _available(self) -> Sequence[Record]:
        if self._first:
            first, self._first = self._first, ()
            return first
        known = self._tail.since(self._seq)
        if known is not None:
            return known
        page = await self._log.read(self.stream_id, self._seq, consistent=True)
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
        return isinstance(record.payload, Handoff) and self._clock() >= self._claim_until

    def _patience(self) -> float:
        """How long to wait for news before looking at the clock again."""
        free_in = math.inf
        if self._clock() < self._claim_until and not self._tail.claiming.locked():
            free_in = self._tail.free_in(self._listening)
        return min(self._settings.keep_alive, free_in, self.until - self._clock())

    def _may_take_over(self) -> bool:
        return (
            self._tail.free_in(self._listening) <= 0
            and self._clock() < self._claim_until
            and not self._tail.claiming.locked()
        )

    async def _try_to_take_over(self) -> bool:
        """Whether the log has answered, whoever won; it may be tried again otherwise."""
        try:
            # Up to the claim's own limit: a hanging log must not hold the invocation.
            async with asyncio.timeout_at(self._claim_until):
                self._generation = await self._take_over(self._tail) or self._generation
        except (LogUnavailable, TimeoutError):
            # The tail polls the same log, and reports it when its patience is over.
            pause = min(self._settings.poll_interval_idle, self.until - self._clock())
            await asyncio.sleep(pause)
            return False
        return True
