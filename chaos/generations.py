"""Who generates when, as the providers in the sandboxes report it.

A provider holds a connection open for as long as it works. A killed process's connections are
closed by the kernel, a frozen one's stay: so what is seen here is what would be paid for.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from itertools import combinations

from chaos.listening import listening
from chaos.plan import number_of
from chaos.sandboxes import Sandboxes


@dataclass(eq=False)
class Generation:
    """One provider at work; times are of the monotonic clock, `ended` None while it is."""

    number: int
    pid: int
    began: float
    ended: float | None = None


class Generations:
    """All generations that there have been."""

    def __init__(self) -> None:
        self.all: list[Generation] = []
        self.address = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take reports while the block runs."""

        async def report(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer):
                await self._follow(reader)

        async with listening(report) as self.address:
            yield

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        said = (await reader.readline()).decode()
        pid, _, prompt = said.partition(" ")
        number = number_of(prompt)
        if number is None:
            return  # Killed before it had said who it is.
        generation = Generation(number, int(pid), time.monotonic())
        self.all.append(generation)
        try:
            with suppress(ConnectionError):
                await reader.read()
        finally:
            generation.ended = time.monotonic()

    def of(self, number: int) -> list[Generation]:
        return [each for each in self.all if each.number == number]

    def longest_overlap(self, number: int, sandboxes: Sandboxes) -> float:
        """For how many seconds two providers worked on one stream, at most; frozen ones do not."""
        now = time.monotonic()
        overlaps = [0.0]
        for earlier, later in combinations(self.of(number), 2):
            begin = max(earlier.began, later.began)
            end = min(earlier.ended or now, later.ended or now)
            if end > begin:
                idle = max(
                    sandboxes.frozen_between(each.pid, begin, end) for each in (earlier, later)
                )
                overlaps.append(end - begin - idle)
        return max(overlaps)

    async def all_over(self, seconds: float) -> list[Generation]:
        """Those that are still at work after so much patience."""
        give_up_at = time.monotonic() + seconds
        while running := [each for each in self.all if each.ended is None]:
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(0.05)
        return running
