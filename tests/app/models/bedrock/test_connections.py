"""The thread, the socket and the event loop: closing, many at once, and reuse.

The server runs in the same event loop as the provider: a call that blocked the loop would make
a test here wait for itself.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from botocore.awsrequest import AWSHTTPConnectionPool

from app.events import Answer, Done
from app.models.base import Message, Partial, Request
from app.models.bedrock import BedrockProvider, connections
from app.models.deadlines import Deadlines
from tests import certificate
from tests.app.models.bedrock.asking import MODEL, NOTHING, REQUEST, asked, text_of
from tests.app.models.bedrock.frames import ANSWER, START, stop, text, usage
from tests.app.models.bedrock.server import Server, Talk, saying, serving_at

pytestmark = pytest.mark.anyio

# The frames that the server has sent when the reader leaves; None: not even the head.
MOMENTS = [
    pytest.param(None, id="before the answer"),
    pytest.param((), id="before the first frame"),
    pytest.param((START, text("a")), id="between frames"),
    pytest.param((START, text("a"), text("b")[:50]), id="inside a frame"),
]


@pytest.fixture(params=["http", "https"])
async def any_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Server]:
    tls = None
    if request.param == "https":
        trusted, tls = certificate.make(tmp_path)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    async with serving_at(monkeypatch, tls) as server:
        yield server


# Closing


@pytest.mark.parametrize("sent", MOMENTS)
@pytest.mark.parametrize("closing", [False, True], ids=["kept alive", "Connection: close"])
async def test_when_the_writer_stops_bedrock_sees_it_within_a_second(
    any_server: Server, sent: tuple[bytes, ...] | None, *, closing: bool
) -> None:
    reached, hung_up = asyncio.Event(), asyncio.Event()

    async def answer(talk: Talk) -> None:
        if sent is not None:
            await talk.head(Connection="close" if closing else "keep-alive")
            await talk.chunks(*sent)
        reached.set()
        await talk.hung_up_within(5)
        hung_up.set()

    any_server.answer = answer
    provider = BedrockProvider((MODEL,), Deadlines())
    asking = asyncio.create_task(asked(provider))
    async with asyncio.timeout(5):
        await reached.wait()

    asking.cancel()

    async with asyncio.timeout(1):
        with pytest.raises(asyncio.CancelledError):
            await asking
        await hung_up.wait()
    await provider.close()


async def test_closing_a_stream_that_has_spoken_ends_its_connection(
    server: Server, provider: BedrockProvider
) -> None:
    hung_up = asyncio.Event()

    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(START, text("a"))
        await talk.hung_up_within(5)
        hung_up.set()

    server.answer = answer
    stream = provider.stream(REQUEST, NOTHING)
    assert await anext(stream) == Answer("a")

    await stream.aclose()

    async with asyncio.timeout(1):
        await hung_up.wait()


async def test_a_stream_that_is_closed_unasked_asks_nothing(
    server: Server, provider: BedrockProvider
) -> None:
    await provider.stream(REQUEST, NOTHING).aclose()

    assert server.connections == 0


async def test_a_call_that_is_cut_before_it_has_a_connection_is_cut_when_it_has(
    server: Server, provider: BedrockProvider
) -> None:
    """A writer may stop while the client is being created."""
    hung_up = asyncio.Event()

    async def answer(talk: Talk) -> None:
        await talk.hung_up_within(5)
        hung_up.set()

    server.answer = answer
    provider._connecting.acquire()
    asking = asyncio.create_task(asked(provider))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    provider._connecting.release()

    async with asyncio.timeout(5):
        await hung_up.wait()


async def test_without_a_hold_on_the_sockets_a_stream_ends_with_its_next_event(
    server: Server, provider: BedrockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda brings its own boto3, which may hide its connections."""
    monkeypatch.setattr(connections, "_Pool", AWSHTTPConnectionPool)
    closed, hung_up = asyncio.Event(), asyncio.Event()

    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(START, text("a"))
        await closed.wait()
        await talk.chunks(text("b"))
        await talk.hung_up_within(1)
        hung_up.set()

    server.answer = answer
    stream = provider.stream(REQUEST, NOTHING)
    assert await anext(stream) == Answer("a")

    await stream.aclose()

    closed.set()
    async with asyncio.timeout(2):
        await hung_up.wait()


