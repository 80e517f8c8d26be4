"""Between a client and the function: a proxy that cuts, silences and slows connections.

It counts the bytes of the answer, head and chunk sizes included, as a network would.
"""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress

from proof.chaos.faults import Fault
from proof.chaos.listening import listening
from proof.chaos.plan import AtByte

_SIZE = 64 * 1024
# 1 kB/s, for 4 s: less than half of the pace at which a stream is made.
_SLOW_BYTES = 50
_SLOW_PAUSE = 0.05
_SLOW_PAUSES = 80
# So that little of a slow reader's answer waits on this side of the function's connection.
_SLOW_BUFFER = 2048
# A socket that is closed with this in force sends no end but a reset.
_RESETTING = struct.pack("ii", 1, 0)
_HEAD_END = b"\r\n\r\n"
# The place of each kind of cut: at the end of the match. Text beyond ASCII is escaped on the
# wire, so the inside of a character is the inside of an escape, or between two surrogates.
_PLACES = {
    Fault.CUT: re.compile(rb"", re.DOTALL),
    Fault.CUT_IN_CHARACTER: re.compile(rb"\\ud8[0-9a-f]{2}|\\u[0-9a-f]{2}"),
    Fault.CUT_BEFORE_ID: re.compile(rb"\ndata: [^\n]*\n"),
    Fault.CUT_IN_ID: re.compile(rb"\nid: [\w-]+:\d"),
    Fault.CUT_BEFORE_END: re.compile(rb"\nid: [\w-]+:\d+(?::end)?\n"),
    Fault.HALF_OPEN: re.compile(rb"", re.DOTALL),
    Fault.SLOW_READER: re.compile(rb"", re.DOTALL),
}

Route = Callable[[int], str]
Trouble = Callable[[int], AtByte | None]
Done = Callable[[AtByte, int], None]


class Wire:
    """One client's way to the function that serves its nth connection.

    `route` gives the URL of the nth connection, `trouble` its fault; `done` is told of each fault.
    """

    def __init__(self, route: Route, trouble: Trouble, done: Done) -> None:
        self._route = route
        self._trouble = trouble
        self._done = done
        self._connections = 0
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Wire"]:
        """Listen while the block runs."""

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Drained bytes have left: the bytes before a reset are not to be lost with it.
            writer.transport.set_write_buffer_limits(high=0)
            try:
                with suppress(ConnectionError):
                    await self._pass(reader, writer)
            finally:
                writer.transport.abort()

        async with listening(converse) as address:
            self.url = f"http://{address}"
            yield self

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nth, self._connections = self._connections, self._connections + 1
        trouble = self._trouble(nth)
        is_slow = trouble is not None and trouble.fault is Fault.SLOW_READER
        up_reader, up_writer = await _connect(self._route(nth), is_slow=is_slow)
        with closing(up_writer):
            upwards = asyncio.create_task(_copy(reader, up_writer))
            downwards = asyncio.create_task(self._answer(up_reader, writer, trouble))
            try:
                # A client that leaves closes the way up; an answer's end, or a fault, the way down.
                await asyncio.wait({upwards, downwards}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                upwards.cancel()
                downwards.cancel()
                _, ended = await asyncio.gather(upwards, downwards, return_exceptions=True)
            match ended:
                case Fault.HALF_OPEN:
                    # Neither side learns that the other has left, until this wire is taken down.
                    await asyncio.Event().wait()
                case Fault():
                    _reset_when_closed(writer)
                case Exception():
                    raise ended
                case _:
                    pass

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trouble: AtByte | None
    ) -> Fault | None:
        """Pass the answer on; return the fault that has ended it, if one has."""
        passed = bytearray()
        while data := await reader.read(_SIZE):
            end = _place(trouble, passed + data) if trouble else None
            if trouble is None or end is None:
                passed += data
                await _send(writer, data)
                continue
            rest = data[max(0, end - len(passed)) :]
            await _send(writer, data[: len(data) - len(rest)])
            self._done(trouble, end)
            if trouble.fault is not Fault.SLOW_READER:
                return trouble.fault
            trouble = None
            await _trickle(rest, reader, writer)
        if writer.can_write_eof():
            writer.write_eof()
        return None


def _place(trouble: AtByte, answer: bytearray) -> int | None:
    """The number of bytes of the answer after which the fault is done; None if not yet."""
    byte = trouble.byte
    if trouble.fault is Fault.HALF_OPEN:
        # A client bears a long silence before an answer begins: that is not this fault.
        byte = max(byte, _behind_head(answer))
    if len(answer) <= byte:
        return None
    found = _PLACES[trouble.fault].search(answer, byte)
    return found.end() if found else None


def _behind_head(answer: bytearray) -> int:
    """The start of the body; the end of all bytes so far while the head has not ended."""
    end = answer.find(_HEAD_END)
    return end + len(_HEAD_END) if end >= 0 else len(answer)


async def _connect(url: str, *, is_slow: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a function; for a slow reader, with small buffers."""
    host, _, port = url.removeprefix("http://").partition(":")
    if not is_slow:
        return await asyncio.open_connection(host, int(port))
    up = socket.socket()
    try:
        up.setblocking(False)  # noqa: FBT003 - socket's own
        up.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BUFFER)
        await asyncio.get_running_loop().sock_connect(up, (host, int(port)))
        return await asyncio.open_connection(sock=up, limit=_SLOW_BUFFER)
    except BaseException:
        up.close()
        raise


def _reset_when_closed(writer: asyncio.StreamWriter) -> None:
    client: socket.socket = writer.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)


async def _trickle(rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes at the pace of a bad radio link, for a while; meanwhile nothing else is read."""
    for _ in range(_SLOW_PAUSES):
        if not rest and not (rest := await reader.read(_SIZE)):
            return
        await _send(writer, rest[:_SLOW_BYTES])
        rest = rest[_SLOW_BYTES:]
        await asyncio.sleep(_SLOW_PAUSE)
    await _send(writer, rest)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_SIZE):
        await _send(writer, data)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
