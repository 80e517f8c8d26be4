"""Producers made of functions, and processes that die at a chosen append."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from durable_stream import (
    Engine,
    Event,
    Heartbeat,
    Record,
    Registry,
    Resume,
    RetryPolicy,
    Start,
    Steps,
    Store,
    Streams,
    Task,
    Text,
    Timing,
    Window,
)
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.store import Page
from durable_stream.task import spoken
from tests.durable_stream.test_streams import die, read

TIMING = Timing(heartbeat=0.1, lease=0.3, listening=0.1, claim_jitter=0.01, flush_interval=0.01)
NOW = Window()


class Line(Text):
    """Text of the tests' applications."""

    kind = "line"


class Note(Event):
    """An event of the tests' applications."""

    kind = "note"
    text: str


class Finished(Event):
    """The end."""

    kind = "finished"
    terminal = True


EVENTS = Registry([Line, Note, Finished])
Work = Callable[[Task, Steps], AsyncGenerator[Event]]


@dataclass
class Worker:
    """A producer that runs a function."""

    work: Work
    how: Resume = "replay"

    def resume(self, _start: Start) -> Resume:
        return self.how

    def continued(self, _task: Task) -> str:
        return self.how

    async def events(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async for event in self.work(task, steps):
            yield event
        yield Finished()


@dataclass
class MortalStore:
    """A store whose process dies at its append number `dies_at`: before it, or after it.

    Heartbeats do not count, for their number depends on the machine's speed.
    """

    store: Store
    dies_at: int | None = None
    before: bool = True
    appends: int = 0
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def append(self, record: Record) -> Record | None:
        if isinstance(record.event, Heartbeat):
            return await self.store.append(record)
        self.appends += 1
        if self.appends == self.dies_at and self.before:
            await self._die()
        present = await self.store.append(record)
        if self.appends == self.dies_at:
            await self._die()
        return present

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        return await self.store.read(stream_id, start, consistent=consistent)

    async def newest(self, stream_id: str) -> Record | None:
        return await self.store.newest(stream_id)

    async def at(self, stream_id: str, seq: int) -> Record | None:
        return await self.store.at(stream_id, seq)

    async def remove(self, first: Record, last: Record) -> None:
        await self.store.remove(first, last)

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Event().wait()


def process(store: Store, work: Work, how: Resume = "replay", timing: Timing = TIMING) -> Streams:
    """A process that runs the work."""
    policy = RetryPolicy(idle_attempts=20)
    return Streams(Engine(store=store, producer=Worker(work, how), timing=timing, policy=policy))


async def killed(
    log: DynamoDBStore,
    work: Work,
    kills: Sequence[tuple[int, bool]],
    how: Resume = "replay",
) -> list[Record]:
    """The records of a stream whose processes die one after another, as `MortalStore` tells."""
    store = DynamoDBStore(log._table, EVENTS)
    stream_id = ""
    for at, before in kills:
        mortal = MortalStore(store, at, before)
        streams = process(mortal, work, how)
        stream_id = stream_id or (await streams.create(Start("go"), None)).stream_id
        reading = await streams.read(stream_id, None, NOW)
        if reading is None:
            break
        reader = asyncio.create_task(read(reading, within=30))
        death = asyncio.create_task(mortal.dead.wait())
        async with asyncio.timeout(30):
            await asyncio.wait((reader, death), return_when=asyncio.FIRST_COMPLETED)
        await die(streams)
        for task in (reader, death):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    last = process(store, work, how)
    stream_id = stream_id or (await last.create(Start("go"), None)).stream_id
    records = await read(await last.read(stream_id, None, NOW), within=30)
    assert [record.seq for record in records] == list(range(len(records)))
    return records


def events(records: Sequence[Record]) -> list[Event]:
    """The events but for heartbeats, whose number depends on the machine's speed."""
    return [record.event for record in records if not isinstance(record.event, Heartbeat)]


def told(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """The events of the application as readers fold them: step, kind and text, texts joined."""
    folded: list[tuple[str, str, str]] = []
    for event in spoken(events(records)):
        text = event.text if isinstance(event, Line | Note) else ""
        if folded and isinstance(event, Line) and folded[-1][:2] == (event.within, "line"):
            folded[-1] = (event.within, "line", folded[-1][2] + text)
        else:
            folded.append((event.within, event.kind, text))
    return folded
