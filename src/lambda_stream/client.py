"""The client of the Runtime API; the only module of this package that owns sockets.

There are two kinds of connection. Each worker keeps one open, on which it polls for invocations
and sends buffered responses. Every streamed response has a connection of its own: the contract
says to "close the underlying connection after it has successfully written the response" (AWS docs,
runtimes-custom), and a broken response must not affect the next invocation. asyncio sets
TCP_NODELAY on both.
"""

import asyncio
import os

from lambda_stream import protocol
from lambda_stream.exceptions import (
    EnvironmentOver,
    InvocationOver,
    ResponseBroken,
    RuntimeApiError,
)
from lambda_stream.invocation import Invocation
from lambda_stream.protocol import Error, Prelude, StreamState
from lambda_stream.response import Response, ResponseDecoder

_READ_SIZE = 64 * 1024

_OK = 200
_ACCEPTED = 202

# `/response` and `/error` answer one of these when this invocation is over and the sandbox is not:
# 400 refused, 410 timed out (InvokeTimeout), 413 too large.
_INVOCATION_OVER = frozenset({400, 410, 413})


class RuntimeClient:
    """One worker's client of the Runtime API.

    `address` is `AWS_LAMBDA_RUNTIME_API`, a `host:port`. Every method raises OSError when the
    API cannot be reached, and RuntimeApiError when the API refuses a request.
    """

    def __init__(self, address: str) -> None:
        self._host = address
        self._connection = _Connection(address)

    async def next(self) -> Invocation:
        """Wait for the next invocation, without a timeout; raises EnvironmentOver.

        "Do not set a timeout on the GET request as the response may be delayed" (AWS docs,
        runtimes-api): Lambda may freeze the sandbox meanwhile.
        """
        response = await self._connection.request(protocol.get(self._host, "/invocation/next"))
        if response.status != _OK:
            raise EnvironmentOver("/invocation/next", response.status, response.body)
        return Invocation.from_response(response.headers, response.body)

    async def respond(self, invocation: Invocation, body: bytes, content_type: str) -> None:
        """Send a buffered response to an invocation; raises InvocationOver."""
        await self._answer(invocation, "response", body, {"Content-Type": content_type})

    async def respond_error(self, invocation: Invocation, error: Error) -> None:
        """Report an error as the only response to an invocation; raises InvocationOver."""
        headers = {"Content-Type": protocol.JSON, protocol.ERROR_TYPE: error.header}
        cause = error.cause(os.getcwd())  # noqa: PTH109 - pathlib would cost each cold start
        if len(cause) < protocol.MAX_CAUSE:
            headers[protocol.ERROR_CAUSE] = cause
        await self._answer(invocation, "error", error.encode(), headers)

    async def init_error(self, error: Error, error_type: str) -> None:
        """Report that the function cannot start. The process should exit afterwards."""
        await self._report("/init/error", error, error_type)

    async def restore_next(self) -> None:
        """Wait until this process is restored from its snapshot, without a timeout."""
        response = await self._connection.request(protocol.get(self._host, "/restore/next"))
        if response.status != _OK:
            raise RuntimeApiError("/restore/next", response.status, response.body)

    async def restore_error(self, error: Error, error_type: str) -> None:
        """Report that a restored sandbox cannot start. The process should exit afterwards."""
        await self._report("/restore/error", error, error_type)

    def stream(self, invocation: Invocation) -> "ResponseStream":
        """Return a streamed response to an invocation; nothing is sent before its `start`."""
        return ResponseStream(self._host, invocation)

    def close(self) -> None:
        """Close the connection, and so abandon a pending poll."""
        self._connection.close()

    async def _report(self, path: str, error: Error, error_type: str) -> None:
        headers = {"Content-Type": protocol.JSON, protocol.ERROR_TYPE: error_type}
        request = protocol.post(self._host, path, error.encode(), headers)
        response = await self._connection.request(request)
        if response.status != _ACCEPTED:
            raise RuntimeApiError(path, response.status, response.body)

    async def _answer(
        self, invocation: Invocation, endpoint: str, body: bytes, headers: dict[str, str]
    ) -> None:
        if invocation.invocation_id is not None:
            headers[protocol.INVOCATION_ID] = invocation.invocation_id
        path = f"/invocation/{invocation.request_id}/{endpoint}"
        response = await self._connection.request(protocol.post(self._host, path, body, headers))
        _check_accepted(path, response)


