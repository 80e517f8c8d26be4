"""The rules that hold for every provider that is asked over HTTP.

Each test runs against a real server of the tests' own, once for each wire.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events import Answer, Done
from tests.app.models.http.model_server import (
    EVENTS,
    EVENTS_UNTIL_CLOSE,
    End,
    ModelServer,
    Reply,
    model_server,
    refusing,
)
from tests.app.models.wires import (
    DELTAS,
    KEY,
    NOTHING,
    PROMPT,
    REQUEST,
    Connect,
    Wire,
    all_wires,
    asked,
    is_free,
)
from tests.ports import refusing_port

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", all_wires(), ids=lambda w: w.name)]

SOON = 1.0


# Answers


@pytest.mark.parametrize(
    "head", [EVENTS, EVENTS_UNTIL_CLOSE, EVENTS.replace(b"-stream", b"-stream; charset=latin-1")]
)
async def test_an_answer_is_passed_on_up_to_its_finish(
    wire: Wire, server: ModelServer, connect: Connect, head: bytes
) -> None:
    server.answer = lambda _: Reply(wire.frames, head=head)

    assert await asked(connect()) == (DELTAS, None)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_how_the_bytes_are_packed_changes_nothing(
    wire: Wire, server: ModelServer, connect: Connect, newline: bytes, size: int
) -> None:
    body = b"".join(wire.frames).replace(b"\n", newline)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    server.answer = lambda _: Reply(pieces)

    assert await asked(connect()) == (DELTAS, None)


async def test_a_delta_is_passed_on_as_soon_as_it_has_come(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    seen = asyncio.Event()
    first = next(i for i, each in enumerate(wire.frames) if "café".encode() in each)
    server.answer = lambda _: Reply([*wire.frames[: first + 1], seen, *wire.frames[first + 1 :]])

    stream = connect().stream(REQUEST, NOTHING)
    async for delta in stream:
        if isinstance(delta, Answer):
            seen.set()

    assert seen.is_set()


async def test_comments_and_events_of_no_interest_are_passed_over(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    noise = b": comment\n\n:\nretry: 3\nid: 7\n\nevent: other\n\n"
    server.answer = lambda _: Reply([part for each in wire.frames for part in (noise, each)])

    assert await asked(connect()) == (DELTAS, None)


async def test_many_streams_at_once_do_not_mix(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply(wire.frames)
    provider = connect()

    answers = await asyncio.gather(*(asked(provider) for _ in range(50)))

    assert answers == [(DELTAS, None)] * 50


async def test_one_connection_serves_one_request_after_the_other(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply(wire.frames)
    provider = connect()

    for _ in range(3):
        await asked(provider)
    await provider.close()

    assert [each.connection for each in server.asked] == [1, 1, 1]


async def test_a_provider_that_was_closed_can_be_asked_again(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    """A test, or a reload, may close a provider that is still in use."""
    server.answer = lambda _: Reply(wire.frames)
    provider = connect()
    await provider.close()

    assert await asked(provider) == (DELTAS, None)


# Answers that end early


@pytest.mark.parametrize("end", [End.WELL, End.CLOSED, End.RESET])
@pytest.mark.parametrize("head", [EVENTS, EVENTS_UNTIL_CLOSE])
async def test_an_answer_that_ends_early_anywhere_is_cut_and_never_finished(
    wire: Wire, server: ModelServer, connect: Connect, head: bytes, end: End
) -> None:
    """At every boundary between frames, and at places within each."""
    body = b"".join(wire.frames)
    starts = [len(b"".join(wire.frames[:count])) for count in range(len(wire.frames))]
    complete = len(b"".join(wire.frames[: wire.completing]))
    cuts = [start + inside for start in starts for inside in (0, 1, 9, 40)]
    cuts += [cut for start in [*starts[1:], len(body)] for cut in (start - 1, start - 2)]
    server.answer = lambda count: Reply([body[: cuts[count]]], end, head)
    provider = connect()

    for cut in cuts:
        deltas, code = await asked(provider)

        if code is None:
            assert cut >= complete
            assert deltas[:-1] == DELTAS[:-1]
            assert isinstance(deltas[-1], Done)
        else:
            assert cut < complete or end is End.RESET
            assert code == "provider_cut"
            assert deltas == DELTAS[: len(deltas)]
            assert not any(isinstance(delta, Done) for delta in deltas)


async def test_nothing_at_all_is_an_answer_cut(connect: Connect) -> None:
    assert await asked(connect()) == ([], "provider_cut")


# Errors instead of answers


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, "provider_rejected"),
        (400, "provider_rejected"),
        (401, "provider_denied"),
        (402, "quota_exhausted"),
        (403, "model_access_denied"),
        (404, "provider_rejected"),
        (408, "provider_timeout"),
        (413, "context_too_long"),
        (429, "provider_throttled"),
        (500, "provider_failed"),
        (502, "provider_failed"),
        (503, "provider_overloaded"),
        (504, "provider_timeout"),
        (529, "provider_overloaded"),
    ],
)
async def test_a_status_tells_what_is_wrong_and_is_not_asked_about_again(
    server: ModelServer, connect: Connect, status: int, code: str
) -> None:
    """The caller decides about a retry, despite `Location` and `Retry-After`."""
    headers = f"Retry-After: 0\r\nLocation: {server.url}/elsewhere\r\n"
    server.answer = lambda _: refusing(status, b"<html>", headers)

    assert await asked(connect()) == ([], code)
    assert len(server.asked) == 1


async def test_the_body_of_an_error_is_read(server: ModelServer, connect: Connect) -> None:
    body = b'{"error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}'
    server.answer = lambda _: refusing(400, body)

    assert await asked(connect()) == ([], "context_too_long")


@pytest.mark.parametrize("end", [End.CLOSED, End.RESET])
async def test_an_error_whose_body_breaks_off_still_has_its_status(
    server: ModelServer, connect: Connect, end: End
) -> None:
    head = b"HTTP/1.1 401 No\r\nContent-Length: 1000\r\n\r\n"
    server.answer = lambda _: Reply([b'{"error": {'], end, head)

    assert await asked(connect()) == ([], "provider_denied")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"choices": []}', b"", b"\xff\x00"])
async def test_a_success_that_is_no_stream_of_events_is_not_asked_for_again(
    server: ModelServer, connect: Connect, body: bytes
) -> None:
    """A server that does not stream sends a whole answer each time, and charges for it."""
    server.answer = lambda _: refusing(200, body, "Content-Type: text/html\r\n")

    assert await asked(connect()) == ([], "provider_incompatible")


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b'{"type": 7, "choices": 7}', b"\xff\xfe"])
async def test_data_that_is_not_what_it_should_be_is_garbled(
    wire: Wire, server: ModelServer, connect: Connect, data: bytes
) -> None:
    server.answer = lambda _: Reply([*wire.frames[:4], b"data: " + data + b"\n\n"])

    deltas, code = await asked(connect())

    assert code == "provider_garbled"
    assert deltas == DELTAS[: len(deltas)]


async def test_an_event_without_end_is_garbled(server: ModelServer, connect: Connect) -> None:
    server.answer = lambda _: Reply([b"data: " + b"x" * 60_000] * 20, End.HELD)

    assert await asked(connect()) == ([], "provider_garbled")


async def test_an_answer_may_be_longer_than_any_event_may(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    comments = [b": " + b"x" * 60_000 + b'\nevent: other\ndata: {"type": ""}\n\n'] * 20
    server.answer = lambda _: Reply([*wire.frames[:1], *comments, *wire.frames[1:]])

    assert await asked(connect()) == (DELTAS, None)


async def test_what_is_no_http_is_as_good_as_no_server(
    server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply([], End.CLOSED, b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n")

    assert await asked(connect()) == ([], "provider_unreachable")


@pytest.mark.parametrize("end", [End.CLOSED, End.RESET])
async def test_a_connection_that_ends_without_an_answer_is_unreachable(
    server: ModelServer, connect: Connect, end: End
) -> None:
    server.answer = lambda _: Reply([], end, b"")

    assert await asked(connect()) == ([], "provider_unreachable")
    assert len(server.asked) == 1


async def test_an_address_without_a_server_is_unreachable(connect: Connect) -> None:
    with refusing_port() as port:
        assert await asked(connect(f"http://127.0.0.1:{port}")) == ([], "provider_unreachable")


async def test_a_name_that_does_not_resolve_is_unreachable(connect: Connect) -> None:
    assert await asked(connect("http://nobody.invalid")) == ([], "provider_unreachable")


@contextmanager
def deaf_server() -> Iterator[str]:
    """An address that accepts no connection: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        filling = [socket.socket() for _ in range(8)]
        for each in filling:
            each.setblocking(False)  # noqa: FBT003 - it takes no keyword
            with suppress(BlockingIOError):
                each.connect(address)
        yield f"http://127.0.0.1:{address[1]}"
        for each in filling:
            each.close()


