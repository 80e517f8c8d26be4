"""Keep-alive connections to one endpoint, each with one request at a time."""

import asyncio
import encodings.idna  # noqa: F401 - the first connection to a host with a name needs it
import math
import socket
import ssl
import time

from durable_stream.aws.endpoint import Endpoint
from durable_stream.aws.exceptions import CallFailed, Disconnected, Garbled, TimedOut
from durable_stream.aws.responses import Response, ResponseDecoder
from durable_stream.aws.trust import Trust
from durable_stream.exceptions import StoreRefused
from durable_stream.threads import in_thread

# A peer or a router on the way may forget a connection that is idle for longer, and say nothing.
# Counted by the wall clock: the others stand still while a sandbox is frozen.
_IDLE_SECONDS = 30.0


class Connections:
    """The connections to one endpoint. A connection that fails is closed, and never used again."""

    def __init__(self, endpoint: Endpoint, trust: Trust | None) -> None:
        """`trust` is None for an endpoint without TLS."""
        self._endpoint = endpoint
        self._trust = trust
        # The one used last is used next, so that the others grow old and are closed.
        self._idle: list[_Connection] = []
        self._closed = False

    async def exchange(self, request: bytes, seconds: float, *, fresh: bool = False) -> Response:
        """Send a request and return its response; connecting and both take so many seconds at most.

        Raises CallFailed or StoreRefused. An idle connection may have ended unseen; with `fresh`
        the request gets a new one.
        """
        loop = asyncio.get_running_loop()
        begun, until = time.time(), loop.time() + seconds
        connection = None if fresh else self._take()
        try:
            if connection is None:
                connection = await self._open(seconds)
            response = await connection.exchange(request, until - loop.time())
        except CallFailed:
            self._distrust(begun)
            raise
        finally:
            if connection is not None:
                self._keep_or_close(connection)
        return response

    def close(self) -> None:
        """Close the idle connections now, and those in use behind their responses."""
        self._closed = True
        self._distrust(math.inf)

    def _take(self) -> "_Connection | None":
        oldest = time.time() - _IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def _keep_or_close(self, connection: "_Connection") -> None:
        if connection.is_reusable and not self._closed:
            connection.idle_since = time.time()
            self._idle.append(connection)
        else:
            connection.close()

    def _distrust(self, moment: float) -> None:
        """Close what was idle then: a path that has gone dead takes all connections with it."""
        old = [each for each in self._idle if each.idle_since < moment]
        self._idle = [each for each in self._idle if each.idle_since >= moment]
        for connection in old:
            connection.close()

    async def _open(self, seconds: float) -> "_Connection":
        try:
            async with asyncio.timeout(seconds):
                return await self._connect_trusting()
        except TimeoutError:
            raise TimedOut(f"no connection within {seconds:.1f} s") from None
        except ssl.SSLCertVerificationError as error:
            raise StoreRefused(
                f"the certificate of {self._endpoint.host} cannot be verified "
                f"({error.verify_message}): AWS_CA_BUNDLE names a file of authorities"
            ) from error
        except OSError as error:
            raise Disconnected(f"no connection: {error}") from error

    async def _connect_trusting(self) -> "_Connection":
        trust = self._trust
        try:
            return await self._connect(None if trust is None else trust.context)
        except ssl.SSLCertVerificationError:
            if trust is None or trust.is_whole:
                raise
            await in_thread(trust.widen)
            return await self._connect(trust.context)

    async def _connect(self, tls: ssl.SSLContext | None) -> "_Connection":
        host, port = self._endpoint.host, self._endpoint.port
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(_Connection, host, port, ssl=tls)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.idle_since = time.time()
        # Behind a whole response after which the peer keeps the connection.
        self._is_free = True
        self._transport: asyncio.Transport | None = None
        self._decoder = ResponseDecoder()
        self._response: asyncio.Future[Response] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_reusable(self) -> bool:
        return self._is_free and self.is_open

    async def exchange(self, request: bytes, seconds: float) -> Response:
        if self._transport is None or not self.is_open:
            raise Disconnected("the connection has ended")
        self._is_free = False
        self._decoder = ResponseDecoder()
        loop = asyncio.get_running_loop()
        self._response = loop.create_future()
        # In each pass the event loop serves its sockets before its timers. So where it was held up,
        # a response that is there counts, though its time is over.
        timer = loop.call_later(max(0, seconds), self._time_out, seconds)
        try:
            self._transport.write(request)
            response = await self._response
        finally:
            timer.cancel()
            self._response = None
        self._is_free = response.keep_alive
        return response

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

    def _time_out(self, seconds: float) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(TimedOut(f"no answer within {seconds:.1f} s"))

    def _fail(self, error: CallFailed) -> None:
        self.close()
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)
