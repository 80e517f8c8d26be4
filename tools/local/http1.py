"""An HTTP/1.1 server on asyncio streams, parsed by h11.

It serves the function URL to clients and the Runtime API to sandboxes. Both need what complete
servers hide and h11 shows: trailers, a truncated body, the moment at which a byte is sent. A
disconnected peer is not an error: data for it is discarded.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

import h11

from local.exceptions import Truncated

HeaderList: TypeAlias = Iterable[tuple[str, str]]

READ_SIZE = 64 * 1024
# Lambda's own limit on request line and headers together.
MAX_HEAD_SIZE = 1024 * 1024
BODYLESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


@dataclass(frozen=True)
class Request:
    """The head of an HTTP request; header names are lower case."""

    method: str
    target: str
    protocol: str
    headers: tuple[tuple[str, str], ...]
    peer: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name), default)


class Connection:
    """The server's side of one HTTP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # asyncio sets it only on sockets that name their protocol; accepted ones may not.
        peer: socket.socket = writer.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_SIZE)
        self._body_ended = False
        self._method = ""
        self._bodyless = False
        self.trailers: dict[str, str] = {}

    @property
    def connected(self) -> bool:
        """True until the peer disconnects."""
        return not self._writer.is_closing() and not self._reader.at_eof()

    # Receiving the request

    async def next_request(self) -> Request | None:
        """Wait for the next request; None if the peer closes the connection."""
        # An error response to a malformed request must not depend on the previous method.
        self._method = ""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            await self._read()
        if not isinstance(event, h11.Request):
            return None
        self._body_ended = False
        self._method = event.method.decode()
        return Request(
            method=self._method,
            target=event.target.decode(),
            protocol=f"HTTP/{event.http_version.decode()}",
            headers=_decoded(event.headers),
            peer=self._writer.get_extra_info("peername")[0],
        )

    async def receive(self) -> bytes:
        """Wait for body bytes and return all received ones; none at the end of the body.

        At the end `trailers` is set.

        Raises:
            Truncated: the peer closed the connection before the end of the body.
        """
        pieces: list[bytes] = []
        while not self._body_ended:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if pieces:
                    break
                raise Truncated(str(error)) from error
            if isinstance(event, h11.Data):
                pieces.append(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._body_ended = True
                self.trailers = dict(_decoded(event.headers))
            elif pieces:
                break
            else:
                await self._read()
        return b"".join(pieces)

    async def receive_all(self, limit: int = sys.maxsize) -> bytes:
        """Wait for the whole body; stop early if it exceeds the limit."""
        body = bytearray()
        while len(body) <= limit and (data := await self.receive()):
            body += data
        return bytes(body)

    async def _read(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        try:
            data = await self._reader.read(READ_SIZE)
        except ConnectionError:
            data = b""
        self._http.receive_data(data)

    # Sending the response

    async def begin(self, status: int, headers: HeaderList) -> None:
        """Send a response's head.

        Raises:
            ValueError: the status or a header is invalid; nothing has been sent.
        """
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        try:
            head = h11.Response(status_code=status, headers=encoded)
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from error
        self._bodyless = status in BODYLESS or self._method == "HEAD"
        await self._send(head)

    async def send(self, data: bytes) -> None:
        """Send body bytes at once, as one chunk; discard them if the response has no body."""
        if data and not self._bodyless:
            await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def respond(
        self, status: int, content_type: str, body: bytes, headers: HeaderList = ()
    ) -> None:
        """Send a whole response."""
        framing = (("content-type", content_type), ("content-length", str(len(body))))
        await self.begin(status, [*framing, *headers])
        await self.send(body)
        await self.end()

    async def respond_json(self, status: int, value: object) -> None:
        await self.respond(status, "application/json", json.dumps(value).encode())

    def cut(self) -> None:
        """Abort the connection, without the end of a response."""
        self._writer.transport.abort()

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data and self.connected:
            self._writer.write(data)
            with suppress(ConnectionError):
                await self._writer.drain()

    # Once the response has been sent

    async def start_next_cycle(self) -> bool:
        """Read the rest of this request; return True if another may follow."""
        while self._http.their_state is h11.SEND_BODY and self.connected:
            await self.receive()
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        return True

    async def close(self) -> None:
        """Close the connection after the buffer has been sent."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


Handler: TypeAlias = Callable[[Connection, Request], Awaitable[None]]


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


async def _serve(connection: Connection, handle: Handler) -> None:
    try:
        with suppress(Truncated):
            while request := await connection.next_request():
                await handle(connection, request)
                if not await connection.start_next_cycle():
                    break
        await connection.close()
    except h11.RemoteProtocolError as error:
        await connection.respond(error.error_status_hint, "text/plain", str(error).encode())
        await connection.close()
    finally:
        connection.cut()


@asynccontextmanager
async def listen(listener: socket.socket, handle: Handler) -> AsyncIterator[None]:
    """Serve HTTP on a bound socket; on leaving, close every connection."""
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(_serve(Connection(reader, writer), handle))
        connections.add(serving)
        serving.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, sock=listener)
    try:
        yield
    finally:
        server.close()
        for serving in connections:
            serving.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
