"""HTTP/1.1 on asyncio streams, parsed by h11.

Both faces of the emulator speak through it: the function URL to clients, the Runtime API to
sandboxes. h11 shows what ready-made servers hide and this job needs: trailers, a body cut short,
the moment at which a byte leaves. A peer that has gone is no error: what it is sent is discarded.
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
        # asyncio does so only for sockets that name their protocol, which an accepted one may not.
        peer: socket.socket = writer.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_SIZE)
        self._body_ended = False
        self._method = ""
        self._bodyless = False
        self.trailers: dict[str, str] = {}

    @property
    def connected(self) -> bool:
        """Whether the peer is still there."""
        return not self._writer.is_closing() and not self._reader.at_eof()

    # Receiving the request

    async def next_request(self) -> Request | None:
        """Wait for the next request; None when the peer has closed."""
        # The answer to a request that cannot be read is none to the request before it.
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
        """Wait for body bytes and give all that have come; at the end, trailers known, give none.

        Raises:
            Truncated: the peer closed before the end of the body.
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
        """Wait for the whole body; of one beyond the limit, until more than the limit has come."""
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
            ValueError: the status or a header cannot be sent; nothing was.
        """
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        try:
            head = h11.Response(status_code=status, headers=encoded)
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from error
        self._bodyless = status in BODYLESS or self._method == "HEAD"
        await self._send(head)

    async def send(self, data: bytes) -> None:
        """Send a piece of the body at once, as a chunk of its own; none where there is no body."""
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
        """Drop the connection as it stands, without the end of a response."""
        self._writer.transport.abort()

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data and self.connected:
            self._writer.write(data)
            with suppress(ConnectionError):
                await self._writer.drain()

    # Once the response has been sent

    async def start_next_cycle(self) -> bool:
        """Say if another request may follow; what is left of this one is read to its end."""
        while self._http.their_state is h11.SEND_BODY and self.connected:
            await self.receive()
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        return True

    async def close(self) -> None:
        """Close once everything sent has left."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


Handler: TypeAlias = Callable[[Connection, Request], Awaitable[None]]


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


async def _converse(connection: Connection, handle: Handler) -> None:
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
    """Serve HTTP on a bound socket; on leaving, every connection is closed."""
    conversations: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(_converse(Connection(reader, writer), handle))
        conversations.add(conversation)
        conversation.add_done_callback(conversations.discard)

    server = await asyncio.start_server(accept, sock=listener)
    try:
        yield
    finally:
        server.close()
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await server.wait_closed()
