"""Asking a model's service over HTTP, where the answer is a stream of server-sent events.

Every foreign error is translated here:

no connection, or closed before an answer     provider_unreachable
an answer that is no stream of events         what it says is wrong (`complaints`)
a connection that breaks within the stream    provider_cut
an event without end                          provider_garbled

A stream that merely ends, ends: whether it was complete, only what was in it can tell.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import httpx
from httpx_sse import EventSource

from app.exceptions import ProviderError
from app.log import logger
from app.models.deadlines import Watch
from app.models.failures import Code, failure
from app.models.http.http_errors import parsed, refusal

# How long to wait for a body's end when all that matters has come: it lets the connection serve
# the next request, but some servers hold it open.
END_SECONDS = 0.05

# Events are a few hundred bytes; with log probabilities or pictures, some ten thousand.
_LARGEST_EVENT = 1_000_000
_LARGEST_COMPLAINT = 100_000

# The request has not left this machine. After any other error it may have arrived.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

# Proxies and load balancers close idle connections after a minute or more.
_KEEP_ALIVE_SECONDS = 50


def base_url(environ: Mapping[str, str], name: str, default: str) -> httpx.URL:
    """The address that `name` is set to, without a slash at its end; raises ValueError."""
    text = environ.get(name, "").strip() or default
    try:
        url = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL()
    # A user and password in it would take the key's place in the request's headers.
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        # Not its value: there may be a password in it.
        raise ValueError(f"{name} is no address: set it to one such as {default}")
    return url


async def run_out(events: AsyncGenerator[str]) -> None:
    """Wait a moment for the body's end, whatever comes."""
    with suppress(ProviderError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            async for _ in events:
                pass


def credential(key: str) -> str:
    """The key, if it can be sent at all; a stray line break or typographic dash cannot."""
    if key.isascii() and key.isprintable():
        return key
    logger.error("the key holds characters that no key has")
    raise failure("provider_denied")


class EventClient:
    """Asks one address again and again, over connections that it keeps.

    It is made without a connection; the HTTP client comes with the first request. Only the trust
    store is read at once: that takes long, and a sandbox that starts has the CPU for it.
    """

    def __init__(self, url: httpx.URL, *, connect_seconds: float) -> None:
        self._url = url
        self._connect_seconds = connect_seconds
        self._trust = httpx.create_ssl_context() if url.scheme == "https" else False
        self._made: httpx.AsyncClient | None = None

    async def post(
        self, body: Mapping[str, Any], headers: Mapping[str, str], watch: Watch
    ) -> AsyncGenerator[str]:
        """Yield the data of each event. The connection is closed as soon as this is.

        Bytes of any kind are a sign of life to `watch`, which also owns all deadlines but that of
        connecting.
        """
        request = self._client.build_request("POST", self._url, json=body, headers=headers)
        with _translated("provider_unreachable"):
            response = await self._client.send(request, stream=True)
        try:
            with _translated("provider_cut"):
                if not _is_event_stream(response):
                    raise refusal(response.status_code, parsed(await _beginning(response)))
                observed = _Observed(response.stream, watch.alive)
                response.stream = observed
                response.encoding = "utf-8"  # Whatever the header says, events are.
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
                # Compression would hold tokens back.
                headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
                verify=self._trust,
                timeout=httpx.Timeout(None, connect=self._connect_seconds),
                # How many streams there are at once is decided elsewhere.
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS),
            )
        return self._made


class _Observed(httpx.AsyncByteStream):
    """A response's bytes, each of their arrivals noted, and counted between events."""

    def __init__(self, stream: Any, noted: Callable[[], None]) -> None:
        self._stream = stream
        self._noted = noted
        self.since_event = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._noted()
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
    """As much as a complaint may take; the status tells enough if it breaks off."""
    body = b""
    with suppress(httpx.RequestError):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LARGEST_COMPLAINT:
                break
    return body