class ResponseStream:
    """The streamed response to one invocation.

    Every write raises ResponseBroken, an OSError, once the connection is lost.
    """

    def __init__(self, address: str, invocation: Invocation) -> None:
        self._address = address
        self._path = f"/invocation/{invocation.request_id}/response"
        self._encoder = protocol.StreamEncoder(
            address, invocation.request_id, invocation.invocation_id
        )
        self._writer: asyncio.StreamWriter | None = None
        self._reply: asyncio.Task[None] | None = None

    @property
    def state(self) -> StreamState:
        """The state of this response."""
        return self._encoder.state

    @property
    def acknowledged(self) -> bool:
        """True if the API has accepted this response."""
        reply = self._reply
        if reply is None or not reply.done() or reply.cancelled():
            return False
        return reply.exception() is None

    async def start(self, prelude: Prelude, first: bytes) -> None:
        """Send the prelude together with the first bytes of the body.

        Raises PreludeTooLarge before anything is sent.
        """
        try:
            reader, self._writer = await _open(self._address)
        except OSError as error:
            raise ResponseBroken(f"cannot connect to the Runtime API: {error}") from error
        self._reply = asyncio.create_task(self._read_reply(reader))
        head = self._encoder.start(prelude)
        if first:
            head += self._encoder.chunk(first)
        await self._send(head)

    async def write(self, data: bytes) -> None:
        """Send data at once, and wait until the socket has room for more."""
        if data:
            await self._send(self._encoder.chunk(data))

    async def finish(self) -> None:
        """End the response and wait for its acknowledgement; raises InvocationOver."""
        await self._send(self._encoder.finish())
        await self._acknowledged()

    async def fail(self, error: Error) -> None:
        """End a response that cannot be completed; the client gets a truncated response."""
        await self._send(self._encoder.fail(error))
        await self._acknowledged()

    def close(self) -> None:
        """Close the connection, whatever state the response is in."""
        if self._reply is not None:
            self._reply.cancel()
        if self._writer is None:
            return
        if self.acknowledged:
            self._writer.close()
        else:
            # `close` would first flush the buffer, to a peer that may not read.
            self._writer.transport.abort()

    async def _send(self, data: bytes) -> None:
        assert self._writer is not None
        assert self._reply is not None
        if self._reply.done():
            # A response before the end of our request: the API has ended this invocation.
            reason = self._reply.exception()
            raise ResponseBroken(f"the Runtime API ended the response early: {reason}")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise ResponseBroken(f"the response's connection broke: {error}") from error

    async def _acknowledged(self) -> None:
        assert self._reply is not None
        try:
            # A cancelled caller must not cancel the read: the response is sent all the same.
            await asyncio.shield(self._reply)
        except OSError as error:
            raise ResponseBroken(f"the response was not acknowledged: {error}") from error

    async def _read_reply(self, reader: asyncio.StreamReader) -> None:
        _check_accepted(self._path, await _read_response(reader))


class _Connection:
    """A keep-alive connection, opened by the first request."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, data: bytes) -> Response:
        """Send one request and wait for its response.

        If a kept connection ends before the first byte of a response, the request is sent once
        more on a new one: servers close idle connections, also while the sandbox is frozen.
        """
        if self._streams is not None:
            try:
                return await self._exchange(data)
            except _NothingReceived:
                pass
        self._streams = await _open(self._address)
        return await self._exchange(data)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, data: bytes) -> Response:
        assert self._streams is not None
        reader, writer = self._streams
        try:
            writer.write(data)
            response = await _read_response(reader)
        except BaseException:
            self.close()
            raise
        if not response.keep_alive:
            self.close()
        return response


class _NothingReceived(ConnectionError):
    """The connection ended before the first byte of a response."""


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _read_response(reader: asyncio.StreamReader) -> Response:
    decoder = ResponseDecoder()
    while True:
        try:
            data = await reader.read(_READ_SIZE)
        except ConnectionError as error:
            raise _broken(decoder, str(error)) from error
        if not data:
            raise _broken(decoder, "the Runtime API closed the connection")
        response = decoder.feed(data)
        if response is not None:
            return response


def _broken(decoder: ResponseDecoder, reason: str) -> ConnectionError:
    return ConnectionError(reason) if decoder.started else _NothingReceived(reason)


def _check_accepted(path: str, response: Response) -> None:
    if response.status == _ACCEPTED:
        return
    failure = InvocationOver if response.status in _INVOCATION_OVER else RuntimeApiError
    raise failure(path, response.status, response.body)
