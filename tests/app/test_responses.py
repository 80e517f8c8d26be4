"""The SSE response, towards readers that stop reading or are gone."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest
from starlette.types import Message

from app.api import responses
from app.api.frames import Frames
from app.api.responses import Opening, ReadingResponse, Wire
from app.api.sse import KEEP_ALIVE
from app.events import Answer, Done
from app.exceptions import AppError, RetryLater, SecretUnavailable
from app.settings import EventSourceSettings
from durable_stream import (
    BadCursor,
    Reading,
    Record,
    StoreRefused,
    StoreUnavailable,
    StreamError,
    StreamNotFound,
    Streams,
    Window,
)
from durable_stream.dynamodb import DynamoDBStore
from tests.app.scripted import START, ScriptedProvider, Step
from tests.durable_stream import test_streams

pytestmark = pytest.mark.anyio

# Work that is due before the deadline is done a second before it.
TIMING = dataclasses.replace(test_streams.TIMING, handoff_margin=2.0)
SCOPE = {"type": "http", "method": "GET", "asgi": {"version": "3.0", "spec_version": "2.4"}}
FRAMES = Frames(EventSourceSettings(), buffered=False)
OPENING = {"type": "http.response.body", "body": b"retry: 300\n", "more_body": True}
END = {"type": "http.response.body", "body": b"", "more_body": False}
NOW = Window()


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
        await ReadingResponse(reading, window, FRAMES)(SCOPE, never, send)
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

    assert sent[-1] == END


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
        await ReadingResponse(visiting, window, FRAMES)(SCOPE, never, blocked)

    assert provider.running == 1, "the writer goes on"
    await streams.close()


@pytest.fixture
def sent() -> list[Message]:
    """The messages that `answer` has sent."""
    return []


async def answer(
    opening: Opening,
    sent: list[Message],
    window: Window = NOW,
    send: Callable[[Message], Awaitable[None]] | None = None,
    **scope: object,
) -> None:
    """Answer with a reading that is opened behind the head."""

    async def take(message: Message) -> None:
        sent.append(message)
        if send is not None:
            await send(message)

    async with asyncio.timeout(10):
        await ReadingResponse(opening, window, FRAMES)({**SCOPE, **scope}, never, take)


async def test_the_head_and_the_first_bytes_go_out_before_the_reading_is_opened(
    log: DynamoDBStore, sent: list[Message]
) -> None:
    """A sandbox that dies before its first byte is answered 502, final for an EventSource."""
    streams = test_streams.streams_of(log, ScriptedProvider([[Answer("a"), Done("stop", 1, 2)]]))
    before: list[Message] = []

    async def opening() -> Reading:
        before.extend(sent)
        return await streams.create_and_read(START, None, NOW)

    await answer(opening, sent)

    assert [message["type"] for message in before] == ["http.response.start", "http.response.body"]
    assert before[-1] == OPENING
    events = b"".join(message["body"] for message in sent[2:])
    assert events.count(b"event: ") == 3
    assert b"event: done" in events
    assert sent[-1] == END


async def test_a_reading_of_which_nothing_is_left_ends_the_response(sent: list[Message]) -> None:
    async def opening() -> None:
        return None

    await answer(opening, sent)

    assert sent[1:] == [OPENING, END]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreUnavailable("no answer"), b"retry: 2000\n"),
        (StoreRefused("no table"), b"retry: 2000\n"),
        (SecretUnavailable("no answer"), b"retry: 2000\n"),
        (RetryLater("reads_limited", "Later.", retry_after=7), b"retry: 7000\n"),
        (
            StreamNotFound(),
            b'event: error\ndata: {"code":"stream_not_found","message":"%b","retryable":false}\n\n'
            % StreamNotFound.message.encode(),
        ),
        (
            BadCursor("Bad."),
            b'event: error\ndata: {"code":"bad_cursor","message":"Bad.","retryable":false}\n\n',
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_an_error_behind_the_head_is_told_on_the_wire(
    error: Exception, told: bytes, sent: list[Message]
) -> None:
    async def opening() -> None:
        raise error

    await answer(opening, sent)

    assert [message["body"] for message in sent[2:]] == [told, b""]


async def test_a_reading_that_is_not_opened_in_time_is_trouble(
    sent: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client gets signs of life meanwhile, and what hangs is stopped."""
    monkeypatch.setattr(responses, "_KEEP_ALIVE_SECONDS", 0.2)
    stopped = asyncio.Event()

    async def opening() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    begun = time.monotonic()
    await answer(opening, sent, Window(deadline=time.time() + 1.5))

    assert time.monotonic() - begun < 1.5
    assert stopped.is_set()
    bodies = [message["body"] for message in sent[2:]]
    assert bodies == [KEEP_ALIVE, KEEP_ALIVE, b"retry: 2000\n", b""]


