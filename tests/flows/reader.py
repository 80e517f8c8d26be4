"""A client of the flows that reads in the background."""

import asyncio
from collections.abc import Callable

from tests.event_source import Event, EventSource
from tests.flows.conftest import Function
from tests.flows.heard import text

PATIENCE = 30


class Reader:
    """An EventSource that a test can wait for."""

    def __init__(self, function: Function, url: str) -> None:
        self._news = asyncio.Event()
        self.source: EventSource = function.event_source(url, lambda _: self._news.set())
        self._following = asyncio.create_task(self.source.follow())

    async def until(self, condition: Callable[[list[Event]], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition(self.source.events):
                self._news.clear()
                await self._news.wait()

    async def has_read(self, expected: str) -> None:
        await self.until(lambda events: text(events) == expected)

    async def end(self) -> list[Event]:
        async with asyncio.timeout(PATIENCE):
            return await self._following
