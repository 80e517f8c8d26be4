"""Proxies that hold responses back as parts between Lambda and a reader have been seen to do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_READ_BYTES = 64 * 1024
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Path:
    """The behaviour of a proxy.

    `lets_through` is given the number of bytes held, head included, and says if they may pass
    before the end of the response. `ends` is given the complete response, and says if the client
    ever receives its end.
    """

    lets_through: Callable[[int], bool] = lambda _: True
    ends: Callable[[bytes], bool] = lambda _: True


def holding(size: int) -> Path:
    """Pass bytes once so many have accumulated."""
    return Path(lets_through=lambda held: held >= size)


BUFFERING = Path(lets_through=lambda _: False)
HANGING = Path(lets_through=lambda _: False, ends=lambda response: bool(_body(response)))
"""A response without a body never arrives (aws-lambda-nodejs-runtime-interface-client #95)."""


@asynccontextmanager
async def proxy(url: str, path: Path) -> AsyncIterator[str]:
    """Run a proxy before this URL, and yield its own."""
    upstream = urlsplit(url)
    clients: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, EOFError):
            request = await _request(reader)
            up_reader, up_writer = await asyncio.open_connection(upstream.hostname, upstream.port)
            with contextlib.closing(up_writer):
                up_writer.write(request)
                await _pass_on(path, up_reader, reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read a request and add `Connection: close`, so that the connection ends with its response."""
    head = await reader.readuntil(_HEAD_END)
    lines = head.removesuffix(_HEAD_END).split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
    body = await reader.readexactly(int(fields.get(b"content-length", 0)))
    return b"\r\n".join([*lines, b"Connection: close"]) + _HEAD_END + body


async def _pass_on(
    path: Path,
    upstream: asyncio.StreamReader,
    client: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    response, held = b"", b""
    while piece := await upstream.read(_READ_BYTES):
        response += piece
        held += piece
        if path.lets_through(len(held)):
            writer.write(held)
            held = b""
    if path.ends(response):
        writer.write(held)
        await writer.drain()
    else:
        await client.read()  # until the client disconnects


def _body(response: bytes) -> bytes:
    return response.partition(_HEAD_END)[2]