async def test_a_connection_that_does_not_come_about_in_time_is_unreachable(
    connect: Connect,
) -> None:
    with deaf_server() as url:
        provider = connect(url, PROVIDER_CONNECT_SECONDS="0.2")
        async with asyncio.timeout(5):
            assert await asked(provider) == ([], "provider_unreachable")


# Free failures


@pytest.mark.parametrize(
    ("status", "free"),
    [(400, True), (401, True), (429, True), (503, True), (529, True), (500, False), (504, False)],
)
async def test_a_refusal_costs_nothing_but_a_failure_may_have(
    server: ModelServer, connect: Connect, status: int, *, free: bool
) -> None:
    server.answer = lambda _: refusing(status, b"<html>")

    assert await is_free(connect()) is free


@pytest.mark.parametrize(
    "said", [b'{"error": {"type": "rate_limit_error"}}', b'{"error": {"type": "overloaded_error"}}']
)
async def test_a_refusal_within_a_stream_may_have_cost(
    wire: Wire, server: ModelServer, connect: Connect, said: bytes
) -> None:
    data = said.replace(b"{", b'{"type": "error", ', 1)
    server.answer = lambda _: Reply([*wire.frames[:1], b"data: " + data + b"\n\n"])

    assert not await is_free(connect())


async def test_an_end_for_an_unknown_reason_may_have_cost(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply(wire.unknown_end)

    assert not await is_free(connect())


async def test_only_a_request_that_was_never_sent_is_unreachable_for_nothing(
    server: ModelServer, connect: Connect
) -> None:
    """A server that hangs up without an answer may have asked the model."""
    server.answer = lambda _: Reply([], End.RESET, b"")

    with refusing_port() as port:
        assert await is_free(connect(f"http://127.0.0.1:{port}"))
    assert not await is_free(connect())
    assert len(server.asked) == 1


# Silence


@pytest.mark.parametrize("frames", [0, 1])
async def test_no_text_in_time_is_a_timeout(
    wire: Wire, server: ModelServer, connect: Connect, frames: int
) -> None:
    server.answer = lambda _: Reply(wire.frames[:frames], End.HELD)
    provider = connect(PROVIDER_FIRST_SECONDS="1")

    assert await asked(provider) == ([], "provider_timeout")
    async with asyncio.timeout(SOON):
        await server.asked[0].left.wait()


async def test_no_answer_at_all_in_time_is_a_timeout(server: ModelServer, connect: Connect) -> None:
    server.answer = lambda _: Reply([], End.HELD, b"")
    provider = connect(PROVIDER_FIRST_SECONDS="1")

    assert await asked(provider) == ([], "provider_timeout")


async def test_silence_between_deltas_is_a_timeout(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply(wire.frames[: wire.completing - 1], End.HELD)
    provider = connect(PROVIDER_IDLE_SECONDS="1")

    deltas, code = await asked(provider)

    assert (deltas, code) == (DELTAS[:-1], "provider_timeout")
    async with asyncio.timeout(SOON):
        await server.asked[0].left.wait()


async def test_a_comment_now_and_then_is_no_silence(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    """As OpenRouter sends them while a model thinks."""
    pulse = [asyncio.Event() for _ in range(8)]
    beats = [piece for each in pulse for piece in (b": still here\n", each)]
    middle = wire.completing - 1
    server.answer = lambda _: Reply([*wire.frames[:middle], *beats, *wire.frames[middle:]])
    provider = connect(PROVIDER_IDLE_SECONDS="2")

    async def beat() -> None:
        for each in pulse:
            await asyncio.sleep(0.3)
            each.set()

    (deltas, code), _ = await asyncio.gather(asked(provider), beat())

    assert (deltas, code) == (DELTAS, None)


# Closing


async def test_the_server_sees_within_a_second_that_a_stream_was_closed(
    wire: Wire, server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply(wire.frames[:5], End.HELD)
    stream = connect().stream(REQUEST, NOTHING)
    await anext(stream)

    await stream.aclose()

    async with asyncio.timeout(SOON):
        await server.asked[0].left.wait()


@pytest.mark.parametrize("head", [EVENTS, b""])
async def test_the_server_sees_within_a_second_that_its_client_was_cancelled(
    server: ModelServer, connect: Connect, head: bytes
) -> None:
    """While the model thinks, with or without having begun to answer."""
    arrived = asyncio.Event()

    def answer(_: int) -> Reply:
        arrived.set()
        return Reply([], End.HELD, head)

    server.answer = answer
    reading = asyncio.create_task(asked(connect()))
    await arrived.wait()
    # The head is on its way; the client may or may not have read it.
    reading.cancel()
    await asyncio.wait([reading])

    assert reading.cancelled()
    async with asyncio.timeout(SOON):
        await server.asked[0].left.wait()


async def test_a_stream_that_is_never_begun_asks_nothing(
    server: ModelServer, connect: Connect
) -> None:
    await connect().stream(REQUEST, NOTHING).aclose()

    assert server.asked == []


# Secrets


async def test_neither_key_nor_prompt_is_in_the_log(
    wire: Wire, server: ModelServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    said = f'{{"error": {{"type": "t", "code": "{KEY} ", "message": "{PROMPT} {KEY}"}}}}'.encode()
    server.answer = lambda count: [
        refusing(401, said),
        Reply([b"data: " + said + b"\n\n"]),
        Reply([b'data: {"choices": "' + PROMPT.encode() + b'"}\n\n']),
        Reply(wire.frames, End.RESET),
    ][count]
    provider = connect()

    for _ in range(4):
        await asked(provider)

    told = "\n".join(str(vars(record)) for record in caplog.records)
    assert "ReadError" in told, "it is a log of this"
    assert KEY not in told
    assert PROMPT not in told


@pytest.mark.parametrize("key", ["sk-with\nline", "sk\N{EN DASH}typographic", "sk-\x7f"])
async def test_a_key_that_cannot_be_sent_is_told_as_a_wrong_one(
    wire: Wire, server: ModelServer, connect: Connect, key: str
) -> None:
    provider = connect(**{f"{wire.name.upper()}_API_KEY": key})

    assert await asked(provider) == ([], "provider_denied")
    assert server.asked == []


# Settings


@pytest.mark.parametrize("address", ["localhost", "ftp://host", "http://", "http://h:port", "//h"])
def test_an_address_that_is_none_is_refused_by_the_name_of_its_setting(
    wire: Wire, address: str
) -> None:
    with pytest.raises(ValueError, match=f"{wire.name.upper()}_BASE_URL"):
        wire.provider(address)


def test_without_models_the_setting_is_named(wire: Wire) -> None:
    with pytest.raises(ValueError, match="MODELS"):
        wire.provider("http://host", MODELS=" , ")


def test_the_first_model_is_the_default(wire: Wire) -> None:
    assert wire.provider("http://host", MODELS=" b, a ,b,").models == ("b", "a")


# Anything


def pieces(wire: Wire) -> st.SearchStrategy[list[bytes]]:
    """Bodies of valid frames, of invalid frames, and of any bytes."""
    frames = st.sampled_from(wire.frames)
    mangled = st.builds(
        lambda whole, at, junk: whole[:at] + junk + whole[at:],
        frames,
        st.integers(0, 200),
        st.binary(max_size=4),
    )
    lines = st.builds(lambda data: b"data: " + data + b"\n\n", st.binary(max_size=40))
    return st.lists(frames | mangled | lines | st.binary(max_size=40), max_size=12)


@pytest.mark.parametrize("end", [End.WELL, End.CLOSED, End.RESET])
def test_any_bytes_give_deltas_or_a_decided_failure(wire: Wire, end: End) -> None:
    async def check_all(bodies: list[list[bytes]], head: bytes) -> None:
        async with model_server() as server, asyncio.timeout(20):
            server.answer = lambda count: Reply(bodies[count], end, head)
            provider = wire.provider(server.url, PROVIDER_IDLE_SECONDS="5")
            for _ in bodies:
                deltas, code = await asked(provider)
                assert (code is None) == any(isinstance(each, Done) for each in deltas)
                assert not any(isinstance(each, Done) for each in deltas[:-1])
            await provider.close()

    @settings(deadline=None, max_examples=40)
    @given(
        st.lists(pieces(wire), min_size=1, max_size=5),
        st.sampled_from([EVENTS, EVENTS_UNTIL_CLOSE, b""]),
    )
    def check(bodies: list[list[bytes]], head: bytes) -> None:
        asyncio.run(check_all(bodies, head))

    check()
