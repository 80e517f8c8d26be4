"""A Runtime API that the test controls: it inspects every request and writes every response.

Requests are parsed by h11, not by the code under test, and a body is received piece by piece.
Responses are written as bytes, so that a test can also send malformed ones.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import h11

API = "/2018-06-01/runtime"
NEXT = f"GET {API}/invocation/next"
INIT_ERROR = f"POST {API}/init/error"

DEADLINE = 20.0  # seconds: no test waits longer for anything


class Request:
    """One request, available once its head has arrived."""

    def __init__(
        self, head: h11.Request, writer: asyncio.StreamWriter, gone: asyncio.Event
    ) -> None:
        self.line = f"{head.method.decode()} {head.target.decode()}"
        self.headers = _text(head.headers)
        self.trailers: Mapping[str, str] = {}
        self.peer: tuple[str, int] = writer.get_extra_info("peername")
        self._writer = writer
        self._gone = gone
        self._pieces: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    async def piece(self) -> bytes:
        """Return the next bytes of the body, none at its end; raises the error that cut it."""
        async with asyncio.timeout(DEADLINE):
            piece = await self._pieces.get()
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def body(self) -> bytes:
        """Return the rest of the body."""
        body = b""
        while piece := await self.piece():
            body += piece
        return body

    async def closed(self) -> bool:
        """Wait until the client has closed the connection."""
        async with asyncio.timeout(DEADLINE):
            return await self._gone.wait()

    def pause(self) -> None:
        """Stop reading from the connection."""
        self._reading.pause_reading()

    def resume(self) -> None:
        self._reading.resume_reading()

    @property
    def _reading(self) -> asyncio.ReadTransport:
        assert isinstance(self._writer.transport, asyncio.ReadTransport)
        return self._writer.transport

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def send(self, data: bytes) -> None:
        """Write bytes of a response."""
        self._writer.write(data)

    def close(self) -> None:
        """Close the connection after the bytes written so far."""
        self._writer.close()

    def abort(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()

    def arrived(self, piece: bytes | Exception) -> None:
        self._pieces.put_nowait(piece)


class RuntimeApi:
    """Queues requests until the test takes them."""

    def __init__(self) -> None:
        self.address = ""
        self.waiting: list[Request] = []
        self._arrival = asyncio.Condition()
        self._connections: set[asyncio.StreamWriter] = set()

    # For the test

    async def request(self, start: str) -> Request:
        """Wait for the first request whose line has this prefix."""
        try:
            async with asyncio.timeout(DEADLINE), self._arrival:
                while True:
                    for request in self.waiting:
                        if request.line.startswith(start):
                            self.waiting.remove(request)
                            return request
                    await self._arrival.wait()
        except TimeoutError:
            lines = [request.line for request in self.waiting]
            raise AssertionError(f"no request {start!r} arrived, only {lines}") from None

    async def hand_out(
        self, event: object, request_id: str = "request-1", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an invocation as the response to the next poll."""
        poll = await self.request(NEXT)
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        poll.answer(200, body, {**invocation_headers(request_id), **(headers or {})})

    async def answer_to(self, request_id: str = "request-1") -> Request:
        """Wait for the answer to an invocation, either a response or an error."""
        return await self.request(f"POST {API}/invocation/{request_id}/")

    async def invoke(
        self, event: object, request_id: str = "request-1", headers: Mapping[str, str] | None = None
    ) -> tuple[Request, bytes]:
        """Send an event, accept its answer, and return the answer and its body."""
        await self.hand_out(event, request_id, headers)
        answer = await self.answer_to(request_id)
        body = await answer.body()
        answer.answer(202)
        return answer, body

    # For the sockets

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        gone = asyncio.Event()
        with contextlib.suppress(ConnectionError):
            while await self._take(reader, writer, gone):
                pass
        gone.set()

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event
    ) -> bool:
        """Read one request; return False if the connection has ended."""
        parser = h11.Connection(h11.SERVER)
        head = await _event(parser, reader)
        if not isinstance(head, h11.Request):
            return False
        request = Request(head, writer, gone)
        async with self._arrival:
            self.waiting.append(request)
            self._arrival.notify_all()
        try:
            while isinstance(event := await _event(parser, reader), h11.Data):
                request.arrived(bytes(event.data))
        except (ConnectionError, h11.RemoteProtocolError) as error:
            request.arrived(error)
            return False
        assert isinstance(event, h11.EndOfMessage)
        request.trailers = _text(event.headers)
        request.arrived(b"")
        return True

    def close(self) -> None:
        for writer in self._connections:
            writer.transport.abort()


async def _event(parser: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := parser.next_event()) is h11.NEED_DATA:
        parser.receive_data(await reader.read(64 * 1024))
    return event


def _text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def invocation_headers(request_id: str = "request-1") -> dict[str, str]:
    """Return the headers that every invocation has, with a deadline in one minute."""
    return {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": request_id,
        "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 60_000),
        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
    }


@asynccontextmanager
async def runtime_api() -> AsyncIterator[RuntimeApi]:
    """Serve a Runtime API on a port of its own; at the end reset its connections."""
    api = RuntimeApi()
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    api.address = f"{host}:{port}"
    try:
        yield api
    finally:
        server.close()
        api.close()
        async with asyncio.timeout(DEADLINE):
            await server.wait_closed()
