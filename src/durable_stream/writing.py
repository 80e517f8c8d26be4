"""Generating: one writer's attempt at a stream, from a provider's deltas to durable records.

Group commit that clocks itself. The first text is appended at once. From then on, whatever has
come while an append was under way (and not before a small interval) is the next record: a fast
log gives many small records, a slow one fewer and larger, and no queue grows either way.

        provider   a  b  c  d  e  f  g  h
        log        [a    ][bcd      ][efg   ][h
                   ▲ at once
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from app.exceptions import LogError, LogUnavailable
from app.log import described, logger, shortened
from app.settings import Settings
from durable_stream.buffer import DeltaBuffer
from durable_stream.outcome import End, Outcome, Tally
from durable_stream.records import (
    TERMINAL,
    Claim,
    Failed,
    Handoff,
    Heartbeat,
    Payload,
    Record,
)
from durable_stream.writer import Superseded, Writer


class Generation:
    """One writer, in two tasks: the provider fills a buffer, which is emptied into the log.

    `payloads` is what the provider makes of the request, up to the end, from attempt `attempt` on.
    `publish` is called with every record that has become durable, and with the one that took our
    place. `hand_over_at`, a time of the event loop's clock, is when the writer must stop.
    """

    def __init__(
        self,
        payloads: AsyncGenerator[Payload],
        *,
        stream_id: str,
        attempt: int,
        publish: Callable[[Record], None],
        settings: Settings,
        hand_over_at: float = math.inf,
    ) -> None:
        self._named = {"stream": shortened(stream_id), "attempt": attempt}
        self._publish = publish
        self._settings = settings
        self._hand_over_at = hand_over_at
        self._buffer = DeltaBuffer()
        self._tally = Tally(attempt)
        self._claimed = asyncio.Event()
        self._pump = asyncio.create_task(self._fill(payloads))
        self._writing: asyncio.Task[None] | None = None
        self._appending: asyncio.Timeout | None = None

    def write(
        self,
        writer: Writer,
        *,
        settle: Callable[[Outcome], Awaitable[None]],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """Begin to append. The provider has been at work since this object was made.

        `settle` is awaited once the log has acknowledged our last word, and only then; `on_end`
        is called when nothing will be done any more, whatever the reason.
        """
        self._writing = asyncio.create_task(self._write(writer, settle))
        self._writing.add_done_callback(lambda _: on_end(self._tally.outcome()))

    async def abandon(self) -> None:
        """Stop the provider and append nothing more; what has ended is only waited for."""
        for task in (self._pump, self._writing):
            if task is not None and not self._tally.ended:
                task.cancel()
        await self.over()

    def hand_over(self) -> None:
        """Append what there is and a handoff, soon; then stop."""
        self._hand_over_at = min(self._hand_over_at, asyncio.get_running_loop().time())
        if self._appending is not None and not self._appending.expired():
            self._appending.reschedule(self._give_up_at())
        self._buffer.wake()

    async def over(self) -> None:
        """Return when the provider is closed and nothing will be done any more."""
        tasks = [self._pump] if self._writing is None else [self._pump, self._writing]
        await asyncio.wait(tasks)

    # The provider's side

    async def _fill(self, payloads: AsyncGenerator[Payload]) -> None:
        logger.thread_safe_append_keys(**self._named)
        end: Payload = _BROKEN
        try:
            async with aclosing(payloads):
                async for payload in payloads:
                    if isinstance(payload, TERMINAL):
                        # If something breaks while it is closed, it has said its last word.
                        end = payload
                        break
                    await self._buffer.put(payload)
                    if isinstance(payload, Claim):
                        # The next payload asks the model, and the log must have counted that.
                        await self._claimed.wait()
                        self._claimed.clear()
        except Exception as error:  # noqa: BLE001 - a provider may raise anything
            # Not its message: a provider's errors may quote the prompt, or a key.
            logger.error("the provider broke", extra=described(error))
        await self._buffer.put(end)

    # The log's side

    async def _write(self, writer: Writer, settle: Callable[[Outcome], Awaitable[None]]) -> None:
        logger.thread_safe_append_keys(**self._named)
        try:
            last = await self._commit(writer)
            logger.info("ended", extra={"kind": last.kind, "records": writer.seq})
            await self._settle(settle)
        except Superseded as lost:
            logger.info("superseded")
            self._publish(lost.record)
        except LogError:
            logger.exception("the log failed; the stream is left to another writer")
        except Exception as error:  # noqa: BLE001 - no writer may die unheard
            logger.error("the writer broke", extra=described(error))
        finally:
            self._pump.cancel()
            await asyncio.wait([self._pump])

    async def _commit(self, writer: Writer) -> End:
        """Append until there is an end to append, and return it."""
        clock = asyncio.get_running_loop().time
        flush_at, last = -math.inf, clock()
        while True:
            now = clock()
            beat_at = last + self._settings.heartbeat
            if now >= self._hand_over_at:
                payloads = [*self._buffer.take(), Handoff()]
            elif self._buffer and (now >= flush_at or self._buffer.complete):
                payloads = self._buffer.take()
            elif not self._buffer and now >= beat_at:
                payloads = [Heartbeat()]
            else:
                wake_at = flush_at if self._buffer else beat_at
                await self._buffer.changed(min(wake_at, self._hand_over_at) - now)
                continue
            last = now
            for payload in payloads:
                begun_at = clock()
                record = await self._append(writer, payload)
                self._tally.appended(payload, begun_at, clock())
                self._publish(record)
                if isinstance(payload, Claim):
                    self._claimed.set()
                if isinstance(payload, End):
                    return payload
            # From the acknowledgement: a canceller competes for the next position, and must have
            # a moment in which it is free, however slow the log is.
            flush_at = clock() + self._settings.flush_interval

    async def _append(self, writer: Writer, payload: Payload) -> Record:
        """The record once it is durable; raises Superseded, LogUnavailable or LogRefused.

        A silent log is borne until this writer must stop: no other has taken over as long as the
        position is free, and the log says so if one has. Meanwhile a full buffer holds the provider
        up.
        """
        try:
            # Bounded here and not by the writer, since a handover may bring the end nearer.
            async with asyncio.timeout_at(self._give_up_at()) as self._appending:
                return await writer.append(payload, math.inf)
        except TimeoutError as error:
            raise LogUnavailable("the log has not answered until the writer had to stop") from error
        finally:
            self._appending = None

    def _give_up_at(self) -> float:
        """Until when an append that begins now may take: no invocation is held any longer."""
        deadline = self._hand_over_at + self._settings.handoff_margin / 2
        return min(deadline, asyncio.get_running_loop().time() + self._settings.writer_patience)

    async def _settle(self, settle: Callable[[Outcome], Awaitable[None]]) -> None:
        deadline = self._hand_over_at + self._settings.handoff_margin / 2
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0, min(self._settings.lease, left))):
                await settle(self._tally.outcome())
        except TimeoutError:
            logger.warning("there was no time left to settle")


_BROKEN = Failed(
    "provider_broken",
    "The model's answer failed for a reason that the operator finds in the log.",
    retryable=True,
)
