"""Connections break at the very byte that the plan says, and nowhere else."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import pytest

from proof.chaos.faults import Fault
from proof.chaos.plan import AtByte
from proof.chaos.wire import Wire

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
EVENTS = b"".join(
    b'event: answer\ndata: {"text":"\\ud83d\\ude80 %d"}\nid: %s:%d\n\n' % (seq, b"s" * 32, seq)
    for seq in range(20, 60)
)
ANSWER = HEAD + EVENTS


# More than a slow reader takes in the time of a test.
LONG = HEAD + b"x" * 1_000_000
ROOM = 64 * 1024


class End(StrEnum):
    """How a connection went for its client."""

    ENDED = "ended"
    RESET = "reset"
    OPEN = "open"


@dataclass
class Function:
    """A server that sends its answer to each client, and then waits until the client leaves."""

    answer: bytes
    url: str = ""
    sent: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        # Accepted sockets inherit it: so the bytes sent are soon the bytes that were taken.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._server = await asyncio.start_server(self._converse, sock=listener)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)
        try:
            await reader.readuntil(b"\r\n\r\n")
            for start in range(0, len(self.answer), 97):
                writer.write(self.answer[start : start + 97])
                await writer.drain()
                self.sent = start
            await reader.read()
        except ConnectionError:
            pass
        finally:
            self.left.set()
            writer.close()


@pytest.fixture
async def function() -> AsyncIterator[str]:
    """The URL of a function that answers with events."""
    async with Function(ANSWER) as running:
        yield running.url


async def received(url: str, *, until: float = 5) -> tuple[bytes, End]:
    """The bytes that come through in so many seconds, and the end, as the kernel has them."""
    host, _, port = url.removeprefix("http://").partition(":")
    loop, got = asyncio.get_running_loop(), b""
    with socket.socket() as client:
        client.setblocking(False)  # noqa: FBT003 - socket's own
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n")
        try:
            async with asyncio.timeout(until):
                while data := await loop.sock_recv(client, 4096):
                    got += data
        except ConnectionResetError:
            return got, End.RESET
        except TimeoutError:
            return got, End.OPEN
        return got, End.ENDED


async def through(function: str, *troubles: AtByte | None) -> tuple[list[bytes], list[AtByte]]:
    """The bytes that each connection brought, and the faults that were done."""
    done: list[AtByte] = []
    wire = Wire(lambda _: function, lambda nth: troubles[nth], lambda each, _: done.append(each))
    async with wire.open():
        return [(await received(wire.url, until=1))[0] for _ in troubles], done


@pytest.mark.parametrize("byte", [0, 1, 500, 1234])
async def test_a_cut_is_made_at_the_byte(function: str, byte: int) -> None:
    trouble = AtByte(Fault.CUT, byte)
    (got,), done = await through(function, trouble)

    assert got == ANSWER[:byte]
    assert done == [trouble]


@pytest.mark.parametrize(
    ("fault", "tail", "following"),
    [
        (Fault.CUT_BEFORE_ID, b"\n", b"id: "),
        (Fault.CUT_IN_ID, b":2", b"0"),
        (Fault.CUT_BEFORE_END, b"\n", b"\n"),
    ],
)
async def test_a_cut_is_made_inside_an_event(
    function: str, fault: Fault, tail: bytes, following: bytes
) -> None:
    (got,), done = await through(function, AtByte(fault, 60))

    assert len(done) == 1
    assert len(got) > 60
    assert got.endswith(tail)
    assert ANSWER.startswith(got + following)


async def test_a_cut_is_made_inside_a_character(function: str) -> None:
    (got,), _ = await through(function, AtByte(Fault.CUT_IN_CHARACTER, 60))

    assert ANSWER.startswith(got + b"\\ude80"), "the first half of the rocket only"


async def test_a_cut_is_a_reset_and_an_end_is_none() -> None:
    """A client is told by its network that something broke, not that this was all."""
    async with Function(HEAD) as function:
        trouble = AtByte(Fault.CUT, 10)
        wire = Wire(lambda _: function.url, lambda nth: None if nth else trouble, lambda *_: None)
        async with wire.open():
            assert await received(wire.url) == (HEAD[:10], End.RESET)
            assert await received(wire.url, until=0.2) == (HEAD, End.OPEN)


async def test_an_end_of_the_answer_is_passed_on() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Wire(lambda _: url, lambda _: None, lambda *_: None).open() as wire:
        assert await received(wire.url) == (HEAD, End.ENDED)
    server.close()


@pytest.mark.parametrize(("byte", "passed"), [(300, 300), (3, len(HEAD))])
async def test_a_half_open_connection_says_nothing_behind_its_byte_and_its_head(
    function: str, byte: int, passed: int
) -> None:
    wire = Wire(lambda _: function, lambda _: AtByte(Fault.HALF_OPEN, byte), lambda *_: None)
    async with wire.open():
        assert await received(wire.url, until=0.5) == (ANSWER[:passed], End.OPEN)


async def test_the_function_is_not_told_that_a_half_open_connections_client_has_left() -> None:
    async with Function(ANSWER) as function:
        wire = Wire(lambda _: function.url, lambda _: AtByte(Fault.HALF_OPEN, 9), lambda *_: None)
        async with wire.open():
            await received(wire.url, until=0.2)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(function.left.wait(), 0.3)
        await asyncio.wait_for(function.left.wait(), 5)


async def test_a_slow_reader_gets_everything_late(function: str) -> None:
    wire = Wire(lambda _: function, lambda _: AtByte(Fault.SLOW_READER, 100), lambda *_: None)
    async with wire.open():
        early, _ = await received(wire.url, until=0.3)
        late, _ = await received(wire.url, until=6)

    assert 100 <= len(early) < len(ANSWER)
    assert late == ANSWER


async def test_what_a_slow_reader_has_not_taken_waits_with_the_function() -> None:
    """Its own buffers would otherwise hide from the function that it is slow."""
    async with Function(LONG) as function:
        wire = Wire(lambda _: function.url, lambda _: AtByte(Fault.SLOW_READER, 9), lambda *_: None)
        async with wire.open():
            got, _ = await received(wire.url, until=1)

    assert len(got) < 4_000
    assert function.sent < len(got) + ROOM


async def test_each_connection_has_its_own_fault(function: str) -> None:
    got, done = await through(function, AtByte(Fault.CUT, 10), None, AtByte(Fault.CUT, 20))

    assert got == [ANSWER[:10], ANSWER, ANSWER[:20]]
    assert len(done) == 2
