"""Endurance without any fault: of one sandbox, and of a machine that has too much to do.

One sandbox: its memory over a thousand streams, and many readers. The machine: hundreds of streams
at once, each with several readers, on a table that is slow because all of them call it.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import httpx

from local import Running
from local.dynamodb_local import dynamodb_local
from proof.chaos.client import PLATFORM_STATUS, Client
from proof.chaos.deployment import SOURCE, function_of
from proof.chaos.figures import Sample
from proof.chaos.generations import Generations
from proof.chaos.plan import named
from tests.event_source import TERMINAL, Event, EventSource, PermanentFailure

_AT_ONCE = 24
_MARKS = (100, 500, 1000)
_READERS = (50, 200)
_CROWDED_STREAMS = 300
_CROWDED_READERS = 3
# As many as make sixteen sandboxes of all of them.
_CROWDED_CONCURRENCY = 64
_CROWDED_TOKENS = 120
_CROWDED_SECONDS = 420.0
# A page that hears nothing for so long makes another EventSource.
_SILENCE = 8.0
_TOKENS = 30
_READ_TOKENS = 200
_MEGABYTE = 1e6


async def rows() -> list[tuple[str, str]]:
    """The measurements and their results."""
    generations = Generations()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(limits=httpx.Limits(max_connections=None), trust_env=False)
        )
        dynamodb = stack.enter_context(dynamodb_local())
        await stack.enter_async_context(generations.listening())
        function = await stack.enter_async_context(
            function_of(SOURCE, dynamodb, generations, concurrency=max(_READERS) + 1)
        )
        resident = await _resident_after(http, function)
        crowds = [(readers, await _lag(http, function, readers)) for readers in _READERS]
        asked = len(generations.all)
        crowded = await stack.enter_async_context(
            function_of(SOURCE, dynamodb, generations, concurrency=_CROWDED_CONCURRENCY)
        )
        told, seconds = await _crowd(http, crowded)
        generated = len(generations.all) - asked
    return [
        *(
            (f"resident memory of a sandbox after {mark:,} streams", f"{size / _MEGABYTE:.1f} MB")
            for mark, size in resident
        ),
        *(
            (f"seconds that {readers} readers of one sandbox hear behind the first", str(lag))
            for readers, lag in crowds
        ),
        *(
            (f"readers told {name}, {_CROWDED_READERS} on each of {_CROWDED_STREAMS} at once", n)
            for name, n in ((each, f"{told[each]:,}") for each in (*sorted(TERMINAL), "nothing"))
        ),
        ("providers asked for them", f"{generated:,}"),
        ("seconds until all of those streams had ended", f"{seconds:.0f}"),
        ("load of the machine then", f"{os.getloadavg()[0]:.1f}"),
    ]


async def _resident_after(http: httpx.AsyncClient, function: Running) -> list[tuple[int, int]]:
    """The one sandbox's memory after so many streams; raises ValueError if it dies."""
    done, resident = 0, []
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        async with slots:
            await EventSource(http, _sse(function, f"endurance {number}", _TOKENS)).follow()

    await one(0)
    pid = await _pid(http, function)
    for mark in _MARKS:
        await asyncio.gather(*(one(number) for number in range(done, mark)))
        done = mark
        if await _pid(http, function) != pid:
            raise ValueError(f"process {pid} has not borne {mark} streams")
        resident.append((mark, _resident_bytes(pid)))
    return resident


async def _lag(http: httpx.AsyncClient, function: Running, readers: int) -> Sample:
    """The seconds by which the other readers hear an event after the first."""
    known = asyncio.Event()
    first = EventSource(
        http, _sse(function, f"crowd {readers}", _READ_TOKENS), on_event=lambda _: known.set()
    )
    following = asyncio.create_task(first.follow())
    await known.wait()
    stream_id = first.events[0].id.partition(":")[0]
    url = f"{function.url}/streams/{stream_id}/events"
    others = await asyncio.gather(*(EventSource(http, url).follow() for _ in range(readers - 1)))
    return Sample(list(_behind([await following, *others])))


def _behind(heard: list[list[Event]]) -> Iterator[float]:
    """The lags in the second half of the events, when all readers had come."""
    for same in list(zip(*heard, strict=True))[len(heard[0]) // 2 :]:
        first = min(event.at for event in same)
        yield from (event.at - first for event in same)


async def _crowd(http: httpx.AsyncClient, function: Running) -> tuple[Counter[str], float]:
    """The number of readers told each end, or none in time; and the seconds that it took."""
    began_at = time.monotonic()
    told: Counter[str] = Counter()

    async def read(stream_id: str) -> None:
        url = f"{function.url}/streams/{stream_id}/events"
        source = EventSource(http, url, silence=_SILENCE)
        while True:
            try:
                events = await source.follow()
            except PermanentFailure as failure:
                if failure.status != PLATFORM_STATUS:
                    raise
            else:
                told[events[-1].name] += 1
                return

    client = Client(http, [function.url, function.url], lambda _: None)

    async def one(number: int) -> None:
        answer = await client.ask(
            "POST",
            "/streams",
            body={"prompt": f"{named(number)}crowded", "max_tokens": _CROWDED_TOKENS},
            headers={"Idempotency-Key": f"crowded-{number:08d}"},
            seconds=_CROWDED_SECONDS,
        )
        stream_id = answer.raise_for_status().json()["id"]
        await asyncio.gather(*(read(stream_id) for _ in range(_CROWDED_READERS)))

    with suppress(TimeoutError):
        async with asyncio.timeout(_CROWDED_SECONDS), asyncio.TaskGroup() as tasks:
            for number in range(_CROWDED_STREAMS):
                tasks.create_task(one(number))
    told["nothing"] = _CROWDED_STREAMS * _CROWDED_READERS - told.total()
    return told, time.monotonic() - began_at


def _sse(function: Running, prompt: str, tokens: int) -> str:
    return f"{function.url}/sse?prompt={quote(prompt)}&max_tokens={tokens}"


async def _pid(http: httpx.AsyncClient, function: Running) -> int:
    """The one sandbox's process; raises ValueError if there is another."""
    sandboxes = (await http.get(f"{function.control_url}/sandboxes")).json()
    (pid,) = [each["pid"] for each in sandboxes if each["state"] != "dead"]
    return int(pid)


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