async def test_an_opened_reading_has_its_own_time(
    log: DynamoDBStore, sent: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the time of the opening, also while nothing is sent."""
    monkeypatch.setattr(responses, "_OPENING_SECONDS", 0.3)
    go_on = asyncio.Event()
    provider = ScriptedProvider([[Answer("a"), go_on, Answer("b"), Done("stop", 1, 2)]])
    timing = dataclasses.replace(test_streams.TIMING, heartbeat=5.0, lease=20.0)
    streams = test_streams.streams_of(log, provider, timing=timing)

    async def opening() -> Reading:
        asyncio.get_running_loop().call_later(1.0, go_on.set)
        return await streams.create_and_read(START, None, NOW)

    await answer(opening, sent)

    assert b"event: done" in b"".join(message["body"] for message in sent[1:])


@pytest.mark.parametrize(
    "notices", ["by sending", "by sending, behind the opening", "by listening"]
)
async def test_a_stream_whose_creator_leaves_meanwhile_is_created_and_written_to_its_end(
    log: DynamoDBStore, sent: list[Message], notices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would wait for its writer else, and Lambda would freeze it in mid-sentence."""
    monkeypatch.setattr(responses, "_KEEP_ALIVE_SECONDS", 0.05)
    provider = ScriptedProvider([[Answer("a"), Done("stop", 1, 2)]])
    streams = test_streams.streams_of(log, provider)
    gone, opened, made = asyncio.Event(), asyncio.Event(), []

    async def opening() -> Reading:
        await gone.wait()
        made.append(await streams.create_and_read(START, None, NOW))
        opened.set()
        return made[0]

    async def leave(message: Message) -> None:
        if message.get("body") == KEEP_ALIVE:
            gone.set()
            if notices == "by sending, behind the opening":
                await opened.wait()
            if notices.startswith("by sending"):
                raise OSError("the reader is gone")

    async def left() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        await leave(message)

    listening = {**SCOPE, "asgi": {"version": "3.0", "spec_version": "2.3"}}
    window = Window(deadline=time.time() + 60)
    async with asyncio.timeout(10):
        response = ReadingResponse(opening, window, FRAMES)
        await response(SCOPE if notices.startswith("by sending") else listening, left, send)

    assert provider.running == 0
    assert (await streams.history(made[0].stream_id)).newest.terminal
    assert not any(b"event:" in message.get("body", b"") for message in sent)


async def test_an_error_of_an_opening_whose_client_has_left_ends_with_it(
    sent: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "_KEEP_ALIVE_SECONDS", 0.05)
    gone = asyncio.Event()

    async def opening() -> None:
        await gone.wait()
        raise StoreUnavailable("no answer")

    async def leave(message: Message) -> None:
        if message.get("body") == KEEP_ALIVE:
            gone.set()
            raise OSError("the reader is gone")

    await answer(opening, sent, send=leave)


async def test_a_response_that_is_never_sent_opens_nothing() -> None:
    async def opening() -> None:
        raise AssertionError

    ReadingResponse(opening, NOW, FRAMES)


class Counting(Wire):
    """A wire that is no event stream of ours."""

    def opening(self) -> bytes:
        return b"open\n"

    def records(self, records: Sequence[Record]) -> bytes:
        return b"".join(b"%d\n" % r.seq for r in records if r.event.kind == "answer")

    def unfinished(self) -> bytes:
        return b"to be continued\n"

    def failed(self, error: AppError | StreamError) -> bytes:
        return error.code.encode()


@pytest.mark.parametrize(("terminal", "last"), [(True, b": \n"), (False, b"to be continued\n")])
async def test_a_wire_renders_its_response(
    log: DynamoDBStore, sent: list[Message], *, terminal: bool, last: bytes
) -> None:
    """Records without an event there become a comment, and a hand-over has its own words."""
    go_on = asyncio.Event()
    script: list[Step] = [Answer("a"), go_on, Done("stop", 1, 2)]
    streams = test_streams.streams_of(log, ScriptedProvider([script]))
    reading = await streams.create_and_read(START, None, NOW)

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body", b"").endswith(b"1\n"):
            if terminal:
                go_on.set()
            else:
                await streams.close()

    headers = {"X-Of-The-Wire": "yes"}
    response = ReadingResponse(reading, NOW, Counting(), padding=8, headers=headers)
    async with asyncio.timeout(10):
        await response(SCOPE, never, send)

    assert response.headers["x-of-the-wire"] == "yes"
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "no-transform" in response.headers["cache-control"]
    bodies = [message["body"] for message in sent[1:]]
    assert all(len(body) >= 8 for body in bodies[:-1])
    assert bodies[0].endswith(b"open\n")
    assert bodies[-2].endswith(last)
