"""Keep-alive connections to one endpoint, each with one request at a time."""

import asyncio
import os
import socket
import ssl
import time

from durable_stream.aws.endpoint import Endpoint
from durable_stream.aws.exceptions import CallFailed, Disconnected, Garbled, TimedOut
from durable_stream.aws.responses import Response, ResponseDecoder
from durable_stream.exceptions import StoreRefused

# A peer or a router on the way may forget a connection that is idle for longer, and say nothing.
# Counted by the wall clock: the others stand still while a sandbox is frozen.
_IDLE_SECONDS = 30.0


class Connections:
    """The connections to one endpoint. A connection that fails is closed, and never used again."""

    def __init__(self, endpoint: Endpoint, *, connect_seconds: float) -> None:
        self._endpoint = endpoint
        self._connect_seconds = connect_seconds
        self._tls = _tls() if endpoint.tls else None
        # The one used last is used next, so that the others grow old and are closed.
        self._idle: list[_Connection] = []

    async def exchange(self, request: bytes, seconds: float, *, fresh: bool = False) -> Response:
        """Send a request and return its response, which may take so many seconds.

        Raises CallFailed. An idle connection may have ended unseen; with `fresh` the request gets
        a new one.
        """
        connection = None if fresh else self._take()
        if connection is None:
            connection = await self._open()
        try:
            async with asyncio.timeout(seconds):
                response = await connection.exchange(request)
        except TimeoutError:
            connection.close()
            raise TimedOut(f"no answer within {seconds} s") from None
        except BaseException:
            connection.close()
            raise
        if response.keep_alive:
            connection.idle_since = time.time()
            self._idle.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Close the idle connections; those in use are closed by their requests."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> "_Connection | None":
        oldest = time.time() - _IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    async def _open(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        endpoint = self._endpoint
        try:
            async with asyncio.timeout(self._connect_seconds):
                transport, connection = await loop.create_connection(
                    _Connection, endpoint.host, endpoint.port, ssl=self._tls
                )
        except TimeoutError:
            raise TimedOut(f"no connection within {self._connect_seconds} s") from None
        except OSError as error:
            raise Disconnected(f"no connection: {error}") from error
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.idle_since = time.time()
        self._transport: asyncio.Transport | None = None
        self._decoder = ResponseDecoder()
        self._response: asyncio.Future[Response] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Response:
        if self._transport is None or not self.is_open:
            raise Disconnected("the connection has ended")
        self._decoder = ResponseDecoder()
        self._response = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
            return await self._response
        finally:
            self._response = None

    def close(self) -> None:
        """Close the connection at once. A request that was sent may be carried out."""
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._response is None:
            self.close()  # Nobody has asked for anything.
            return
        try:
            response = self._decoder.feed(data)
        except Garbled as error:
            self._fail(error)
            return
        if response is not None and not self._response.done():
            self._response.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Disconnected(f"the connection has ended: {exc or 'closed by the peer'}"))

    def _fail(self, error: CallFailed) -> None:
        self.close()
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)


def _tls() -> ssl.SSLContext:
    """Certificates are verified by the system's authorities, or those that AWS_CA_BUNDLE names."""
    bundle = os.environ.get("AWS_CA_BUNDLE") or None
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise StoreRefused(f"AWS_CA_BUNDLE {bundle!r} cannot be read: {error}") from error
