"""Runs the measurements: a long and a short answer, polls of the event log, short responses."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_urlsafe

from probe.connection import BROKEN, Connection, connect
from probe.deployment import Deployment, Stream
from probe.events import ENDS, Arrival, Decoder, Event
from probe.exceptions import ProbeFailed
from probe.measurements import Ending, Measurements, Read, Resumption, Sample, Streaming

# An answer may take as long as an invocation of Lambda.
_ANSWER_SECONDS = 900
_ROUND_TRIPS = 5
_SAMPLE_SECONDS = 0.4
_RECONNECT_SECONDS = 0.2

_SHORT_ANSWER_TOKENS = 60
_CUT_AFTER_EVENTS = 5
_CUT_AFTER_SECONDS = 3.0


async def measure(deployment: Deployment, *, max_tokens: int) -> Measurements:
    """Run all measurements; `max_tokens` limits the long answer. Raises ProbeFailed."""
    round_trips = await _round_trips(deployment)
    # This comes first because it warms two sandboxes: a writer and a reader of the event log.
    resumption = await _resumption(deployment)
    stream = await deployment.create(max_tokens)
    streaming = await _streaming(deployment, stream)
    return Measurements(
        round_trips=round_trips,
        streaming=streaming,
        endings=await _endings(deployment, stream, streaming.arrivals[-1].event.id),
        resumption=resumption,
    )


async def _round_trips(deployment: Deployment) -> Sequence[float]:
    times = []
    async with connect(deployment.site) as connection:
        for _ in range(_ROUND_TRIPS):
            began = time.monotonic()
            await deployment.health(connection)
            times.append(time.monotonic() - began)
    return times


# Answers


@dataclass
class Reader:
    """Receives a stream's events as an EventSource does, and records their arrival times."""

    deployment: Deployment
    stream: Stream
    last_event_id: str = ""
    reads: list[Read] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        """The events received so far."""
        return [arrival.event for arrival in self.arrivals]

    async def follow(self) -> bool:
        """Receive all events, and reconnect until they are complete; raises ProbeFailed.

        Returns True if the last response ended soon after the last event.
        """
        response, ended = 0, False
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while not self._complete:
                    response += 1
                    ended = await self._read_one(response)
                    if not self._complete:
                        await asyncio.sleep(_RECONNECT_SECONDS)
        except TimeoutError:
            raise ProbeFailed(f"an answer did not end within {_ANSWER_SECONDS} s") from None
        return ended

    @property
    def _complete(self) -> bool:
        return bool(self.arrivals) and self.arrivals[-1].event.name in ENDS

    async def _read_one(self, response: int) -> bool:
        async with connect(self.deployment.site) as connection:
            with contextlib.suppress(TimeoutError, *BROKEN):
                await self.deployment.read(connection, self.stream, self.last_event_id)
                await self._receive(connection, response)
                return True
        return False

    async def _receive(self, connection: Connection, response: int) -> None:
        """Receive a response; raises TimeoutError if it does not end after the last event."""
        loop, decoder = asyncio.get_running_loop(), Decoder()
        async with asyncio.timeout(None) as deadline:
            async for piece in connection.pieces():
                self.reads.append(Read(response, len(piece.data), piece.at))
                for arrival in decoder.feed(piece):
                    self.arrivals.append(arrival)
                    self.last_event_id = arrival.event.id
                if self._complete:
                    deadline.reschedule(loop.time() + self.deployment.patience)


async def _streaming(deployment: Deployment, stream: Stream) -> Streaming:
    reader = Reader(deployment, stream)
    samples: list[Sample] = []
    began = time.monotonic()
    sampler = asyncio.create_task(_take_samples(deployment, stream, samples))
    try:
        ended = await reader.follow()
    finally:
        sampler.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampler
    return Streaming(
        began=began, reads=reader.reads, arrivals=reader.arrivals, samples=samples, ended=ended
    )


async def _take_samples(deployment: Deployment, stream: Stream, samples: list[Sample]) -> None:
    while True:
        samples.append(await _take_sample(deployment, stream))
        await asyncio.sleep(_SAMPLE_SECONDS)


async def _take_sample(deployment: Deployment, stream: Stream) -> Sample:
    async with connect(deployment.site) as connection:
        seq = await deployment.written(connection, stream)
        return Sample(time.monotonic(), seq)


async def _resumption(deployment: Deployment) -> Resumption:
    stream = await deployment.create(_SHORT_ANSWER_TOKENS)
    before, _ = await asyncio.gather(
        _before_the_cut(deployment, stream), _take_sample(deployment, stream)
    )
    resumed = Reader(deployment, stream, before[-1].id if before else "")
    await resumed.follow()
    again = Reader(deployment, stream)
    await again.follow()
    return Resumption(before, resumed.events, again.events)


async def _before_the_cut(deployment: Deployment, stream: Stream) -> Sequence[Event]:
    """Read the first events, or none if none arrives in time."""
    decoder = Decoder()
    events: list[Event] = []
    with contextlib.suppress(TimeoutError, *BROKEN):
        async with connect(deployment.site) as connection, asyncio.timeout(_CUT_AFTER_SECONDS):
            await deployment.read(connection, stream)
            async for piece in connection.pieces():
                events += [arrival.event for arrival in decoder.feed(piece)]
                if len(events) >= _CUT_AFTER_EVENTS:
                    break
    return events[:_CUT_AFTER_EVENTS]


# Short responses


async def _endings(deployment: Deployment, stream: Stream, last_event_id: str) -> Sequence[Ending]:
    base = deployment.site.base
    unknown = f"{base}/streams/{token_urlsafe(24)}"
    return [
        await _ending(
            deployment,
            "no body: reconnect after the last event",
            ("GET", stream.events),
            {"Last-Event-ID": last_event_id},
        ),
        await _ending(deployment, "no body: HEAD", ("HEAD", f"{base}/healthz"), {}),
        await _ending(deployment, "a short body: unknown stream", ("GET", unknown), {}),
    ]


async def _ending(
    deployment: Deployment, name: str, request: tuple[str, str], headers: Mapping[str, str]
) -> Ending:
    status: int | None = None
    async with connect(deployment.site) as connection:
        began = time.monotonic()
        try:
            async with asyncio.timeout(deployment.patience):
                status = await connection.request(*request, headers)
                await connection.body()
        except (TimeoutError, *BROKEN):
            return Ending(name, status, None, reused=False)
        seconds = time.monotonic() - began
        return Ending(name, status, seconds, reused=await _is_reused(deployment, connection))


async def _is_reused(deployment: Deployment, connection: Connection) -> bool | None:
    if not connection.reusable:
        return None
    try:
        await deployment.health(connection)
    except ProbeFailed:
        return False
    return True
