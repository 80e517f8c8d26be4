"""A proxy in front of a server, which cuts its event streams where a test says.

It has a thread of its own, so a test may block while a client talks through it. Each connection has
one request.
"""

import asyncio
import re
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeAlias

import h11
import httpx

How: TypeAlias = Literal["reset", "end"]

_SIZE = 64 * 1024
_EVENT = re.compile(rb"^data:.*?\n\n", re.DOTALL | re.MULTILINE)
# A socket that is closed with this in force sends no end but a reset.
_RESETTING = struct.pack("ii", 1, 0)
# These are about one connection, not about what passes through it.
_OF_A_CONNECTION = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})


@dataclass(frozen=True)
class Request:
    """A request that passed; the names of its headers are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Cutting:
    """The proxy at `url`: the requests that came, and how many answers were cut."""

    url: str
    requests: list[Request] = field(default_factory=list)
    cuts: int = 0


@contextmanager
def cutting(url: str, *, after: int | Iterable[int], how: How = "reset") -> Iterator[Cutting]:
    """Cut event streams of the server at `url` behind their event number `after`.

    One number cuts the first stream that is answered. Several cut as many streams in turn, and the
    streams behind them pass whole: `itertools.repeat(1)` cuts each behind its first event. 0 cuts
    behind the head. "reset" breaks the connection, "end" ends the answer as if it were complete.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = Cutting(f"http://127.0.0.1:{listener.getsockname()[1]}")
    places = iter([after] if isinstance(after, int) else after)
    loop = asyncio.new_event_loop()
    serving = loop.create_task(_serve(listener, proxy, url.rstrip("/"), places, how))
    thread = threading.Thread(target=_run, args=(loop, serving))
    thread.start()
    try:
        yield proxy
    finally:
        with suppress(RuntimeError):  # it has failed, and its loop is closed
            loop.call_soon_threadsafe(serving.cancel)
        thread.join()
    if not serving.cancelled():
        serving.result()


def _run(loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None]) -> None:
    loop.run_until_complete(asyncio.wait({serving}))
    loop.close()


async def _serve(
    listener: socket.socket, proxy: Cutting, origin: str, places: Iterator[int], how: How
) -> None:
    # A connection that is used again could be one to a process that was killed meanwhile.
    limits = httpx.Limits(max_keepalive_connections=0)
    # Reading certificates is slow, and nothing here needs them.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = httpx.AsyncHTTPTransport(verify=tls, limits=limits)
    async with transport as upstream, asyncio.TaskGroup() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            passage = _Passage(proxy, upstream, origin, places, how, reader, writer)
            group.create_task(passage.converse())

        async with await asyncio.start_server(accept, sock=listener) as server:
            await server.serve_forever()


@dataclass
class _Passage:
    """One connection of a client."""

    proxy: Cutting
    upstream: httpx.AsyncHTTPTransport
    origin: str
    places: Iterator[int]
    how: How
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))

    async def converse(self) -> None:
        # Bytes that are drained have left, so the bytes before a reset are not lost with it.
        # (asyncio makes only those sockets send at once that name their protocol.)
        self.writer.transport.set_write_buffer_limits(high=0)
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            request = await self._request()
            if request is not None:
                self.proxy.requests.append(request)
                await _first_of(self._answer(request), self.reader.read())
        except (OSError, httpx.TransportError):
            self._reset()  # the server is gone, or has broken the connection itself
        finally:
            self.writer.transport.abort()

    async def _request(self) -> Request | None:
        """The request; None if the client leaves before its end."""
        head, body = None, b""
        while not isinstance(event := self.http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.reader.read(_SIZE))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return None
        assert head is not None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Request(head.method.decode(), head.target.decode(), headers, body)

    async def _answer(self, request: Request) -> None:
        async with self._asked(request) as response:
            is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
            place = next(self.places, None) if is_stream else None
            await self._send(_head(response, is_whole=place is None))
            passed = b""
            async for data in _led_by(b"", response.aiter_raw()):
                end = None if place is None else _end_of(passed + data, place)
                if end is not None:
                    await self._send(h11.Data(data=data[: end - len(passed)]))
                    await self._cut()
                    return
                passed += data
                await self._send(h11.Data(data=data))
            await self._send(h11.EndOfMessage())

    @asynccontextmanager
    async def _asked(self, request: Request) -> AsyncIterator[httpx.Response]:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.encode() not in _OF_A_CONNECTION
        }
        url = self.origin + request.target
        response = await self.upstream.handle_async_request(
            httpx.Request(request.method, url, headers=headers, content=request.body)
        )
        try:
            yield response
        finally:
            await response.aclose()

    async def _cut(self) -> None:
        self.proxy.cuts += 1
        if self.how == "reset":
            self._reset()
        else:
            await self._send(h11.EndOfMessage())

    def _reset(self) -> None:
        if self.writer.is_closing():
            return  # the client was faster
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)

    async def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        self.writer.write(self.http.send(event) or b"")
        await self.writer.drain()


def _head(response: httpx.Response, *, is_whole: bool) -> h11.Response:
    dropped = _OF_A_CONNECTION if is_whole else _OF_A_CONNECTION | {b"content-length"}
    kept = [(name, value) for name, value in response.headers.raw if name.lower() not in dropped]
    headers = [*kept, (b"connection", b"close")]
    return h11.Response(status_code=response.status_code, headers=headers)


def _end_of(body: bytes, event: int) -> int | None:
    """The place behind an event, counted from 1; behind none of them for 0."""
    if event == 0:
        return 0
    found = next(islice(_EVENT.finditer(body), event - 1, None), None)
    return found.end() if found else None


async def _led_by(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in others:
        yield each


async def _first_of(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run coroutines until one ends, and cancel the others; raises what that one raised."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
