"""Between a client and the function: a proxy that cuts, silences and slows connections.

It counts the bytes of the answer, head and chunk sizes included: what a network would count.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress

from chaos.faults import Fault
from chaos.listening import listening
from chaos.plan import AtByte

_SIZE = 64 * 1024
_SLOW_BYTES = 400
_SLOW_PAUSE = 0.05
_SLOW_PAUSES = 80
# Where each kind of cut is made: at the end of what matches. Text beyond ASCII is escaped on the
# wire, so the inside of a character is the inside of an escape, or between two surrogates.
_PLACES = {
    Fault.CUT: re.compile(rb"", re.DOTALL),
    Fault.CUT_IN_CHARACTER: re.compile(rb"[\xc2-\xf4]|\\ud8[0-9a-f]{2}|\\u[0-9a-f]{2}"),
    Fault.CUT_BEFORE_ID: re.compile(rb"\ndata: [^\n]*\n"),
    Fault.CUT_IN_ID: re.compile(rb"\nid: [\w-]+:"),
    Fault.CUT_BEFORE_END: re.compile(rb"\nid: [\w-]+:\d+\n"),
    Fault.HALF_OPEN: re.compile(rb"", re.DOTALL),
    Fault.SLOW_READER: re.compile(rb"", re.DOTALL),
}

Route = Callable[[int], str]
Trouble = Callable[[int], AtByte | None]
Done = Callable[[AtByte, int], None]


class Wire:
    """One client's way to the function, whichever function that is for its nth connection.

    `route` gives the URL of the nth connection, `trouble` its fault; `done` is told of each.
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
        host, _, port = self._route(nth).removeprefix("http://").partition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        with closing(up_writer):
            upwards = asyncio.create_task(_copy(reader, up_writer))
            downwards = asyncio.create_task(self._answer(up_reader, writer, self._trouble(nth)))
            try:
                # A client that leaves closes the way up; an answer's end, or a cut, the way down.
                await asyncio.wait({upwards, downwards}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                upwards.cancel()
                downwards.cancel()
                await asyncio.gather(upwards, downwards, return_exceptions=True)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trouble: AtByte | None
    ) -> None:
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
            match trouble.fault:
                case Fault.HALF_OPEN:
                    await asyncio.Event().wait()
                case Fault.SLOW_READER:
                    trouble = None
                    await _trickle(rest, reader, writer)
                case _:
                    return
        if writer.can_write_eof():
            writer.write_eof()


def _place(trouble: AtByte, answer: bytearray) -> int | None:
    """Behind which byte of the answer so far the fault is done; None if not yet."""
    if len(answer) <= trouble.byte:
        return None
    found = _PLACES[trouble.fault].search(answer, trouble.byte)
    return found.end() if found else None


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
