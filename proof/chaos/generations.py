"""The providers and steps at work, as the functions in the sandboxes report them.

Each holds a connection open for as long as it works. The kernel closes a killed process's
connections; a frozen one's stay. So the work seen here is the work that would be paid for.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from itertools import combinations

from proof.chaos.listening import listening
from proof.chaos.plan import number_of
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.traffic import Silence

# Process, stream, attempt, step, prompt.
_MEMBERS = 5


@dataclass(eq=False)
class Generation:
    """One provider's work, or a step's; times are of the monotonic clock.

    `ended` is None while it lasts. `stream` is the beginning of the stream's id, as the
    application's log has it. `step` is the idempotency key of a step, "" for a provider.
    """

    number: int
    stream: str
    pid: int
    began: float
    ended: float | None = None
    attempt: int = 0
    step: str = ""


class Generations:
    """All generations that there have been, and all executions of steps."""

    def __init__(self) -> None:
        self.all: list[Generation] = []
        self.steps: list[Generation] = []
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
        if not said.endswith("\n"):
            return  # Killed before it had named its stream.
        pid, stream, attempt, step, prompt = said.split(" ", _MEMBERS - 1)
        number = number_of(prompt)
        if number is None:
            return  # One of those that hostile clients make.
        generation = Generation(number, stream, int(pid), time.monotonic(), None, int(attempt))
        if step != "-":
            generation.step = step
        (self.steps if generation.step else self.all).append(generation)
        try:
            with suppress(ConnectionError):
                await reader.read()
        finally:
            generation.ended = time.monotonic()

    def of(self, number: int) -> list[Generation]:
        return [each for each in self.all if each.number == number]

    def steps_on(self, stream_id: str) -> list[Generation]:
        """The executions of steps of one stream."""
        return [each for each in self.steps if stream_id.startswith(each.stream)]

    @property
    def repeated_steps(self) -> int:
        """The number of steps that ran in more than one attempt."""
        ran = Counter(each.step for each in self.steps)
        return sum(times > 1 for times in ran.values())

    def number_on(self, stream_id: str) -> int:
        """The number of generations on one stream."""
        return sum(stream_id.startswith(each.stream) for each in self.all)

    def longest_overlap(
        self, number: int, sandboxes: Sandboxes, silences: Sequence[Silence] = ()
    ) -> float:
        """The most seconds that two providers worked on one stream.

        Time in which one was frozen is left out, and the silences of the store: a writer that was
        superseded cannot learn it then. Two executions of one step count likewise.
        """
        now = time.monotonic()
        overlaps = [0.0]
        same = (each for each in (*self.all, *self.steps) if each.number == number)
        for one, other in combinations(same, 2):
            begin = max(one.began, other.began)
            end = min(one.ended or now, other.ended or now)
            if (one.stream, one.step) == (other.stream, other.step) and end > begin:
                pids = {one.pid, other.pid}
                overlaps.append(
                    sum(
                        until - since - sandboxes.frozen_between(pids, since, until)
                        for since, until in _without(silences, begin, end)
                    )
                )
        return max(overlaps)

    def longest_behind(self, stream_id: str, end: float, sandboxes: Sandboxes) -> float:
        """The most seconds that a provider worked after its stream's end, without frozen time."""
        now = time.monotonic()
        seconds = [0.0]
        for each in (*self.all, *self.steps):
            since, until = max(each.began, end), each.ended or now
            if stream_id.startswith(each.stream) and until > since:
                idle = sandboxes.frozen_between({each.pid}, since, until)
                seconds.append(until - since - idle)
        return max(seconds)

    async def all_over(self, seconds: float) -> list[Generation]:
        """The generations and steps that are still at work after so many seconds."""
        give_up_at = time.monotonic() + seconds
        while running := [each for each in (*self.all, *self.steps) if each.ended is None]:
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(0.05)
        return running


def _without(
    silences: Sequence[Silence], begin: float, end: float
) -> Iterator[tuple[float, float]]:
    """The times from `begin` to `end` in which the store answers; silences follow each other."""
    for silence in silences:
        if begin < silence.since < end:
            yield begin, silence.since
        if silence.since < end:
            begin = max(begin, silence.until)
    if begin < end:
        yield begin, end
