"""Mistakes made in the code on purpose: each breaks a rule, which must find it."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable

import pytest

from durable_stream import dynamodb
from durable_stream import history as transcript
from durable_stream.reading import Reading
from durable_stream.records import Heartbeat, Payload, Record
from durable_stream.streams import Streams, Window
from durable_stream.tail import Tail
from durable_stream.writer import Writer, append_patiently
from durable_stream.writing import Generation

Mutation = Callable[[pytest.MonkeyPatch], None]


async def _append_and_go_on(writer: Writer, payload: Payload, patience: float) -> Record:
    """As `Writer.append`, but whoever is superseded does not notice."""
    record = Record(
        stream_id=writer.stream_id,
        seq=writer.seq,
        payload=payload,
        writer=writer.name,
        nonce=secrets.token_urlsafe(9),
        at=int(time.time() * 1000),
        expires_at=writer.expires_at,
    )
    await append_patiently(writer.log, record, patience)
    writer.seq += 1
    return record


def superseded_goes_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Writer, "append", _append_and_go_on)


def gaps_are_delivered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dynamodb, "_without_gaps", lambda records, _: records)


def given_up_too_early(patch: pytest.MonkeyPatch) -> None:
    fruitless = transcript._fruitless
    patch.setattr(transcript, "_fruitless", lambda payloads: fruitless(payloads) + 2)


def writers_break(patch: pytest.MonkeyPatch) -> None:
    append = Writer.append

    async def broken(writer: Writer, payload: Payload, patience: float) -> Record:
        if payload.kind == Heartbeat.kind:
            raise RuntimeError("broken by the test")
        return await append(writer, payload, patience)

    patch.setattr(Writer, "append", broken)


def complete_too_early(patch: pytest.MonkeyPatch) -> None:
    """A client that comes back is told that it has all, once the end is in the log."""
    read = Streams.read

    async def hasty(
        streams: Streams, stream_id: str, after: int | None, window: Window
    ) -> Reading | None:
        newest = await streams._log.newest(stream_id)
        if after is not None and newest is not None and newest.terminal:
            return None
        return await read(streams, stream_id, after, window)

    patch.setattr(Streams, "read", hasty)


def tails_keep_what_is_before_a_gap(patch: pytest.MonkeyPatch) -> None:
    def take(tail: Tail, record: Record) -> None:
        tail._window.append(record)
        tail.newest = record

    patch.setattr(Tail, "_take", take)


def writers_give_up_in_a_silence(patch: pytest.MonkeyPatch) -> None:
    """A log that does not answer for a lease ends whatever is written."""
    give_up_at = Generation._give_up_at

    def hasty(generation: Generation) -> float:
        lease = asyncio.get_running_loop().time() + generation._settings.lease
        return min(lease, give_up_at(generation))

    patch.setattr(Generation, "_give_up_at", hasty)


def silence_is_never_over(patch: pytest.MonkeyPatch) -> None:
    """A stream whose writer is dead is never taken over."""
    free_in = Tail.free_in

    def patient(tail: Tail, listening: float) -> float:
        waiting = tail.newest is not None and transcript.is_waiting(tail.newest)
        return free_in(tail, listening) if waiting else math.inf

    patch.setattr(Tail, "free_in", patient)
