"""The ASGI messages of one request, in every order, and the response that they make."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from lambda_stream.asgi import Application, Message
from lambda_stream.cycle import ResponseCycle, prelude
from lambda_stream.exceptions import (
    InvocationOver,
    PreludeTooLarge,
    ResponseBroken,
    UnexpectedMessage,
)
from lambda_stream.protocol import Prelude

pytestmark = pytest.mark.anyio

Sent = tuple[Any, ...]

SCOPE = {"type": "http", "method": "GET", "asgi": {"version": "3.0", "spec_version": "2.4"}}
TEXT = (b"content-type", b"text/plain")
TEXT_PRELUDE = Prelude(200, [("content-type", "text/plain")], [])


class Sink:
    """Records its calls; raises `error` in the method that `breaks_at` names."""

    def __init__(self, breaks_at: str = "", error: Exception | None = None) -> None:
        self.sent: list[Sent] = []
        self._breaks_at = breaks_at
        self._error = error or ResponseBroken("no reader")

    async def start(self, prelude: Prelude, first: bytes) -> None:
        self._send("start", prelude, first)

    async def write(self, data: bytes) -> None:
        self._send("write", data)

    async def finish(self) -> None:
        self._send("finish")

    def _send(self, *sent: object) -> None:
        if sent[0] == self._breaks_at:
            raise self._error
        self.sent.append(sent)


class Unacknowledged(Sink):
    """Accepts everything, and never acknowledges the end."""

    async def finish(self) -> None:
        await super().finish()
        await asyncio.Event().wait()


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers or (TEXT,)}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def says(*messages: Message) -> Application:
    """Make an application that sends only these messages."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


async def run(app: Application, sink: Sink, method: str = "GET", *, guard: bool = True) -> None:
    cycle = ResponseCycle(method, b"asked", sink, guard_empty=guard)
    await cycle.run(app, {**SCOPE, "method": method})


# The order of messages


async def test_one_body_message_is_one_write() -> None:
    sink = Sink()

    await run(says(start(), body(b"1", more=True), body(b"2", more=True), body(b"3")), sink)

    assert sink.sent == [
        ("start", TEXT_PRELUDE, b"1"),
        ("write", b"2"),
        ("write", b"3"),
        ("finish",),
    ]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([body(b"")], "Expected ASGI message 'http.response.start', but got 'http.response.body'"),
        (
            [start(), start()],
            "Expected ASGI message 'http.response.body', but got 'http.response.start'",
        ),
        (
            [start(), body(b"1", more=True), start()],
            "Expected ASGI message 'http.response.body', but got 'http.response.start'",
        ),
        ([{"type": "websocket.accept"}], "but got 'websocket.accept'"),
    ],
)
async def test_a_message_out_of_order_is_refused_with_both_names(
    messages: list[Message], complaint: str
) -> None:
    with pytest.raises(UnexpectedMessage, match=complaint):
        await run(says(*messages), Sink())


@pytest.mark.parametrize("message", [start(), body(b"")])
async def test_nothing_may_follow_the_end(message: Message) -> None:
    sink = Sink()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await says(start(), body(b"1"))(scope, receive, send)
        with pytest.raises(UnexpectedMessage, match="after the response was complete"):
            await send(message)

    await run(app, sink)

    assert sink.sent == [("start", TEXT_PRELUDE, b"1"), ("finish",)]


async def test_a_timeout_while_the_end_is_acknowledged_still_ends_the_response() -> None:
    sink = Unacknowledged()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(says(start(), body(b"1"))(scope, receive, send), 0.1)
        with pytest.raises(UnexpectedMessage, match="after the response was complete"):
            await send(body(b""))

    await run(app, sink)

    assert sink.sent == [("start", TEXT_PRELUDE, b"1"), ("finish",)]


@pytest.mark.parametrize(
    ("messages", "state"),
    [([], "REQUEST"), ([start()], "HEAD"), ([start(), body(b"1", more=True)], "BODY")],
)
async def test_an_application_must_not_return_before_its_response_is_complete(
    messages: list[Message], state: str
) -> None:
    with pytest.raises(UnexpectedMessage, match=f"the application returned in state {state}"):
        await run(says(*messages), Sink())


