"""Connections break at the very byte that the plan says, and nowhere else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from chaos.faults import Fault
from chaos.plan import AtByte
from chaos.wire import Wire

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
EVENTS = b"".join(
    b'event: answer\ndata: {"text":"\\ud83d\\ude80 %d"}\nid: %s:%d\n\n' % (seq, b"s" * 32, seq)
    for seq in range(20, 60)
)
ANSWER = HEAD + EVENTS


@pytest.fixture
async def function() -> AsyncIterator[str]:
    """The URL of a server that gives its answer to whoever asks, and then waits."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, len(ANSWER), 97):
            writer.write(ANSWER[start : start + 97])
            await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def received(url: str, *, until: float = 5) -> tuple[bytes, bool]:
    """What comes through, and whether the connection broke before time was up."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    got = b""
    try:
        async with asyncio.timeout(until):
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(4096):
                    got += data
            return got, True
    except TimeoutError:
        return got, False
    finally:
        writer.close()


async def through(function: str, *troubles: AtByte | None) -> tuple[list[bytes], list[AtByte]]:
    """What each connection brought, and the faults that were done."""
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
        (Fault.CUT_IN_ID, b":", b"2"),
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


async def test_a_half_open_connection_says_nothing_and_stays(function: str) -> None:
    wire = Wire(lambda _: function, lambda _: AtByte(Fault.HALF_OPEN, 300), lambda *_: None)
    async with wire.open():
        got, broke = await received(wire.url, until=1)

    assert got == ANSWER[:300]
    assert not broke


async def test_a_slow_reader_gets_everything_late(function: str) -> None:
    wire = Wire(lambda _: function, lambda _: AtByte(Fault.SLOW_READER, 100), lambda *_: None)
    async with wire.open():
        early, _ = await received(wire.url, until=0.3)
        late, _ = await received(wire.url, until=6)

    assert 100 <= len(early) < len(ANSWER)
    assert late == ANSWER


async def test_each_connection_has_its_own_fault(function: str) -> None:
    got, done = await through(function, AtByte(Fault.CUT, 10), None, AtByte(Fault.CUT, 20))

    assert got == [ANSWER[:10], ANSWER, ANSWER[:20]]
    assert len(done) == 2
