"""A generation is known by its connection; overlaps are counted, except in frozen times."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from proof.chaos.faults import Fault
from proof.chaos.generations import Generation, Generations
from proof.chaos.plan import named
from proof.chaos.sandboxes import Frozen, Sandboxes
from proof.chaos.traffic import Silence

pytestmark = pytest.mark.anyio

STREAM = "abcdefgh"


@pytest.fixture
async def sandboxes() -> AsyncIterator[Sandboxes]:
    async with httpx.AsyncClient() as http:
        yield Sandboxes(http)


async def test_a_generation_lasts_as_long_as_its_connection() -> None:
    generations = Generations()
    async with generations.listening(), asyncio.timeout(10):
        host, _, port = generations.address.partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"42 abcdefgh 2 - {named(7)}and more\n".encode())
        while not generations.of(7):  # noqa: ASYNC110 - nothing tells but the list itself
            await asyncio.sleep(0.01)
        (running,) = await generations.all_over(0)
        assert (running.pid, running.stream, running.ended) == (42, "abcdefgh", None)
        assert running.attempt == 2
        assert generations.steps_on("abcdefgh-and the rest") == []

        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert await generations.all_over(5) == []


async def test_a_step_at_work_is_no_generation() -> None:
    generations = Generations()
    async with generations.listening(), asyncio.timeout(10):
        host, _, port = generations.address.partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"42 abcdefgh 2 abcdefgh-:write:1 {named(7)}and more\n".encode())
        while not generations.steps:  # noqa: ASYNC110 - nothing tells but the list itself
            await asyncio.sleep(0.01)
        assert generations.of(7) == []
        assert generations.number_on("abcdefgh-and the rest") == 0
        (running,) = await generations.all_over(0)
        assert [running] == generations.steps_on("abcdefgh-and the rest")
        assert (running.step, running.attempt) == ("abcdefgh-:write:1", 2)
        writer.close()


async def test_two_runs_of_one_step_overlap_and_two_steps_do_not(sandboxes: Sandboxes) -> None:
    generations = Generations()
    generations.steps = [
        Generation(1, STREAM, 10, 1, 9, step="a"),
        Generation(1, STREAM, 10, 1, 9, step="b"),
        Generation(1, STREAM, 11, 3, 6, step="a"),
    ]

    assert generations.longest_overlap(1, sandboxes) == 3
    assert generations.longest_behind(STREAM, 5, sandboxes) == 4


async def test_an_overlap_is_as_long_as_two_are_at_work(sandboxes: Sandboxes) -> None:
    generations = Generations()
    generations.all = [
        Generation(1, STREAM, 10, 1, 5),
        Generation(1, STREAM, 11, 3, 9),
        Generation(2, "another", 12, 1, 9),
    ]

    assert generations.longest_overlap(1, sandboxes) == 2
    assert generations.longest_overlap(2, sandboxes) == 0


async def test_two_streams_of_one_prompt_do_not_overlap(sandboxes: Sandboxes) -> None:
    generations = Generations()
    generations.all = [Generation(1, STREAM, 10, 1, 5), Generation(1, "another", 11, 1, 5)]

    assert generations.longest_overlap(1, sandboxes) == 0


async def test_who_is_frozen_is_not_at_work(sandboxes: Sandboxes) -> None:
    generations = Generations()
    generations.all = [Generation(1, STREAM, 10, 1, 20), Generation(1, STREAM, 11, 5, 30)]
    sandboxes.frozen[10].append(Frozen(since=4, until=18))

    assert generations.longest_overlap(1, sandboxes) == 2, "from the thaw on"

    sandboxes.frozen[11].append(Frozen(since=17, until=19))
    assert generations.longest_overlap(1, sandboxes) == 1, "each second counts once"


async def test_who_works_behind_the_end_is_seen_for_as_long_as_it_does(
    sandboxes: Sandboxes,
) -> None:
    generations = Generations()
    generations.all = [Generation(1, STREAM, 10, 1, 20), Generation(1, "another", 11, 1, 90)]
    sandboxes.frozen[10].append(Frozen(since=8, until=12))
    stream_id = STREAM + "-and the rest"

    assert generations.longest_behind(stream_id, 6, sandboxes) == 10
    assert generations.longest_behind(stream_id, 25, sandboxes) == 0


async def test_an_overlap_is_not_counted_while_the_store_is_silent(sandboxes: Sandboxes) -> None:
    generations = Generations()
    generations.all = [Generation(1, STREAM, 10, 1, 20), Generation(1, STREAM, 11, 2, 19)]
    silences = [silence(0, 3), silence(5, 15)]

    assert generations.longest_overlap(1, sandboxes, silences) == 2 + 4
    assert generations.longest_overlap(1, sandboxes, [silence(20, 30)]) == 17
    assert generations.longest_overlap(1, sandboxes, [silence(1, 30)]) == 0

    sandboxes.frozen[10].append(Frozen(since=4, until=6))
    assert generations.longest_overlap(1, sandboxes, silences) == 1 + 4, "each second counts once"


def silence(since: float, until: float) -> Silence:
    """A silence of the store, between these times."""
    return Silence(
        fault=Fault.SILENT,
        stream_id=STREAM,
        seq=3,
        kind="thinking",
        pid=10,
        since=since,
        until=until,
    )
