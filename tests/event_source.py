"""A client that does as the HTML specification tells an EventSource to do, and no more.

Any end of a 200 reconnects after `retry` with the last id; 204 stops; anything else is final. It
knows nothing of our events: not even a terminal one stops it.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.event_stream import DEFAULT_RETRY_MS, Decoder

# The events, and kinds of records, behind which a stream has nothing more.
TERMINAL = frozenset({"done", "error", "cancelled"})
# How long an answer may take to begin: a cold start on a busy machine.
BEGIN_SECONDS = 30


@dataclass(frozen=True)
class Event:
    """One event as it was received; `at` is a time of the monotonic clock."""

    id: str
    name: str
    data: dict[str, Any]
    at: float

    @property
    def seq(self) -> int:
        return int(self.id.split(":")[1])


class PermanentFailure(Exception):
    """The answer that makes an EventSource give up; `text` is the part of its body that came."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


@dataclass
class EventSource:
    """Follows one URL until the server says 204. `on_event` sees each event as it comes.

    `on_connect` is told before each connection. With a `body` it is no EventSource but a fetch that
    POSTs that. An answer that has begun and then says nothing for `silence` seconds is taken for
    dead, as TCP or a watchdog would sooner or later.
    """

    http: httpx.AsyncClient
    url: str
    on_event: Callable[[Event], None] = lambda _: None
    on_connect: Callable[[], None] = lambda: None
    silence: float = 30
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    last_event_id: str = ""
    connections: int = 0
    retry_ms: int = DEFAULT_RETRY_MS

    async def follow(self) -> list[Event]:
        """All events; raises PermanentFailure."""
        while await self.connect():  # noqa: ASYNC110 - EventSource waits before it reconnects
            await asyncio.sleep(self.retry_ms / 1000)
        return self.events

    async def connect(self) -> bool:
        """Connect once and read to the end; False for 204. Raises PermanentFailure."""
        self.connections += 1
        self.on_connect()
        headers = {"Accept": "text/event-stream", **self.headers}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        try:
            async with self.http.stream(
                "GET" if self.body is None else "POST",
                self.url,
                json=self.body,
                headers=headers,
                timeout=BEGIN_SECONDS,
            ) as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return False
                if not _is_event_stream(response):
                    raise await self._failure(response)
                async for event in self._read(response):
                    self.events.append(event)
                    self.on_event(event)
        except (httpx.TransportError, TimeoutError):
            pass
        return True

    async def _failure(self, response: httpx.Response) -> PermanentFailure:
        """The status alone decides: a body that breaks off changes nothing."""
        said = bytearray()
        with suppress(httpx.TransportError, TimeoutError):
            async for data in self._pieces(response):
                said += data
        return PermanentFailure(response.status_code, said.decode(errors="replace"))

    async def _read(self, response: httpx.Response) -> AsyncIterator[Event]:
        stream = Decoder(last_event_id=self.last_event_id, retry_ms=self.retry_ms)
        async for data in self._pieces(response):
            for message in stream.feed(data):
                self.last_event_id = message.id
                yield Event(message.id, message.name, json.loads(message.data), time.monotonic())
            self.last_event_id = stream.last_event_id
            self.retry_ms = stream.retry_ms

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """An answer's body as it comes; raises TimeoutError when nothing does for too long."""
        pieces = response.aiter_bytes()
        while True:
            async with asyncio.timeout(self.silence):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece


def _is_event_stream(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status_code == httpx.codes.OK and kind == "text/event-stream"
