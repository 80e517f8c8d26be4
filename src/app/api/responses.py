"""The event-stream response: a reading, in the bytes of a wire."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Any, Protocol

from fastapi.sse import EventSourceResponse
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app import metrics
from app.api.sse import KEEP_ALIVE, padded, refusal, retry
from app.exceptions import AppError, RetryLater, SecretUnavailable
from app.log import logger
from app.settings import EventSourceSettings
from durable_stream import Reading, Record, StoreError, StoreUnavailable, StreamError, Window
from durable_stream.exceptions import shortened

# `no-transform` keeps proxies from compressing, and so from holding back; the last is nginx's.
HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

_NO_MORE: Mapping[str, str] = MappingProxyType({})

_LAST_WORDS_SECONDS = 0.1
# For the end of a response that is late, until the platform has acknowledged it.
_END_SECONDS = 0.5

# How long a reading may take to be opened, how long before the deadline it must be, and how often
# the client is sent a sign of life meanwhile.
_OPENING_SECONDS = 15.0
_OPENING_MARGIN = 1.0
_KEEP_ALIVE_SECONDS = 2.0

_BROKEN = 500

Opening = Callable[[], Awaitable[Reading | None]]


def window(scope: Scope) -> Window:
    """The window for a response to this request, by the scope of its server."""
    served: dict[str, Any] = scope.get("extensions", {}).get("lambda_stream", {})
    return Window(deadline=served.get("deadline"), buffered=served.get("buffered", False))


class Wire(Protocol):
    """The bytes of one response. It is handed the records of a reading in order, each once."""

    def opening(self) -> bytes:
        """The first bytes, sent before a reading that is yet to be opened."""
        ...

    def records(self, records: Sequence[Record]) -> bytes:
        """The bytes for these records; a comment is sent where there are none."""
        ...

    def unfinished(self) -> bytes:
        """The last bytes of a response that ends while the stream continues."""
        ...

    def nothing_left(self) -> bytes:
        """The last bytes of a response whose reading was opened and is None."""
        return self.unfinished()

    def failed(self, error: AppError | StreamError) -> bytes:
        """The last bytes of a response that an error ends after its head was sent."""
        ...


class ReadingResponse(EventSourceResponse):
    """Streams a reading, and holds the invocation until the work that it started is over.

    `reading` may be a function that opens it: then the head and the wire's opening are sent first.
    It returns None if nothing is left. Chunks smaller than `padding` bytes are filled up.
    """

    def __init__(
        self,
        reading: Reading | Opening,
        window: Window,
        wire: Wire,
        *,
        padding: int = 0,
        headers: Mapping[str, str] = _NO_MORE,
    ) -> None:
        self._source = _Source(reading, window)
        self._wire = wire
        self._padding = padding
        self._holds = window.deadline is not None and not window.buffered
        self._body = self._chunks()
        super().__init__(self._body, headers={**HEADERS, **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks; a client that leaves ends the sending, not the generating."""
        try:
            await self._send_in_time(scope, receive, send)
        except (ClientDisconnect, OSError):
            logger.info("the reader left", extra=self._source.names)
        finally:
            await self._body.aclose()
            reading = await self._source.settled()
            if reading is not None and (self._holds or reading.complete):
                await reading.settled()

    async def _send_in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reading's time is over; then end, once, a response that has not ended.

        Raises OSError, as which a TimeoutError counts, if the reader does not even let it end.
        """
        clock = asyncio.get_running_loop().time
        # A reader that stops reading blocks the sending, and nothing else would end it.
        limit = self._source.limit = asyncio.timeout_at(self._source.cut_at)
        ended = False

        async def tell(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended = True
                limit.reschedule(max(limit.when() or 0.0, clock() + _END_SECONDS))
            elif not ended:
                # A reader that has become the writer has longer.
                limit.reschedule(self._source.cut_at)
            await send(message)

        try:
            async with limit:
                await super().__call__(scope, receive, tell)
        except TimeoutError:
            if ended:
                raise
            async with asyncio.timeout(_END_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self) -> AsyncGenerator[bytes]:
        async with aclosing(self._unpadded()) as chunks:
            async for chunk in chunks:
                yield padded(chunk, self._padding)

    async def _unpadded(self) -> AsyncGenerator[bytes]:
        yield self._wire.opening()
        try:
            async with aclosing(self._source.waiting()) as waiting:
                async for _ in waiting:
                    yield KEEP_ALIVE
            reading = self._source.reading
            if reading is not None:
                async with aclosing(reading.batches()) as batches:
                    async for records in batches:
                        yield self._wire.records(records) or KEEP_ALIVE
        except (AppError, StreamError) as error:
            _report(error, self._source.names)
            yield self._wire.failed(error)
            return
        if reading is None:
            last = self._wire.nothing_left()
        else:
            last = b"" if reading.complete else self._wire.unfinished()
        if last:
            yield last


class _Source:
    """The reading of a response: given, or opened by a task.

    The task continues when the client leaves, since it may have created the stream that it opens.
    `limit` is the time limit of the response, which changes with the reading.
    """

    def __init__(self, reading: Reading | Opening, window: Window) -> None:
        self.reading: Reading | None = None
        self.limit: asyncio.Timeout | None = None
        self._open: Opening | None = None
        self._task: asyncio.Future[Reading | None] | None = None
        self._until = asyncio.get_running_loop().time() + _opening_seconds(window)
        if isinstance(reading, Reading):
            self.reading = reading
        else:
            self._open = reading

    @property
    def names(self) -> dict[str, str]:
        """The stream, as the function's log names it, where it is known."""
        return {} if self.reading is None else {"stream": shortened(self.reading.stream_id)}

    @property
    def cut_at(self) -> float:
        """When the sending may be cut, by the event loop's clock."""
        until = self._until if self.reading is None else self.reading.cut_at
        return until + _LAST_WORDS_SECONDS

    async def waiting(self) -> AsyncGenerator[None]:
        """Yield now and then until the reading is there, or known to be None.

        Raises StoreUnavailable if that takes too long, and the errors of opening.
        """
        if self._open is None:
            return
        clock = asyncio.get_running_loop().time
        task = self._task = asyncio.ensure_future(self._open())
        while not task.done():
            left = self._until - clock()
            if left <= 0:
                raise StoreUnavailable("the reading was not opened in time")
            await asyncio.wait({task}, timeout=min(left, _KEEP_ALIVE_SECONDS))
            if not task.done() and clock() < self._until:
                yield
        self.reading = task.result()
        if self.limit is not None:
            self.limit.reschedule(self.cut_at)

    async def settled(self) -> Reading | None:
        """Wait until the opening has ended or is cancelled, and return the reading, if any."""
        task = self._task
        if task is None:
            return self.reading
        if not task.done():
            left = self._until - asyncio.get_running_loop().time()
            try:
                await asyncio.wait({task}, timeout=max(0.0, left))
            finally:
                task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            return None
        error = task.exception()
        if error is None:
            self.reading = task.result()
        elif not isinstance(error, AppError | StreamError):
            raise error
        return self.reading