# Status and headers


@pytest.mark.parametrize("messages", [[start()], [start(), body(b"", more=True)]])
async def test_nothing_is_sent_before_the_first_byte_of_the_body(messages: list[Message]) -> None:
    """Until then an error can still be the answer to the invocation."""
    sink = Sink()

    with pytest.raises(UnexpectedMessage):
        await run(says(*messages), sink)

    assert sink.sent == []


@pytest.mark.parametrize(
    ("method", "status", "guard", "first"),
    [
        ("GET", 200, True, b"\n"),
        ("POST", 404, True, b"\n"),
        ("GET", 302, True, b"\n"),
        ("GET", 204, True, b""),
        ("GET", 205, True, b""),
        ("GET", 304, True, b""),
        ("HEAD", 200, True, b""),
        ("GET", 200, False, b""),
    ],
)
@pytest.mark.parametrize("messages", [[body(b"")], [body(b"", more=True), body(b"")]])
async def test_an_empty_body_gets_a_byte_where_its_status_permits_one(
    method: str, status: int, first: bytes, messages: list[Message], *, guard: bool
) -> None:
    sink = Sink()

    await run(says(start(status), *messages), sink, method, guard=guard)

    assert [sent[-1] for sent in sink.sent[:1]] == [first]
    assert sink.sent[1:] == [("finish",)]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_a_body_is_dropped_where_http_forbids_one(method: str, status: int) -> None:
    sink = Sink()

    await run(says(start(status), body(b"1", more=True), body(b"2")), sink, method)

    assert b"".join(sent[-1] for sent in sink.sent if sent[0] != "finish") == b""
    assert sink.sent[-1] == ("finish",)


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Content-Length",
        b"Keep-Alive",
        b"Proxy-Authenticate",
        b"Transfer-Encoding",
        b"TE",
        b"Trailer",
        b"Upgrade",
        b"x-amzn-Remapped-Date",
    ],
)
def test_a_header_of_the_connection_is_not_passed_on(name: bytes) -> None:
    assert prelude(200, [(name, b"1"), (b"X-Kept", b"2")]) == Prelude(200, [("x-kept", "2")], [])


def test_cookies_are_separated_and_names_are_in_lower_case() -> None:
    headers = [(b"Set-Cookie", b"a=1"), (b"X-Name", b"\xe9"), (b"set-cookie", b"b=2")]

    assert prelude(200, headers) == Prelude(200, [("x-name", "é")], ["a=1", "b=2"])


# Receiving


