"""An HTTP client for model services that answer with Server-Sent Events.

httpx's errors are translated here, and nowhere else:

no connection, or closed before an answer     provider_unreachable
a response that is not a stream of events     the failure in its body (`http_errors`)
a connection that breaks within the stream    provider_cut
an event that is too long                     provider_garbled

A stream that ends is not an error here: only its events show whether the answer was complete.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import httpx
from httpx_sse import EventSource

from app.exceptions import ProviderError
from app.log import logger
from app.models.deadlines import IdleTimer
from app.models.failures import Code, failure
from app.models.http.http_errors import error_of, parsed

# How long to wait for the end of a body after the last event that matters. A connection whose body
# has ended can serve the next request, but some servers hold the body open.
END_SECONDS = 0.05

# Events have a few hundred bytes; with log probabilities or pictures, tens of thousands.
_LARGEST_EVENT = 1_000_000
_LARGEST_ERROR = 100_000

# After these errors the request has not left this machine; after any other it may have arrived.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

# Proxies and load balancers close idle connections after a minute or more.
_KEEP_ALIVE_SECONDS = 50


def base_url(environ: Mapping[str, str], name: str, default: str) -> httpx.URL:
    """The address in a variable, without a slash at its end; raises ValueError."""
    text = environ.get(name, "").strip() or default
    try:
        url = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL()
    # A user and password in it would replace the key in the request's headers.
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        # Without its value, which may hold a password.
        raise ValueError(f"{name} is not an address: set it to one such as {default}")
    return url


async def drain(events: AsyncGenerator[str]) -> None:
    """Read the rest of the body, for a moment, and ignore it."""
    with suppress(ProviderError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            async for _ in events:
                pass


def credential(key: str) -> str:
    """The key, if a header can hold it; raises `provider_denied` for a stray line break, say."""
    if key.isascii() and key.isprintable():
        return key
    logger.error("the key holds characters that a header cannot hold")
    raise failure("provider_denied")


class EventClient:
    """A client for one address, which keeps its connections.

    The HTTP client is created with the first request. Only the trust store is read at once: that
    takes long, and a sandbox has a whole CPU while it starts.
    """

    def __init__(self, url: httpx.URL, *, connect_seconds: float) -> None:
        self._url = url
        self._connect_seconds = connect_seconds
        self._trust = httpx.create_ssl_context() if url.scheme == "https" else False
        self._made: httpx.AsyncClient | None = None

    async def post(
        self, body: Mapping[str, Any], headers: Mapping[str, str], timer: IdleTimer
    ) -> AsyncGenerator[str]:
        """Yield the data of each event. Closing this closes the connection.

        Each byte that arrives resets `timer`, which owns all deadlines but that of connecting.
        """
        request = self._client.build_request("POST", self._url, json=body, headers=headers)
        with _translated("provider_unreachable"):
            response = await self._client.send(request, stream=True)
        try:
            with _translated("provider_cut"):
                if not _is_event_stream(response):
                    raise error_of(response.status_code, parsed(await _beginning(response)))
                observed = _Observed(response.stream, timer.reset)
                response.stream = observed
                response.encoding = "utf-8"  # Events always are; the header may differ.
                async with aclosing(EventSource(response).aiter_sse()) as events:
                    async for event in events:
                        observed.since_event = 0
                        if event.data:
                            yield event.data
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close the connections that are kept."""
        if self._made is not None:
            await self._made.aclose()
            self._made = None

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._made is None:
            self._made = httpx.AsyncClient(
                # Compression would delay tokens.
                headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
                verify=self._trust,
                timeout=httpx.Timeout(None, connect=self._connect_seconds),
                # The number of streams at once is limited elsewhere.
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS),
            )
        return self._made


class _Observed(httpx.AsyncByteStream):
    """A response's bytes. Reports each arrival, and bounds the bytes of one event."""

    def __init__(self, stream: Any, on_bytes: Callable[[], None]) -> None:
        self._stream = stream
        self._on_bytes = on_bytes
        self.since_event = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._on_bytes()
            self.since_event += len(chunk)
            if self.since_event > _LARGEST_EVENT:
                raise failure("provider_garbled")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _translated(code: Code) -> Iterator[None]:
    try:
        yield
    except httpx.RequestError as error:
        logger.warning("the provider's connection fails", extra={"error": type(error).__name__})
        raise failure(code, at_work=not isinstance(error, _NEVER_SENT)) from error


def _is_event_stream(response: httpx.Response) -> bool:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return response.status_code == httpx.codes.OK and kind == "text/event-stream"


async def _beginning(response: httpx.Response) -> bytes:
    """The beginning of an error's body; if it breaks off, the status is enough."""
    body = b""
    with suppress(httpx.RequestError):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LARGEST_ERROR:
                break
    return body
