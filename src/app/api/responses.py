"""The SSE response: a reading, frame by frame."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi.sse import EventSourceResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.api.frames import KEEP_ALIVE, frame, retry
from app.event_log.records import Record
from app.exceptions import LogError
from app.generation.reading import Reading
from app.generation.streams import Window
from app.log import logger, shortened
from app.settings import Settings

# `no-transform` keeps proxies from compressing, and so from holding back; the last is nginx's.
HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


def window(scope: Scope) -> Window:
    """How long a response to this request may last, as whoever serves us says in the scope."""
    served: dict[str, Any] = scope.get("extensions", {}).get("lambda_stream", {})
    return Window(deadline=served.get("deadline"), buffered=served.get("buffered", False))


class ReadingResponse(EventSourceResponse):
    """Streams a reading, and holds the invocation until what it started is over."""

    def __init__(self, reading: Reading, window: Window, settings: Settings) -> None:
        super().__init__(_frames(reading, window, settings), headers=HEADERS)
        self._reading = reading
        self._holds = window.deadline is not None and not window.buffered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames; a client that leaves ends the sending, not the generating."""
        try:
            await super().__call__(scope, receive, send)
        except ClientDisconnect:
            logger.info("the reader left", extra={"stream": shortened(self._reading.stream_id)})
        finally:
            if self._holds:
                await self._reading.settled()


async def _frames(reading: Reading, window: Window, settings: Settings) -> AsyncGenerator[bytes]:
    opening = retry(settings.buffered_retry_ms if window.buffered else settings.retry_ms)
    yield opening
    try:
        async with aclosing(reading.batches()) as batches:
            async for records in batches:
                yield _chunk(records)
    except LogError:
        logger.exception("reading failed", extra={"stream": shortened(reading.stream_id)})
        yield retry(settings.retry_trouble_ms)


def _chunk(records: Sequence[Record]) -> bytes:
    return b"".join(map(frame, records)) or KEEP_ALIVE


class ComeBackResponse(EventSourceResponse):
    """An answer to an EventSource when the log fails: any status but 200 it would take as final."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(iter([retry(settings.retry_trouble_ms)]), headers=HEADERS)
