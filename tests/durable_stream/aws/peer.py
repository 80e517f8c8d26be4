"""A peer of the client that answers with the bytes that a test decides."""

import asyncio
import contextlib
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Act = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; returns True if the connection stays."""

CONDITION_FAILED = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"


def whole(told: object = None, status: int = 200) -> bytes:
    """A response as DynamoDB sends it."""
    body = json.dumps({} if told is None else told).encode()
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"x-amz-crc32: {zlib.crc32(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def sends(data: bytes, *, stays: bool = True) -> Act:
    """Send these bytes, and keep the connection or close it."""

    async def act(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return stays

    return act


async def waits(_: asyncio.StreamWriter) -> bool:
    """Send nothing, and keep the connection open until the client closes it."""
    return True


def breaks(data: bytes) -> Act:
    """Send these bytes, and break the connection."""

    async def act(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        writer.transport.abort()
        return False

    return act


@dataclass
class Peer:
    """A server. `usual` answers where no act is left."""

    url: str = ""
    acts: list[Act] = field(default_factory=list)
    usual: Act = field(default_factory=lambda: sends(whole()))
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    ended: Callable[[], None] = lambda: None
    """Called when a connection ends."""
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        # Before Python 3.12, a connection that ends cancelled is reported as a broken callback.
        ended = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*ended):
            while True:
                self.requests.append(await _request(reader))
                act = self.acts.pop(0) if self.acts else self.usual
                if not await act(writer):
                    break
        writer.close()
        self.ended()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    [length] = [line.split(":")[1] for line in lines if line.startswith("content-length:")]
    return head + await reader.readexactly(int(length))


@asynccontextmanager
async def peer(tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """A peer for as long as the block runs."""
    made = Peer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", ssl=tls)
    host, port = server.sockets[0].getsockname()
    made.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield made
    finally:
        server.close()
        for task in made.serving:
            task.cancel()
        await asyncio.gather(*made.serving, return_exceptions=True)