def _opening_seconds(window: Window) -> float:
    if window.deadline is None:
        return _OPENING_SECONDS
    return min(_OPENING_SECONDS, window.deadline - time.time() - _OPENING_MARGIN)


def _report(error: AppError | StreamError, names: Mapping[str, str]) -> None:
    if isinstance(error, RetryLater):
        metrics.refused(error.code)
    elif isinstance(error, StoreError):
        logger.exception("reading failed", extra=names)
        metrics.failed(error.code)
    elif isinstance(error, AppError) and error.status >= _BROKEN:
        metrics.failed(error.code)


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
    return _event_stream(again + refusal(error.code, error.message, retryable=True))


def retry_reading(error: RetryLater) -> Response:
    """The answer to a reader that connects too often: when to do so again, and no event.

    An error event would tell that the stream has failed, and nothing is wrong with it.
    """
    metrics.refused(error.code)
    return _event_stream(retry(error.retry_after * 1000))


def nothing_left(settings: EventSourceSettings) -> Response:
    """An event stream without events, to a client that has all and does not know 204.

    One that comes back after any end is not to do so soon.
    """
    return _event_stream(retry(settings.retry_trouble_ms))


def _event_stream(content: bytes) -> Response:
    return Response(content, media_type=EventSourceResponse.media_type, headers=HEADERS)
