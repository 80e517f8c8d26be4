"""The proxy that cuts event streams: where, how and how often."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from local import http1
from tests.ports import refusing_port
from tests.wires.cutting import Cutting, How, cutting

pytestmark = pytest.mark.anyio

EVENTS = [f"event: answer\ndata: {{{n}}}\n\n".encode() for n in range(4)]
# Neither a comment nor a time to wait is an event.
STREAM = b": \nretry: 20\n\n" + EVENTS[0] + b": \n" + b"".join(EVENTS[1:])
HEAD_ONLY = b""
BEHIND = [HEAD_ONLY] + [STREAM[: STREAM.index(event) + len(event)] for event in EVENTS]
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading certificates is slow
CHUNK = 7  # its ends are not those of events


class Server:
    """Has an event stream for each GET, and the body of each POST for that."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def handle(self, connection: http1.Connection, request: http1.Request) -> None:
        if request.method == "POST":
            body = await connection.receive_all()
            return await connection.respond(201, "application/json", body)
        headers = [("content-type", "text/event-stream; charset=utf-8")]
        if request.path == "/with-length":
            headers.append(("content-length", str(len(STREAM))))
        await connection.begin(200, headers)
        for start in range(0, len(STREAM), CHUNK):
            await connection.send(STREAM[start : start + CHUNK])
        if request.path == "/hanging":
            while connection.connected:  # noqa: ASYNC110 - no event tells that a peer leaves
                await asyncio.sleep(0.01)
            self.left.set()
        elif request.path == "/broken":
            return connection.cut()
        return await connection.end()


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    async with http1.listen(listener, server.handle):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def read(proxy: Cutting, path: str = "/chunked") -> tuple[bytes, How]:
    """The bytes that come, and how they end."""
    got = b""
    async with (
        httpx.AsyncClient(timeout=20, verify=NO_TLS) as client,
        client.stream("GET", proxy.url + path) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        try:
            async for data in response.aiter_raw():
                got += data
        except httpx.ReadError:
            return got, "reset"
    return got, "end"


@pytest.mark.parametrize("path", ["/chunked", "/with-length", "/hanging"])
@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("after", range(len(BEHIND)))
async def test_a_stream_is_cut_behind_an_event(after: int, how: How, path: str, url: str) -> None:
    with cutting(url, after=after, how=how) as proxy:
        assert await read(proxy, path) == (BEHIND[after], how)

    assert proxy.cuts == 1


async def test_one_number_cuts_one_stream(url: str) -> None:
    with cutting(url, after=2) as proxy:
        ends = [await read(proxy) for _ in range(3)]

    assert ends == [(BEHIND[2], "reset"), (STREAM, "end"), (STREAM, "end")]
    assert [request.target for request in proxy.requests] == ["/chunked"] * 3


async def test_numbers_cut_one_stream_each(url: str) -> None:
    with cutting(url, after=[3, 1]) as some, cutting(url, after=itertools.repeat(1)) as every:
        of_some = [await read(some) for _ in range(3)]
        of_every = [await read(every) for _ in range(3)]

    assert of_some == [(BEHIND[3], "reset"), (BEHIND[1], "reset"), (STREAM, "end")]
    assert of_every == [(BEHIND[1], "reset")] * 3


async def test_a_stream_that_ends_before_its_number_passes_whole(url: str) -> None:
    with cutting(url, after=5) as proxy:
        assert await read(proxy) == (STREAM, "end")

    assert proxy.cuts == 0


async def test_what_is_no_stream_passes_and_is_not_counted(url: str) -> None:
    with cutting(url, after=0) as proxy, httpx.Client(verify=NO_TLS) as client:
        answer = await asyncio.to_thread(
            client.post, f"{proxy.url}/echo?a=b", content=b"text", headers={"X-Own": "1"}
        )

        assert (answer.status_code, answer.content) == (201, b"text")
        assert await read(proxy) == (HEAD_ONLY, "reset")
    [request, _] = proxy.requests
    assert (request.method, request.target, request.body) == ("POST", "/echo?a=b", b"text")
    assert request.headers["x-own"] == "1"


async def test_a_client_that_leaves_leaves_the_server(url: str, server: Server) -> None:
    with cutting(url, after=[]) as proxy:
        async with (
            httpx.AsyncClient(verify=NO_TLS) as client,
            client.stream("GET", f"{proxy.url}/hanging") as response,
        ):
            await anext(response.aiter_raw())
            assert not server.left.is_set()

        async with asyncio.timeout(20):
            await server.left.wait()


async def test_a_connection_that_the_server_breaks_is_broken(url: str) -> None:
    with cutting(url, after=[]) as proxy:
        assert await read(proxy, "/broken") == (STREAM, "reset")


async def test_without_a_server_a_request_is_broken() -> None:
    with (
        refusing_port() as port,
        cutting(f"http://127.0.0.1:{port}", after=[]) as proxy,
        pytest.raises(httpx.ReadError),
    ):
        await read(proxy)
