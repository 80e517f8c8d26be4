"""The Runtime API over asyncio sockets; the only module of this package that owns any.

Two kinds of connection. A worker asks for invocations, and answers the short ones, over one that
is kept open. Every streamed response gets its own: the contract says to "close the underlying
connection after it has successfully written the response" (AWS docs, runtimes-custom), and a
response that breaks must not take the next invocation with it. asyncio sets TCP_NODELAY on both.
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

# What `/response` and `/error` answer when it is this invocation that is over, not the sandbox:
# 400 refused, 410 timed out (InvokeTimeout), 413 too large.
_INVOCATION_OVER = frozenset({400, 410, 413})


class RuntimeClient:
    """One worker's view of the Runtime API.

    `address` is `AWS_LAMBDA_RUNTIME_API`, a `host:port`. Every method raises OSError when the
    API cannot be reached, and RuntimeApiError when it refuses.
    """

    def __init__(self, address: str) -> None:
        self._host = address
        self._connection = _Connection(address)

    async def next(self) -> Invocation:
        """Wait for the next invocation, however long that takes; raises EnvironmentOver.

        "Do not set a timeout on the GET request as the response may be delayed": the sandbox
        may be frozen while we wait (AWS docs, runtimes-api).
        """
        response = await self._connection.request(protocol.get(self._host, "/invocation/next"))
        if response.status != _OK:
            raise EnvironmentOver("/invocation/next", response.status, response.body)
        return Invocation.from_response(response.headers, response.body)

    async def respond(self, invocation: Invocation, body: bytes, content_type: str) -> None:
        """Answer an invocation whole; raises InvocationOver."""
        await self._answer(invocation, "response", body, {"Content-Type": content_type})

    async def respond_error(self, invocation: Invocation, error: Error) -> None:
        """Fail an invocation, which must not have been answered yet; raises InvocationOver."""
        headers = {"Content-Type": protocol.JSON, protocol.ERROR_TYPE: error.header}
        cause = error.cause(os.getcwd())  # noqa: PTH109 - pathlib would cost each cold start
        if len(cause) < protocol.MAX_CAUSE:
            headers[protocol.ERROR_CAUSE] = cause
        await self._answer(invocation, "error", error.encode(), headers)

    async def init_error(self, error: Error) -> None:
        """Report that the function cannot start. The process should exit afterwards."""
        headers = {"Content-Type": protocol.JSON, protocol.ERROR_TYPE: error.header}
        request = protocol.post(self._host, "/init/error", error.encode(), headers)
        response = await self._connection.request(request)
        if response.status != _ACCEPTED:
            raise RuntimeApiError("/init/error", response.status, response.body)

    def stream(self, invocation: Invocation) -> "ResponseStream":
        """A streamed response to an invocation; nothing is sent before its `start`."""
        return ResponseStream(self._host, invocation)

    def close(self) -> None:
        """Close the connection; an invocation that is being waited for is not taken."""
        self._connection.close()

    async def _answer(
        self, invocation: Invocation, endpoint: str, body: bytes, headers: dict[str, str]
    ) -> None:
        if invocation.invocation_id is not None:
            headers[protocol.INVOCATION_ID] = invocation.invocation_id
        path = f"/invocation/{invocation.request_id}/{endpoint}"
        response = await self._connection.request(protocol.post(self._host, path, body, headers))
        _check_accepted(path, response)


class ResponseStream:
    """The response to one invocation, sent piece by piece.

    Writing raises ResponseBroken, an OSError, once nobody reads any more.
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
        """How far this response has come."""
        return self._encoder.state

    @property
    def acknowledged(self) -> bool:
        """Whether the API has accepted this response."""
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
        """Send one piece at once; returns when the socket has room for more."""
        if data:
            await self._send(self._encoder.chunk(data))

    async def finish(self) -> None:
        """End the response and wait for its acknowledgement; raises InvocationOver."""
        await self._send(self._encoder.finish())
        await self._acknowledged()

    async def fail(self, error: Error) -> None:
        """End a response that cannot be completed; the client sees it cut."""
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
            # Closing would first send what is still buffered, to whoever does not read it.
            self._writer.transport.abort()

    async def _send(self, data: bytes) -> None:
        assert self._writer is not None
        assert self._reply is not None
        if self._reply.done():
            # An answer before the end of our request: the API has given this invocation up.
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
            # Who gives up waiting does not undo what has been sent.
            await asyncio.shield(self._reply)
        except OSError as error:
            raise ResponseBroken(f"the response was not acknowledged: {error}") from error

    async def _read_reply(self, reader: asyncio.StreamReader) -> None:
        _check_accepted(self._path, await _read_response(reader))


class _Connection:
    """A connection that is opened when needed and kept for the next request."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, data: bytes) -> Response:
        """Send one request and wait for its response.

        A kept connection that proves dead before it answers anything is replaced once: servers
        close idle ones, and a thawed sandbox finds its own gone.
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
