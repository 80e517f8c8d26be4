"""Mistakes made in the code on purpose: each breaks a rule, which must find it."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from durable_stream import (
    Event,
    Heartbeat,
    Reading,
    Record,
    StepEnded,
    Steps,
    Streams,
    Window,
    dynamodb,
    history,
)
from durable_stream.appending import Writer
from durable_stream.buffer import EventBuffer
from durable_stream.numbering import Numbering
from durable_stream.recorded import RecordedSteps
from durable_stream.records import new_nonce
from durable_stream.retry import retry
from durable_stream.stream import Stream
from durable_stream.tail import Tail
from durable_stream.writing import Writing

Mutation = Callable[[pytest.MonkeyPatch], None]


async def _append_and_go_on(writer: Writer, event: Event, patience: float) -> Record:
    """As `Writer.append`, but a superseded writer does not notice."""
    record = Record(
        stream_id=writer.stream_id,
        seq=writer.seq,
        event=event,
        writer=writer.name,
        nonce=new_nonce(),
        at=int(writer.clock.now() * 1000),
        expires_at=writer.expires_at,
    )
    await retry(lambda: writer.store.append(record), patience)
    writer.seq += 1
    return record


def superseded_goes_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Writer, "append", _append_and_go_on)


def gaps_are_delivered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dynamodb, "_without_gaps", lambda records, _: records)


def given_up_too_early(patch: pytest.MonkeyPatch) -> None:
    idle = history._idle
    patch.setattr(history, "_idle", lambda events: idle(events) + 2)


def writers_break(patch: pytest.MonkeyPatch) -> None:
    append = Writer.append

    async def broken(writer: Writer, event: Event, patience: float) -> Record:
        if event.kind == Heartbeat.kind:
            raise RuntimeError("broken by the test")
        return await append(writer, event, patience)

    patch.setattr(Writer, "append", broken)


def complete_too_early(patch: pytest.MonkeyPatch) -> None:
    """A client that comes back is told that it has all, once the end is in the log."""
    read = Streams.read

    async def hasty(
        streams: Streams, stream_id: str, after: int | None, window: Window
    ) -> Reading | None:
        newest = await streams._engine.store.newest(stream_id)
        if after is not None and newest is not None and newest.terminal:
            return None
        return await read(streams, stream_id, after, window)

    patch.setattr(Streams, "read", hasty)


def tails_keep_what_is_before_a_gap(patch: pytest.MonkeyPatch) -> None:
    def add(tail: Tail, record: Record) -> None:
        tail._window.append(record)
        tail.newest = record

    patch.setattr(Tail, "_add", add)


def writers_give_up_in_a_silence(patch: pytest.MonkeyPatch) -> None:
    """A store that does not answer for a lease ends every writer."""
    give_up_at = Writing._give_up_at

    def hasty(writing: Writing) -> float:
        lease = asyncio.get_running_loop().time() + writing._timing.lease
        return min(lease, give_up_at(writing))

    patch.setattr(Writing, "_give_up_at", hasty)


def silence_is_never_over(patch: pytest.MonkeyPatch) -> None:
    """A stream whose writer is dead is never taken over."""
    claimable_in = Stream.claimable_in

    def patient(stream: Stream, listening: float = 0.0) -> float:
        newest = stream.tail.newest
        waiting = newest is not None and history.is_waiting(newest)
        return claimable_in(stream, listening) if waiting else math.inf

    patch.setattr(Stream, "claimable_in", patient)


def ends_of_steps_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """An attempt does not know which steps have ended."""
    add = RecordedSteps._add

    def forgetful(recorded: RecordedSteps, event: Event) -> None:
        if not isinstance(event, StepEnded):
            add(recorded, event)

    patch.setattr(RecordedSteps, "_add", forgetful)


class _Hasty(EventBuffer):
    """Nothing that waits for it to be durable waits."""

    async def logged(self) -> None:
        return


def steps_begin_too_early(patch: pytest.MonkeyPatch) -> None:
    """A step runs while the record of its begin is on its way."""
    begin = Steps.__init__

    def hasty(steps: Steps, *args: Any, **kwargs: Any) -> None:
        begin(steps, *args, **kwargs)
        buffer, steps._buffer = steps._buffer, _Hasty()
        steps._buffer.put = buffer.put  # type: ignore[method-assign]
        steps._buffer.add = buffer.add  # type: ignore[method-assign]

    patch.setattr(Steps, "__init__", hasty)


def keys_of_steps_do_not_count(patch: pytest.MonkeyPatch) -> None:
    """Two steps of one name have one key."""
    following = Numbering.next

    def forgetful(numbering: Numbering, stem: str) -> str:
        numbering._numbers.clear()
        return following(numbering, stem)

    patch.setattr(Numbering, "next", forgetful)
