"""A hand that takes hold of a process lets go of it again, and never gets hold of a stranger's."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from local.ports import free_port
from proof.chaos.sandboxes import Sandboxes

pytestmark = pytest.mark.anyio


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a group of its own, as a sandbox is."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.fixture
async def sandboxes() -> AsyncIterator[Sandboxes]:
    """Sandboxes whose emulator does not answer."""
    async with httpx.AsyncClient() as http:
        yield Sandboxes(http, controls=[f"http://127.0.0.1:{free_port()}/_local"])


def state(process: "subprocess.Popen[bytes]") -> str:
    """As /proc tells it: T is stopped, S sleeps."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


async def stopped(process: "subprocess.Popen[bytes]", *, wanted: bool) -> None:
    """Return when a process is stopped, or is not."""
    async with asyncio.timeout(5):
        while (state(process) == "T") is not wanted:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def test_who_was_frozen_is_thawed_though_its_emulator_does_not_answer(
    sandboxes: Sandboxes, process: "subprocess.Popen[bytes]"
) -> None:
    sandboxes.meet(process.pid)

    assert await sandboxes.freeze(process.pid)
    await stopped(process, wanted=True)
    assert not await sandboxes.freeze(process.pid), "it is frozen already"
    assert await sandboxes.thaw(process.pid)
    await stopped(process, wanted=False)
    (spell,) = sandboxes.frozen[process.pid]
    assert spell.until is not None


async def test_a_stall_of_the_harness_itself_is_noticed(sandboxes: Sandboxes) -> None:
    watching = asyncio.create_task(sandboxes.watch_for_stalls())
    await asyncio.sleep(0)
    before = time.monotonic()
    time.sleep(0.8)  # noqa: ASYNC251 - as a machine does that has no processor to give
    async with asyncio.timeout(5):
        while not sandboxes.disturbed_since(1, before):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    watching.cancel()


async def test_only_a_living_sandbox_is_killed(
    sandboxes: Sandboxes, process: "subprocess.Popen[bytes]"
) -> None:
    assert not sandboxes.kill(process.pid), "it is no sandbox's number"
    sandboxes.meet(process.pid)
    assert sandboxes.kill(process.pid)
    assert sandboxes.ended == {process.pid}
    await asyncio.to_thread(process.wait, 5)
    assert not sandboxes.kill(process.pid)


async def test_a_number_that_has_come_to_be_another_process_s_is_left_alone(
    sandboxes: Sandboxes,
) -> None:
    sandboxes.seen[os.getpid()] = "when another began"

    assert not sandboxes.kill(os.getpid())
    assert await sandboxes.survivors(0) == []

    sandboxes.meet(os.getpid())
    assert await sandboxes.survivors(0) == [os.getpid()], "and that is one of ours"


async def test_an_emulator_that_does_not_answer_has_nothing_to_recycle_and_is_not_taken_for_idle(
    sandboxes: Sandboxes,
) -> None:
    assert not await sandboxes.recycle()
    with pytest.raises(httpx.HTTPError):
        await sandboxes.at_work(0)
