"""Holding: an answer in one piece waits for the stream, and keeps it going.

On Lambda nothing runs behind a response. So a request that finds no writer becomes it, and is
answered when the stream ends, or when the time of the invocation does.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from app.api.deps import Context
from durable_stream import Reading, Record, Window, status

# The gateways that pass an answer on in one piece give up after 30 seconds.
_BUFFERED_SECONDS = 25.0


def patient(context: Context) -> Window:
    """The window for an answer in one piece, which need not end soon to show something."""
    window = context.window
    if not window.buffered:
        return window
    until = context.clock.now() + _BUFFERED_SECONDS
    deadline = until if window.deadline is None else min(window.deadline, until)
    return replace(window, deadline=deadline, buffered=False)


def is_alive(newest: Record, context: Context) -> bool:
    """True if a stream whose newest record this is has a writer that has not fallen silent."""
    lease = context.settings.timing.lease
    return status(newest, now=context.clock.now(), lease=lease) == "streaming"


async def read_out(reading: Reading, context: Context) -> list[Record]:
    """All the records, up to the end of the stream or of the time; raises StoreError."""
    return await _read(reading, context, lambda _: False)


async def keep_going(reading: Reading, context: Context) -> None:
    """Wait until a stream without a writer has one, and for its end if this is the writer.

    Raises StoreError.
    """

    def another_writes(records: Sequence[Record]) -> bool:
        return not reading.writes and is_alive(records[-1], context)

    await _read(reading, context, another_writes)


async def _read(
    reading: Reading, context: Context, enough: Callable[[Sequence[Record]], bool]
) -> list[Record]:
    records: list[Record] = []
    try:
        async with aclosing(reading.batches()) as batches:
            async for batch in batches:
                records += batch
                if enough(records):
                    break
    finally:
        if context.window.deadline is not None:
            await reading.settled()
    return records
