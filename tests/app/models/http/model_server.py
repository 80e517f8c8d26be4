"""A model's service for tests: a real HTTP server that fails on request."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
# A body without a length ends with its connection.
EVENTS_UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class End(Enum):
    """How an answer ends, after its bytes."""

    WELL = auto()  # the last chunk, and the connection is kept
    CLOSED = auto()  # an orderly close, without the last chunk
    RESET = auto()
    HELD = auto()  # not at all: until the client leaves


@dataclass(frozen=True)
class Reply:
    """One response: its head, the pieces of its body, and its end.

    Pieces are sent one at a time, each a chunk of its own; between them a test may wait or look.
    """

    pieces: Sequence[bytes | asyncio.Event] = ()
    end: End = End.WELL
    head: bytes = EVENTS

    @property
    def chunked(self) -> bool:
        return b"chunked" in self.head


def refusing(status: int, body: bytes, headers: str = "") -> Reply:
    """An answer of this status and no stream."""
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return Reply([body], head=head.encode())


@dataclass
class Asked:
    """One request, and the moment at which its client left."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int
    left: asyncio.Event = field(default_factory=asyncio.Event)


class ModelServer:
    """Gives one answer after the other, and records the requests.

    `answer` is given the number of requests before this one, `respond` the request.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[int], Reply] = lambda _: Reply()
        self.respond: Callable[[Asked], Reply] = lambda _: self.answer(len(self.asked))
        self.port = 0
        self._connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        try:
            while await self._serve_once(reader, writer, connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve_once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> bool:
        """True if the connection stays open."""
        asked = await _request(reader, connection)
        answer = self.respond(asked)
        self.asked.append(asked)
        await _send(writer, answer)
        match answer.end:
            case End.WELL:
                return answer.chunked or b"Content-Length" in answer.head
            case End.HELD:
                # Clients do not pipeline, so only the end can come.
                assert await reader.read() == b""
                asked.left.set()
            case End.RESET:
                linger = struct.pack("ii", 1, 0)
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            case End.CLOSED:
                pass
        return False


async def _request(reader: asyncio.StreamReader, connection: int) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Asked(line.split()[1], headers, json.loads(body), connection)


async def _send(writer: asyncio.StreamWriter, answer: Reply) -> None:
    writer.write(answer.head)
    for piece in answer.pieces:
        if isinstance(piece, asyncio.Event):
            await piece.wait()
        elif answer.chunked and piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            writer.write(piece)
        await writer.drain()
    if answer.chunked and answer.end is End.WELL:
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """A server on a free port of this machine."""
    served = ModelServer()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
