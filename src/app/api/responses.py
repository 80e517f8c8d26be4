"""The SSE response: a reading, frame by frame."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi.sse import EventSourceResponse
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app import metrics
from app.api.sse import KEEP_ALIVE, frame, padded, refusal, retry
from app.exceptions import RetryLater, SecretUnavailable
from app.log import logger
from app.settings import EventSourceSettings
from durable_stream import Reading, Record, StoreError, StoreUnavailable, Window
from durable_stream.exceptions import shortened

# `no-transform` keeps proxies from compressing, and so from holding back; the last is nginx's.
HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

_LAST_WORDS_SECONDS = 0.1
# For the end of a response that is late, until the platform has acknowledged it.
_END_SECONDS = 0.5


def window(scope: Scope) -> Window:
    """The window for a response to this request, by the scope of its server."""
    served: dict[str, Any] = scope.get("extensions", {}).get("lambda_stream", {})
    return Window(deadline=served.get("deadline"), buffered=served.get("buffered", False))


class ReadingResponse(EventSourceResponse):
    """Streams a reading, and holds the invocation until the work that it started is over."""

    def __init__(self, reading: Reading, window: Window, settings: EventSourceSettings) -> None:
        self._body = _frames(reading, window, settings)
        super().__init__(self._body, headers=HEADERS)
        self._reading = reading
        self._holds = window.deadline is not None and not window.buffered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames; a client that leaves ends the sending, not the generating."""
        try:
            await self._send_in_time(scope, receive, send)
        except (ClientDisconnect, OSError):
            logger.info("the reader left", extra={"stream": shortened(self._reading.stream_id)})
        finally:
            await self._body.aclose()
            if self._holds or self._reading.complete:
                await self._reading.settled()

    async def _send_in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reading's time is over; then end, once, a response that has not ended.

        Raises OSError, as which a TimeoutError counts, if the reader does not even let it end.
        """
        clock = asyncio.get_running_loop().time
        # A reader that stops reading blocks the sending, and nothing else would end it.
        limit = asyncio.timeout_at(self._reading.cut_at + _LAST_WORDS_SECONDS)
        ended = False

        async def tell(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended = True
                limit.reschedule(max(limit.when() or 0.0, clock() + _END_SECONDS))
            elif not ended:
                # A reader that has become the writer has longer.
                limit.reschedule(self._reading.cut_at + _LAST_WORDS_SECONDS)
            await send(message)

        try:
            async with limit:
                await super().__call__(scope, receive, tell)
        except TimeoutError:
            if ended:
                raise
            async with asyncio.timeout(_END_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _frames(
    reading: Reading, window: Window, settings: EventSourceSettings
) -> AsyncGenerator[bytes]:
    size = settings.padding_bytes
    opening = retry(settings.buffered_retry_ms if window.buffered else settings.retry_ms)
    yield padded(opening, size)
    try:
        async with aclosing(reading.batches()) as batches:
            async for records in batches:
                yield padded(_chunk(records), size)
    except StoreError as error:
        logger.exception("reading failed", extra={"stream": shortened(reading.stream_id)})
        metrics.failed(error.code)
        yield padded(retry(settings.retry_trouble_ms), size)


def _chunk(records: Sequence[Record]) -> bytes:
    return b"".join(map(frame, records)) or KEEP_ALIVE


def retry_response(
    error: StoreUnavailable | SecretUnavailable, settings: EventSourceSettings
) -> Response:
    """The answer to an EventSource in trouble that will pass: it takes all but 200 for final."""
    metrics.failed(error.code)
    return _event_stream(retry(settings.retry_trouble_ms))


def retry_refused(error: RetryLater) -> Response:
    """The answer to an EventSource that is over a limit: why, and when to come back."""
    metrics.refused(error.code)
    again = retry(error.retry_after * 1000)
    return _event_stream(again + refusal(error.code, error.message))


def retry_reading(error: RetryLater) -> Response:
    """The answer to a reader that connects too often: when to do so again, and no event.

    An error event would tell that the stream has failed, and nothing is wrong with it.
    """
    metrics.refused(error.code)
    return _event_stream(retry(error.retry_after * 1000))


def _event_stream(content: bytes) -> Response:
    return Response(content, media_type=EventSourceResponse.media_type, headers=HEADERS)
