"""The state of processes, by `ps`, and waiting for a change of it."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable

PATIENCE = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until a condition holds that raises no event."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def state(pid: int) -> str:
    """Return R (running), S (sleeping) or T (stopped); empty for a process that has ended."""
    return next((status for each, _, status in _listed() if each == pid), "")


async def until_stopped(pid: int) -> None:
    async def stopped() -> bool:
        return state(pid) == "T"

    await until(stopped)


async def until_gone(pids: set[int]) -> None:
    async def gone() -> bool:
        return not pids & {pid for pid, _, _ in _listed()}

    await until(gone)


def descendants(pid: int) -> set[int]:
    listed = _listed()
    below, found = {pid}, set[int]()
    while below:
        below = {each for each, parent, _ in listed if parent in below}
        found |= below
    return found


def _listed() -> list[tuple[int, int, str]]:
    command = ["ps", "-Ao", "pid=,ppid=,stat="]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return [(int(row[0]), int(row[1]), row[2][0]) for row in rows if row[2][0] != "Z"]
