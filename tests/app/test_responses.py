"""The SSE response, towards readers that stop reading or are gone."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from app.api.responses import ReadingResponse
from app.events import Answer, Done
from app.settings import EventSourceSettings
from durable_stream import Streams, Window
from durable_stream.dynamodb import DynamoDBStore
from tests.app.scripted import START, ScriptedProvider
from tests.durable_stream import test_streams

pytestmark = pytest.mark.anyio

# Work that is due before the deadline is done a second before it.
TIMING = dataclasses.replace(test_streams.TIMING, handoff_margin=2.0)
SCOPE = {"type": "http", "method": "GET", "asgi": {"version": "3.0", "spec_version": "2.4"}}


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def serve(
    log: DynamoDBStore,
    provider: ScriptedProvider,
    window: Window,
    send: Callable[[Message], Awaitable[None]],
) -> Streams:
    """Answer one request for a stream, and return when the invocation may end."""
    streams = test_streams.streams_of(log, provider, timing=TIMING)
    start = await streams.create(START, None)
    reading = await streams.read(start.stream_id, None, window)
    assert reading is not None
    async with asyncio.timeout(10):
        await ReadingResponse(reading, window, EventSourceSettings())(SCOPE, never, send)
    return streams


async def test_a_reader_that_stops_reading_holds_no_invocation_beyond_its_deadline(
    log: DynamoDBStore,
) -> None:
    async def blocked(message: Message) -> None:
        if b"answer" in message.get("body", b""):
            await asyncio.Event().wait()

    provider = ScriptedProvider([[Answer("a"), asyncio.Event()]])
    begun = time.monotonic()

    await serve(log, provider, Window(deadline=time.time() + 3), blocked)

    assert time.monotonic() - begun < 3
    assert provider.running == 0


async def test_a_reader_that_is_late_is_sent_away_in_order(log: DynamoDBStore) -> None:
    """Else a busy moment at the end of an invocation would count as its failure."""
    sent: list[Message] = []

    async def late(message: Message) -> None:
        if b"answer" in message.get("body", b""):
            await asyncio.Event().wait()
        sent.append(message)

    provider = ScriptedProvider([[Answer("a"), asyncio.Event()]])

    await serve(log, provider, Window(deadline=time.time() + 3), late)

    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_an_end_that_is_late_to_be_acknowledged_is_sent_once(log: DynamoDBStore) -> None:
    """The time of the reading is over when it is, but everything has been sent."""
    ends: list[float] = []

    async def acknowledge_late(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            ends.append(time.monotonic())
            await asyncio.sleep(0.3)  # Longer than the last words may take.

    provider = ScriptedProvider([[Answer("a"), asyncio.Event()]])

    await serve(log, provider, Window(deadline=time.time() + 3), acknowledge_late)

    assert len(ends) == 1


async def test_a_reader_that_is_gone_when_its_late_response_is_ended_is_no_failure(
    log: DynamoDBStore,
) -> None:
    async def block_and_break(message: Message) -> None:
        if b"answer" in message.get("body", b""):
            await asyncio.Event().wait()
        if message["type"] == "http.response.body" and not message["more_body"]:
            raise OSError("the reader is gone")

    provider = ScriptedProvider([[Answer("a"), asyncio.Event()]])

    await serve(log, provider, Window(deadline=time.time() + 3), block_and_break)

    assert provider.running == 0


async def test_the_generation_is_waited_for_when_its_reader_has_gone(log: DynamoDBStore) -> None:
    """Lambda would freeze the sandbox in mid-sentence; and no poller runs for the reader's sake."""
    gone = asyncio.Event()
    provider = ScriptedProvider([[Answer("a"), gone, Answer("b"), Done("stop", 1, 2)]])

    async def leave(message: Message) -> None:
        if b"answer" in message.get("body", b""):
            gone.set()
            raise OSError("the reader is gone")

    streams = await serve(log, provider, Window(deadline=time.time() + 60), leave)

    assert provider.running == 0
    assert not streams._streams, "no tail is left, and none that waits for the garbage collector"


async def test_a_reader_that_stops_reading_a_stream_of_another_writer_is_cut_after_its_life(
    log: DynamoDBStore,
) -> None:
    """It has time for a take-over that is under way, and no more."""

    async def blocked(message: Message) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    timing = dataclasses.replace(TIMING, reader_life=0.5, read_patience=1.0)
    provider = ScriptedProvider([[Answer("a"), asyncio.Event()]])
    streams = test_streams.streams_of(log, provider, timing=timing)
    window = Window(deadline=time.time() + 60)
    reading = await streams.create_and_read(START, None, window)
    visiting = await streams.read(reading.stream_id, 0, window)
    assert visiting is not None

    async with asyncio.timeout(4):
        await ReadingResponse(visiting, window, EventSourceSettings())(SCOPE, never, blocked)

    assert provider.running == 1, "the writer goes on"
    await streams.close()
