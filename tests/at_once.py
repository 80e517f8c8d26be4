"""Work on many things, of which a few are under way at any time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def for_each(
    things: Iterable[T], work: Callable[[T], Awaitable[object]], *, at_once: int
) -> None:
    """Do the work for each thing; one that fails ends the others, and is raised in a group."""
    room = asyncio.Semaphore(at_once)

    async def one(thing: T) -> None:
        async with room:
            await work(thing)

    async with asyncio.TaskGroup() as group:
        for thing in things:
            group.create_task(one(thing))
