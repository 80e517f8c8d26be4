"""A proxy that loses answers: the server gets the request, and the client's connection breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_SIZE = 64 * 1024


@asynccontextmanager
async def losing(url: str, answers: int) -> AsyncIterator[str]:
    """The address of the proxy, which loses the first so many answers before their heads."""
    left = answers
    origin = urlsplit(url)
    conversing: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        lost, left = left > 0, left - 1
        conversing.add(asyncio.create_task(converse(reader, writer, lost=lost)))

    async def converse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, lost: bool
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection(origin.hostname, origin.port)
        sending = asyncio.create_task(_pipe(reader, up_writer))
        try:
            if lost:
                await up_reader.read(1)
            else:
                await _pipe(up_reader, writer)
        finally:
            sending.cancel()
            for each in (up_writer, writer):
                each.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for task in conversing:
            task.cancel()
        await asyncio.gather(*conversing, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_SIZE):
            writer.write(data)
            await writer.drain()
