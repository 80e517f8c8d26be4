"""Stream: one stream as this process knows it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import replace

from durable_stream.appending import Superseded, Writer
from durable_stream.engine import Engine
from durable_stream.events import Cancelled, Claim, Failed
from durable_stream.exceptions import StoreUnavailable, shortened
from durable_stream.history import History, is_waiting
from durable_stream.polling import Poller
from durable_stream.records import Record
from durable_stream.silence import Silence
from durable_stream.tail import Tail
from durable_stream.task import Task
from durable_stream.timing import Window
from durable_stream.writing import Writing

logger = logging.getLogger(__name__)


class Stream:
    """One stream here: the newest records, and its writer if that is in this process.

    `lock` is held while deciding to write, so that one process does not compete with itself.
    `written` is where a stream keeps itself while it is written here.
    """

    def __init__(self, stream_id: str, engine: Engine, written: "set[Stream]") -> None:
        self.stream_id = stream_id
        self.tail = Tail(engine.tail_records, Silence(engine.timing, engine.clock))
        self.lock = asyncio.Lock()
        self.writing: Writing | None = None
        self.engine = engine
        self._written = written
        self._poller = Poller(stream_id, engine.store, self.tail, engine.timing)

    # Knowing

    def attached(self) -> AbstractContextManager[None]:
        """Keep the tail up to date while the block runs."""
        return self._poller.attached()

    def claimable_in(self, listening: float = 0.0) -> float:
        """Seconds until the stream may be taken over, if nothing is heard until then.

        `listening`, in seconds, is how long this process must have heard nothing by itself.
        """
        newest = self.tail.newest
        if self.tail.closed or self.writing is not None or newest is None or newest.terminal:
            return float("inf")
        if is_waiting(newest):
            return 0
        return self.tail.silence.lease_over_in(listening, polling=self._poller.polling)

    async def records(self) -> list[Record]:
        """All the records of the stream, read consistently; empty if there are none."""
        records: list[Record] = []
        more = True
        while more:
            page = await self.engine.store.read(self.stream_id, len(records), consistent=True)
            records += page.records
            more = page.more
        return records

    # Writing

    @asynccontextmanager
    async def beginning(self) -> AsyncIterator[None]:
        """Hold the lock; raises StoreUnavailable if others hold it for too long.

        Readers do not try to take over while it is held; they are woken afterwards, since the
        creation may have failed.
        """
        patience = self.engine.timing.create_patience
        try:
            async with asyncio.timeout(patience):
                await self.lock.acquire()
        except TimeoutError as error:
            raise StoreUnavailable(f"the stream has not begun within {patience:.1f} s") from error
        try:
            yield
        finally:
            self.lock.release()
            self.tail.announce()

    def produce(self, task: Task, window: Window) -> Writing:
        """Start the producer; its events wait for `write`."""
        deadline = window.hand_over_at(self.engine.timing, self.engine.clock)
        return Writing(replace(task, deadline=deadline), self.engine, self.tail)

    def write(self, writing: Writing, writer: Writer, before: History) -> None:
        """Let a writing append behind `before`. The lock is held, and there is no other writer."""
        assert self.writing is None
        self.writing = self._poller.writing = writing
        self._written.add(self)
        writing.begin(writer, before).add_done_callback(self._wrote)
        if self.tail.closed:
            writing.hand_over()

    def _wrote(self, _: asyncio.Task[None]) -> None:
        self.writing = self._poller.writing = None
        self._written.discard(self)
        self.tail.announce()

    async def take_over(self, window: Window) -> Writing | None:
        """Become the writer of a stream that seems to have none.

        None if another process is, or if the store has lost the stream.
        """
        async with self.lock:
            records = await self._unclaimed()
            return await self._claim(History.of(records), window) if records else None

    async def _unclaimed(self) -> Sequence[Record]:
        """All records of the stream, as the store has them now; none if it may not be claimed."""
        known = self.tail.newest
        # The reader has listened; here only the news that reached this process meanwhile counts.
        if known is None or self.claimable_in() > 0:
            return ()
        if not is_waiting(known):
            # A process that comes second learns it from this, and not from the whole history.
            page = await self.engine.store.read(self.stream_id, known.seq + 1, consistent=True)
            self.tail.feed(*page.records)
            if self.claimable_in() > 0:
                return ()
        records = await self.records()
        if not records or records[-1].seq < known.seq:
            self.tail.vanished()
            return ()
        self.tail.feed(*records)
        return () if self.claimable_in() > 0 else records

    async def _claim(self, history: History, window: Window) -> Writing | None:
        engine = self.engine
        task = Task(
            stream_id=self.stream_id,
            attempt=history.attempts + 1,
            start=history.start,
            log=history.log,
            idle=history.idle_attempts + 1,
        )
        end = self._end_instead(history)
        first = end or Claim(task.attempt, engine.producer.continued(task))
        writer = self.writer(history.newest)
        try:
            self.tail.feed(await writer.append(first, engine.timing.lease))
        except Superseded as lost:
            self.tail.feed(lost.record)
            return None
        names = {"stream": shortened(self.stream_id), "attempt": task.attempt}
        logger.info(first.kind, extra=names)
        if end is not None:
            await engine.hooks.ended(history, end, None)
            return None
        if not is_waiting(history.newest):  # A hand-over was planned, so it is not a take-over.
            engine.hooks.took_over()
        writing = self.produce(task, window)
        self.write(writing, writer, history)
        return writing

    def _end_instead(self, history: History) -> Failed | None:
        """The end of a stream that must not be attempted once more."""
        engine = self.engine
        if history.attempts and engine.producer.resume(history.start) == "never":
            return engine.policy.interrupted
        if history.idle_attempts >= engine.policy.idle_attempts:
            return engine.policy.given_up
        return None

    def writer(self, newest: Record) -> Writer:
        """A writer behind the newest record."""
        return Writer(
            store=self.engine.store,
            clock=self.engine.clock,
            stream_id=self.stream_id,
            name=self.engine.name,
            expires_at=newest.expires_at,
            seq=newest.seq + 1,
        )

    # Ending

    async def cancel(self, newest: Record) -> bool:
        """Append `cancelled` behind the newest record; False if the stream has ended before."""
        ours = False
        while not newest.terminal:
            try:
                newest = await self.writer(newest).append(
                    Cancelled(), self.engine.timing.create_patience
                )
                ours = True
            except Superseded as lost:
                newest = lost.record
        self.tail.feed(newest)
        if self.writing is not None:
            await self._stop(self.writing, ours=ours)
        return ours

    async def _stop(self, writing: Writing, *, ours: bool) -> None:
        if ours:
            await writing.abandon()
            return
        # It may be about to learn that its end is in the log, unless the store has fallen silent.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.engine.timing.create_patience):
                await writing.over()
