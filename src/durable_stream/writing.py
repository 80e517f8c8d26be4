"""Writing: one writer's work on a stream, from the producer's events to durable records.

Group commit that clocks itself. The first event is appended at once. From then on, the events
that came while an append was under way (and not before a small interval) are the next records: a
fast store gives many small records, a slow one fewer and larger, and no queue grows either way.

        producer   a  b  c  d  e  f  g  h
        log        [a    ][bcd      ][efg   ][h
                   ▲ at once
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from durable_stream.appending import Superseded, Writer
from durable_stream.attempts import attempts
from durable_stream.buffer import EventBuffer, checked_weight
from durable_stream.engine import Engine
from durable_stream.events import Claim, Event, Handoff, Heartbeat
from durable_stream.exceptions import StoreError, StoreUnavailable, described
from durable_stream.history import History
from durable_stream.outcome import Tally
from durable_stream.records import Record
from durable_stream.tail import Tail
from durable_stream.task import Task

logger = logging.getLogger(__name__)


class Writing:
    """One writer, in two tasks: the producer fills a buffer, which is emptied into the log.

    The producer attempts `task` until there is an end, or the deadline has come. `tail` is fed with
    every record that has become durable, and with the one that took our place.
    """

    def __init__(self, task: Task, engine: Engine, tail: Tail) -> None:
        self._task = task
        self._tail = tail
        self._hooks = engine.hooks
        self._timing = engine.timing
        self._broken = engine.policy.broken
        self._hand_over_at = task.deadline
        self._buffer = EventBuffer()
        self._tally = Tally(task.attempt)
        events = attempts(engine.producer, task, self._buffer, engine.policy)
        self._filling = asyncio.create_task(self._fill(events))
        self._appending: asyncio.Task[None] | None = None
        self._patience: asyncio.Timeout | None = None

    def begin(self, writer: Writer, before: History) -> asyncio.Task[None]:
        """Begin to append behind `before`. The producer has run since this object was made.

        The task ends when nothing will be done any more, whatever the reason.
        """
        self._appending = asyncio.create_task(self._append(writer, before))
        self._appending.add_done_callback(lambda _: self._hooks.wrote(self._tally.outcome()))
        return self._appending

    async def abandon(self) -> None:
        """Stop the producer and append nothing more; a writer that has ended is waited for."""
        for task in (self._filling, self._appending):
            if task is not None and not self._tally.ended:
                task.cancel()
        await self.over()

    def hand_over(self) -> None:
        """Append the waiting events and a handoff soon; then stop."""
        self._hand_over_at = min(self._hand_over_at, asyncio.get_running_loop().time())
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(self._give_up_at())
        self._buffer.wake()

    async def over(self) -> None:
        """Return when the producer is closed and nothing will be done any more."""
        await asyncio.wait([task for task in (self._filling, self._appending) if task is not None])

    # From the producer

    async def _fill(self, events: AsyncGenerator[Event]) -> None:
        end: Event = self._broken
        try:
            self._hooks.attempting(self._task)
            async with aclosing(events):
                async for event in events:
                    if event.terminal:
                        checked_weight(event)
                        # If closing fails after this, the producer has finished all the same.
                        end = event
                        break
                    await self._buffer.put(event)
                    if isinstance(event, Claim):
                        # The next event starts another attempt, which the log must have counted.
                        await self._buffer.logged()
        except asyncio.CancelledError:
            filling = asyncio.current_task()
            if filling is None or filling.cancelling():
                raise
            logger.error("the producer awaited a task that was cancelled")  # noqa: TRY400
        except Exception as error:  # noqa: BLE001 - a producer may raise anything
            # Not its message: a producer's errors may quote the input, or a secret.
            logger.error("the producer broke", extra=described(error))  # noqa: TRY400
        await self._buffer.put(end)

    # Into the log

    async def _append(self, writer: Writer, before: History) -> None:
        try:
            self._hooks.attempting(self._task)
            end = await self._commit(writer)
            logger.info("ended", extra={"kind": end.kind, "records": writer.seq})
            if end.terminal:
                await self._settle(before, end)
        except Superseded as lost:
            logger.info("superseded")
            self._tail.feed(lost.record)
        except StoreError:
            logger.exception("the store failed; the stream is left to another writer")
        except Exception as error:  # noqa: BLE001 - no writer may die unheard
            logger.error("the writer broke", extra=described(error))  # noqa: TRY400
        finally:
            # First: a producer may want to log something while it is closed.
            self._buffer.close()
            self._filling.cancel()
            await asyncio.wait([self._filling])

    async def _commit(self, writer: Writer) -> Event:
        """Append until there is an end to append, and return it."""
        clock = asyncio.get_running_loop().time
        flush_at, last = -math.inf, clock()
        while True:
            now = clock()
            beat_at = last + self._timing.heartbeat
            if now >= self._hand_over_at:
                events = [*self._buffer.take(), Handoff()]
            elif self._buffer and (now >= flush_at or self._buffer.complete):
                events = self._buffer.take()
            elif not self._buffer and now >= beat_at:
                events = [Heartbeat()]
            else:
                wake_at = flush_at if self._buffer else beat_at
                await self._buffer.changed(min(wake_at, self._hand_over_at) - now)
                continue
            last = now
            for event in events:
                begun_at = clock()
                record = await self._put(writer, event)
                self._tally.appended(event, begun_at, clock())
                self._tail.feed(record)
                if self._tally.ended:
                    return event
            self._buffer.confirm()
            # From the acknowledgement: a canceller competes for the next position, and must have
            # a moment in which it is free, however slow the store is.
            flush_at = clock() + self._timing.flush_interval

    async def _put(self, writer: Writer, event: Event) -> Record:
        """The record once it is durable; raises Superseded, StoreUnavailable or StoreRefused.

        A silent store is retried until this writer must stop: as long as the position is free, no
        other writer has taken over, and the store says so if one has. Meanwhile a full buffer
        makes the producer wait.
        """
        try:
            # Bounded here and not by the writer, since a hand-over may bring the end nearer.
            async with asyncio.timeout_at(self._give_up_at()) as self._patience:
                return await writer.append(event, math.inf)
        except TimeoutError as error:
            raise StoreUnavailable("no answer until the writer had to stop") from error
        finally:
            self._patience = None

    def _give_up_at(self) -> float:
        """Until when an append that begins now may take: no invocation is held any longer."""
        latest = asyncio.get_running_loop().time() + self._timing.writer_patience
        return min(self._deadline(), latest)

    def _deadline(self) -> float:
        return self._hand_over_at + self._timing.handoff_margin / 2

    async def _settle(self, before: History, end: Event) -> None:
        left = self._deadline() - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0, min(self._timing.lease, left))):
                await self._hooks.ended(before, end, self._tally.outcome())
        except TimeoutError:
            logger.warning("there was no time left to settle")