async def test_the_body_arrives_in_one_piece_and_the_disconnect_after_the_end() -> None:
    received = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        disconnect = asyncio.create_task(receive())
        for message in [start(), body(b"1", more=True), body(b"2", more=True)]:
            await send(message)
            await asyncio.sleep(0)
            assert not disconnect.done()
        await send(body(b""))
        received.append(await disconnect)
        received.append(await receive())

    await run(app, Sink())

    assert received == [
        {"type": "http.request", "body": b"asked", "more_body": False},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


# Failures of the application


@pytest.mark.parametrize("messages", [[], [start()], [start(), body(b"1", more=True)]])
async def test_a_failure_before_the_end_fails_the_invocation(messages: list[Message]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await says(*messages)(scope, receive, send)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await run(app, Sink())


async def test_a_failure_after_the_end_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Starlette's error handler answers, and raises again for the server's log."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await says(start(500), body(b"sorry"))(scope, receive, send)
        raise KeyError("mine")

    sink = Sink()
    await run(app, sink)

    assert sink.sent[-1] == ("finish",)
    assert "failed after its response was complete" in caplog.text
    assert "KeyError: 'mine'" in caplog.text


# Failures of the response

LOST = [
    ("start", ResponseBroken("no reader")),
    ("write", ResponseBroken("no reader")),
    ("finish", ResponseBroken("no reader")),
    ("finish", InvocationOver("/response", 410, b"timed out")),
    ("start", PreludeTooLarge("too many headers")),
]
every_loss = pytest.mark.parametrize(("at", "loss"), LOST)
ANSWER = [start(), body(b"1", more=True), body(b"2")]


@every_loss
async def test_send_raises_once_the_response_is_lost(at: str, loss: Exception) -> None:
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            try:
                await says(*ANSWER)(scope, receive, send)
            except type(loss) as error:
                raised.append(error)
        raise KeyError("mine")

    with pytest.raises(type(loss)):
        await run(app, Sink(at, loss))

    assert raised == [loss, loss]


@every_loss
async def test_a_lost_response_is_a_disconnect(at: str, loss: Exception) -> None:
    """A task that waits for the disconnect would otherwise wait until the timeout."""
    received = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            leaving = group.create_task(receive())
            await asyncio.sleep(0)
            with pytest.raises(type(loss)):
                await says(*ANSWER)(scope, receive, send)
            received.append(await leaving)

    with pytest.raises(type(loss)):
        await run(app, Sink(at, loss))

    assert received == [{"type": "http.disconnect"}]


@every_loss
async def test_a_lost_response_is_the_outcome_even_if_the_application_hides_it(
    at: str, loss: Exception
) -> None:
    async def hides(scope: Any, receive: Any, send: Any) -> None:
        try:
            await says(*ANSWER)(scope, receive, send)
        except type(loss):
            return

    async def wraps(scope: Any, receive: Any, send: Any) -> None:
        try:
            await says(*ANSWER)(scope, receive, send)
        except type(loss) as error:
            raise ExceptionGroup("as anyio does", [error]) from error

    for app in (hides, wraps):
        with pytest.raises(type(loss)):
            await run(app, Sink(at, loss))


async def test_starlette_treats_a_broken_response_as_a_disconnect() -> None:
    raised = []

    async def numbers() -> AsyncIterator[str]:
        for number in range(10):
            yield str(number)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await StreamingResponse(numbers())(scope, receive, send)
        except ClientDisconnect as error:
            raised.append(error)
            raise

    with pytest.raises(ResponseBroken):
        await run(app, Sink("write"))

    assert len(raised) == 1


# A head that is too large

LONG = start(200, (b"x-long", b"a" * 17_000))
PLAIN_500 = ("start", Prelude(500, [("content-type", "text/plain; charset=utf-8")]))


async def test_a_head_that_is_too_large_is_answered_500_and_fails_no_invocation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A client may have caused its length, and a failed invocation would raise an alarm."""

    async def hides(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(PreludeTooLarge):
            await says(LONG, body(b"1"))(scope, receive, send)

    for app in (says(LONG, body(b"1")), hides):
        sink = Sink()
        await run(app, sink)

        assert [each[:2] for each in sink.sent] == [PLAIN_500, ("finish",)]
    assert "send fewer or shorter response headers" in caplog.text
    sink = Sink()
    await run(says(LONG, body(b"")), sink, "HEAD")
    assert sink.sent == [(*PLAIN_500, b""), ("finish",)]


async def test_an_exception_instead_of_a_smaller_head_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        with contextlib.suppress(PreludeTooLarge):
            await send(LONG)
        raise KeyError("mine")

    await run(app, Sink())

    assert "KeyError: 'mine'" in caplog.text


async def test_an_application_may_answer_itself_when_its_head_is_too_large() -> None:
    sink = Sink()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(PreludeTooLarge):
            await send(LONG)
        await says(*ANSWER)(scope, receive, send)
        raise KeyError("mine")

    await run(app, sink)

    assert sink.sent == [("start", TEXT_PRELUDE, b"1"), ("write", b"2"), ("finish",)]


async def test_an_error_within_a_response_that_follows_a_refused_head_is_raised() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(PreludeTooLarge):
            await send(LONG)
        await says(start(), body(b"1", more=True))(scope, receive, send)
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await run(app, Sink())
