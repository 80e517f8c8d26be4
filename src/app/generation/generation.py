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
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from app.event_log.records import (
    Done,
    Failed,
    Handoff,
    Heartbeat,
    Payload,
    Record,
)
from app.exceptions import LogError
from app.generation.buffer import DeltaBuffer
from app.generation.writer import Superseded, Writer
from app.log import logger, shortened
from app.settings import Settings


class Generation:
    """One writer, in two tasks: the provider fills a buffer, which is emptied into the log.

    `payloads` is what the provider makes of the request, up to the end. `publish` is called with
    every record that has become durable, and with the one that took our place. `hand_over_at`, a
    time of the event loop's clock, is when the writer must stop.
    """

    def __init__(
        self,
        payloads: AsyncGenerator[Payload],
        *,
        publish: Callable[[Record], None],
        settings: Settings,
        hand_over_at: float = math.inf,
    ) -> None:
        self._publish = publish
        self._settings = settings
        self._hand_over_at = hand_over_at
        self._buffer = DeltaBuffer()
        self._pump = asyncio.create_task(self._fill(payloads))
        self._writing: asyncio.Task[None] | None = None

    def write(self, writer: Writer, *, on_end: Callable[[], None]) -> None:
        """Begin to append. The provider has been at work since this object was made."""
        self._writing = asyncio.create_task(self._write(writer))
        self._writing.add_done_callback(lambda _: on_end())

    async def abandon(self) -> None:
        """Stop the provider and append nothing more."""
        for task in (self._pump, self._writing):
            if task is not None:
                task.cancel()
        await self.over()

    def hand_over(self) -> None:
        """Append what there is and a handoff, soon; then stop."""
        self._hand_over_at = -math.inf
        self._buffer.wake()

    async def over(self) -> None:
        """Return when the provider is closed and nothing will be appended any more."""
        tasks = [self._pump] if self._writing is None else [self._pump, self._writing]
        await asyncio.wait(tasks)

    # The provider's side

    async def _fill(self, payloads: AsyncGenerator[Payload]) -> None:
        try:
            async with aclosing(payloads):
                async for payload in payloads:
                    await self._buffer.put(payload)
        except Exception as error:  # noqa: BLE001 - a provider may raise anything
            # Not its message: a provider's errors may quote the prompt, or a key.
            trace = traceback.format_tb(error.__traceback__)
            logger.error("the provider broke", extra={"error": type(error).__name__, "at": trace})
            await self._buffer.put(_BROKEN)

    # The log's side

    async def _write(self, writer: Writer) -> None:
        stream = {"stream": shortened(writer.stream_id)}
        try:
            last = await self._commit(writer)
            logger.info("ended", extra={**stream, "kind": last.kind, "records": writer.seq})
        except Superseded as lost:
            logger.info("superseded", extra=stream)
            self._publish(lost.record)
        except LogError:
            logger.exception("the log failed; the stream is left to another writer", extra=stream)
        finally:
            self._pump.cancel()
            await asyncio.wait([self._pump])

    async def _commit(self, writer: Writer) -> Payload:
        """Append until there is an end to append, and return it."""
        clock = asyncio.get_running_loop().time
        last_text, last = -math.inf, clock()
        while True:
            now = clock()
            flush_at = last_text + self._settings.flush_interval
            beat_at = last + self._settings.heartbeat
            if now >= self._hand_over_at:
                payloads = self._buffer.take()
                if not (payloads and payloads[-1].kind in _ENDS):
                    payloads.append(Handoff())
            elif self._buffer and (now >= flush_at or self._buffer.complete):
                payloads = self._buffer.take()
                last_text = now
            elif not self._buffer and now >= beat_at:
                payloads = [Heartbeat()]
            else:
                wake_at = flush_at if self._buffer else beat_at
                await self._buffer.changed(min(wake_at, self._hand_over_at) - now)
                continue
            for payload in payloads:
                last = clock()
                self._publish(await writer.append(payload))
            if payloads[-1].kind in _ENDS:
                return payloads[-1]


_BROKEN = Failed(
    "provider_broken",
    "The model's answer failed for a reason that the operator finds in the log.",
    retryable=True,
)
_ENDS = frozenset({Done.kind, Failed.kind, Handoff.kind})
