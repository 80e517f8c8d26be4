"""Listening on the loopback, for the parts of the harness that accept connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_BACKLOG = 1024


@asynccontextmanager
async def listening(converse: Converse) -> AsyncIterator[str]:
    """The `host:port` where `converse` serves each connection; none is left after the block.

    Raises ExceptionGroup after the block if a conversation failed, other than by its connection:
    the process at the other end takes such a mistake of ours for one more fault, and bears it.
    """
    conversations: set[asyncio.Task[None]] = set()
    broken: list[Exception] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            await converse(reader, writer)
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass  # Before Python 3.12, one that ends cancelled is reported as a broken callback.
        except Exception as error:  # noqa: BLE001 - all errors are raised after the block
            broken.append(error)
        finally:
            conversations.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=_BACKLOG)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
    if broken:
        raise ExceptionGroup("conversations of the harness have broken", broken)