# Reuse


async def test_streams_one_after_the_other_share_client_and_connection(
    any_server: Server,
) -> None:
    any_server.answer = saying(*ANSWER)
    provider = BedrockProvider((MODEL,), Deadlines())
    assert provider._client is None, "it is made by the first request"

    await asked(provider)
    client = provider._client
    await asked(provider)

    assert provider._client is client
    assert len(any_server.talks) == 2
    assert any_server.connections == 1
    await provider.close()


async def test_closing_a_stream_late_spares_the_one_that_has_its_connection_now(
    server: Server, provider: BedrockProvider
) -> None:
    second_asks, first_closed = asyncio.Event(), asyncio.Event()

    async def answer(talk: Talk) -> None:
        if len(server.talks) == 2:
            second_asks.set()
            await first_closed.wait()
        await saying(*ANSWER)(talk)

    server.answer = answer
    first = provider.stream(REQUEST, NOTHING)
    while not isinstance(await anext(first), Done):
        pass
    second = asyncio.create_task(asked(provider))
    async with asyncio.timeout(5):
        await second_asks.wait()

    await first.aclose()
    first_closed.set()

    assert (await second)[1] is None
    assert server.connections == 1


def test_a_call_never_cuts_a_connection_that_serves_another_by_now() -> None:
    """A connection returns to the pool a moment before its call forgets it."""
    first, second, connection = (
        connections.Call(),
        connections.Call(),
        connections._TrackedConnection(),
    )
    ours, bedrocks = socket.socketpair()
    with ours, bedrocks:
        first.uses(connection, ours)
        second.uses(connection, ours)

        first.cut()
        ours.send(b"second")
        assert bedrocks.recv(100) == b"second"

        second.cut()
        assert bedrocks.recv(100) == b""


async def test_a_refusal_leaves_its_connection_to_the_next_request(
    server: Server, provider: BedrockProvider
) -> None:
    async def refuse(talk: Talk) -> None:
        await talk.refuse(429, "ThrottlingException")

    server.answer = refuse
    assert (await asked(provider))[1] == "provider_throttled"

    server.answer = saying(*ANSWER)
    assert (await asked(provider))[1] is None

    assert server.connections == 1


async def test_a_connection_that_failed_is_not_used_again(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(START, text("a"), b"\0" * 16, text("b"))
    assert (await asked(provider))[1] == "provider_garbled"

    server.answer = saying(*ANSWER)
    assert (await asked(provider))[1] is None

    assert server.connections == 2


# Many


async def test_many_streams_run_at_once_and_do_not_mix(
    server: Server, provider: BedrockProvider
) -> None:
    everybody = asyncio.Barrier(80)

    async def answer(talk: Talk) -> None:
        prompt = talk.body["messages"][0]["content"][0]["text"]
        await talk.head()
        await everybody.wait()
        await talk.chunks(START, *(text(f"{prompt}.{index} ") for index in range(20)))
        await everybody.wait()
        await talk.chunks(stop(), usage())
        await talk.end()

    server.answer = answer
    requests = [
        Request(messages=(Message("user", f"p{index}"),), model=MODEL, max_tokens=9)
        for index in range(80)
    ]

    results = await asyncio.gather(*(asked(provider, request) for request in requests))

    for index, (deltas, code) in enumerate(results):
        assert code is None
        assert text_of(deltas) == "".join(f"p{index}.{each} " for each in range(20))


async def test_a_stream_that_goes_on_where_another_was_cut_gets_the_rest(
    server: Server, provider: BedrockProvider
) -> None:
    async def answer(talk: Talk) -> None:
        if len(server.talks) == 1:
            await talk.head()
            await talk.chunks(START, text("Hello"))
            await talk.reset()
        else:
            await saying(START, text(", world"), stop(), usage())(talk)

    server.answer = answer

    begun, code = await asked(provider)
    assert (text_of(begun), code) == ("Hello", "provider_cut")
    rest, code = await asked(provider, said=Partial("", "Hello"))
    assert (text_of(rest), code) == (", world", None)
