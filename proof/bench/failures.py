"""Failures as a reader meets them: how long until it goes on.

The emulator runs the function as it is deployed, with the timing as it is shipped, and the reader
is an EventSource: it comes back when the server has told it to. The model answers at once, because
its time is not ours. Two streams are disturbed at a time: more would wait for each other's cold
starts, as sandboxes of Lambda, which have processors of their own, do not. A killed sandbox is
gone, so the reader may meet a cold start.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

import local
from proof.bench.dynamodb import in_memory
from proof.bench.samples import Sample
from proof.bench.table import Row, at_most
from tests.at_once import for_each
from tests.event_source import Event, EventSource

TITLE = "Failures, until the next new token is read"

_KILLS = 100
_HANDOFFS = 50
_KILLED_AT_ONCE = 2
_HANDED_OVER_AT_ONCE = 5
_HANDOFFS_OF_A_STREAM = _HANDOFFS // _HANDED_OVER_AT_ONCE
# An invocation of so many seconds is over soon, and a stream has many.
_SHORT_TIMEOUT = 4.0

_TOKENS = frozenset({"thinking", "answer"})
_PATIENCE = 60.0
# A stream with all its handoffs.
_STREAM_SECONDS = 120.0
_ENV = {
    "DEMO_FIRST_TOKEN_MS": "0",
    "DEMO_TOKENS": "3900",
    "DEMO_TOKENS_PER_SECOND": "60",
    "POWERTOOLS_LOG_LEVEL": "ERROR",
}


def rows() -> Iterator[Row]:
    """Take-overs behind a kill, and hand-overs at a timeout."""
    with in_memory() as store:
        kills = Sample(asyncio.run(_kills(store.url)))
        handoffs = Sample(asyncio.run(_handoffs(store.url)))
    yield Row(
        what=f"kill of the writer, median of {_KILLS}", ours=kills, unit="s", target=at_most(2.3)
    )
    yield Row(
        what=f"kill of the writer, p99 of {_KILLS}",
        ours=Sample([kills.percentile(99)]),
        unit="s",
        target=at_most(2.8),
    )
    yield Row(what=f"handoff, median of {_HANDOFFS}", ours=handoffs, unit="s", target=at_most(0.35))
    yield Row(
        what=f"handoff, longest of {_HANDOFFS}",
        ours=Sample([max(handoffs.values)]),
        unit="s",
        target=at_most(0.8),
    )


async def _kills(dynamodb_url: str) -> list[float]:
    gaps: list[float] = []
    async with _function(dynamodb_url) as function:

        async def one(number: int) -> None:
            gaps.append(await _after_a_kill(function, f"kill {number}"))

        await for_each(range(_KILLS), one, at_once=_KILLED_AT_ONCE)
    return gaps


async def _handoffs(dynamodb_url: str) -> list[float]:
    gaps: list[float] = []
    async with _function(dynamodb_url, timeout=_SHORT_TIMEOUT) as function:

        async def one(number: int) -> None:
            gaps.extend(await _gaps(function, f"handoffs {number}"))

        await for_each(range(_HANDED_OVER_AT_ONCE), one, at_once=_HANDED_OVER_AT_ONCE)
    return gaps


async def _after_a_kill(function: "_Function", prompt: str) -> float:
    """The seconds from the kill of a stream's writer to the first token of the next one."""
    async with function.reading(prompt) as reader:
        await reader.next_token()
        # Any moment between two signs of life.
        await asyncio.sleep(random.uniform(0, 1))  # noqa: S311
        killed_at = await function.kill_writer(prompt)
        await reader.next(lambda event: event.name == "claim" and event.data["attempt"] > 1)
        return (await reader.next_token()).at - killed_at


async def _gaps(function: "_Function", prompt: str) -> list[float]:
    """The seconds from each handoff of a stream to the next token."""
    gaps = []
    async with function.reading(prompt) as reader:
        for _ in range(_HANDOFFS_OF_A_STREAM):
            handoff = await reader.next(lambda event: event.name == "handoff")
            gaps.append((await reader.next_token()).at - handoff.at)
    return gaps


@dataclass(frozen=True, slots=True)
class _Reader:
    """A reader's events, in their order."""

    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    async def next(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event that is wanted; those before it are dropped."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                event = await self.events.get()
                if wanted(event):
                    return event

    async def next_token(self) -> Event:
        return await self.next(lambda event: event.name in _TOKENS)


@dataclass(frozen=True, slots=True)
class _Function:
    """The function's URL, and the emulator's control of its sandboxes."""

    http: httpx.AsyncClient

    @asynccontextmanager
    async def reading(self, prompt: str) -> AsyncIterator[_Reader]:
        """A reader of a new stream, which is cancelled in the end."""
        reader = _Reader()
        source = EventSource(self.http, f"/sse?{_query(prompt)}", reader.events.put_nowait)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(_STREAM_SECONDS):
            tasks.create_task(source.follow())
            yield reader
            stream_id = source.events[0].id.partition(":")[0]
            (await self.http.post(f"/streams/{stream_id}/cancel")).raise_for_status()

    async def kill_writer(self, prompt: str) -> float:
        """Kill the sandbox that answers this prompt; return the time."""
        sandboxes = (await self.http.get("/_local/sandboxes")).json()
        (writer,) = (
            sandbox["name"]
            for sandbox in sandboxes
            if any(each["query"] == _query(prompt) for each in sandbox["invocations"])
        )
        killed_at = time.monotonic()
        (await self.http.post(f"/_local/sandboxes/{writer}/kill")).raise_for_status()
        return killed_at


@asynccontextmanager
async def _function(
    dynamodb_url: str,
    *,
    timeout: float = 900.0,  # noqa: ASYNC109 - the function's, not ours
) -> AsyncIterator[_Function]:
    """The application in the emulator, over a table that keeps up."""
    chosen = local.Options(
        port=0, provider="demo", dynamodb_url=dynamodb_url, timeout=timeout, env=_ENV
    )
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(local.serve(chosen, _quiet))
        client = httpx.AsyncClient(
            base_url=running.url, limits=httpx.Limits(max_connections=None), timeout=_PATIENCE
        )
        yield _Function(await stack.enter_async_context(client))


def _query(prompt: str) -> str:
    return f"prompt={quote(prompt)}"


def _quiet(_: str) -> None:
    """Discard the lines of the sandboxes."""
