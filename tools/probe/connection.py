"""An HTTP/1.1 connection that reports the arrival time of every byte.

An HTTP client library hides two things that the probe measures: which read returned a byte, and
whether the connection can be used again after a response.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

from probe.exceptions import ProbeFailed

_READ_BYTES = 256 * 1024
_CONNECT_SECONDS = 10
_USER_AGENT = "lambda-llm-stream-probe"

# The errors of a broken connection.
BROKEN = (OSError, h11.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Site:
    """The address of the application; `base` is a path before its own, such as an API's stage."""

    scheme: str
    host: str
    port: int
    base: str

    @classmethod
    def parse(cls, url: str) -> "Site":
        """Parse a URL; raises ProbeFailed."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ProbeFailed(
                f"{url!r} is not the URL of a page: give one with http:// or https://"
            )
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        usual = {"http": 80, "https": 443}[self.scheme]
        return self.host if self.port == usual else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Body bytes, and the time at which they were read, in monotonic seconds."""

    data: bytes
    at: float


class Connection:
    """Sends requests one after another; raises an error of BROKEN if the connection breaks.

    If the peer closes the connection after a response, the next request opens a new one.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._http = h11.Connection(h11.CLIENT)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._arrived = 0.0

    async def open(self) -> None:
        """Connect; raises ProbeFailed."""
        self.abort()
        self._http = h11.Connection(h11.CLIENT)
        site = self._site
        tls = ssl.create_default_context() if site.scheme == "https" else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                self._reader, self._writer = await asyncio.open_connection(
                    site.host, site.port, ssl=tls
                )
        except TimeoutError:
            raise ProbeFailed(f"{site.authority} did not accept a connection in time") from None
        except OSError as error:
            raise ProbeFailed(f"{site.authority} cannot be reached: {error}") from error

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> int:
        """Send a request and return the status of its response; the caller reads the body next."""
        if self.reusable:
            self._http.start_next_cycle()
        elif self._http.our_state is not h11.IDLE:
            await self.open()
        sent = {"Host": self._site.authority, "User-Agent": _USER_AGENT, **headers}
        if body:
            sent["Content-Length"] = str(len(body))
        self._send(h11.Request(method=method, target=target, headers=list(sent.items())))
        if body:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        event = await self._next()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next()
        assert isinstance(event, h11.Response)
        return event.status_code

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield the body of the response as it arrives."""
        while isinstance(event := await self._next(), h11.Data):
            yield Piece(bytes(event.data), self._arrived)

    async def body(self) -> bytes:
        """Return the whole body of the response."""
        return b"".join([piece.data async for piece in self.pieces()])

    @property
    def reusable(self) -> bool:
        """True if the response has been read to its end and another request may follow."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def abort(self) -> None:
        """Close the connection at once, even within a response."""
        if self._writer is not None:
            self._writer.transport.abort()

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        assert data is not None
        assert self._writer is not None
        self._writer.write(data)

    async def _next(self) -> h11.Event:
        assert self._reader is not None
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Event):
                return event
            if event is h11.PAUSED:
                raise h11.RemoteProtocolError("the server sent more than one response")
            data = await self._reader.read(_READ_BYTES)
            self._arrived = time.monotonic()
            self._http.receive_data(data)


@asynccontextmanager
async def connect(site: Site) -> AsyncIterator[Connection]:
    """Open a connection for a block; raises ProbeFailed."""
    connection = Connection(site)
    try:
        await connection.open()
        yield connection
    finally:
        connection.abort()
