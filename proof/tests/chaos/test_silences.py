"""A claim that takes a stream from a writer which a silent store has left alive is found."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import httpx
import pytest

from app.events import Answer, Done
from durable_stream import Claim, Record
from durable_stream import Event as Payload
from proof.chaos.deployment import TIMEOUT
from proof.chaos.faults import Fault
from proof.chaos.generations import Generation, Generations
from proof.chaos.sandboxes import Frozen, Sandboxes
from proof.chaos.silences import Survival, survivals
from proof.chaos.traffic import Silence, Traffic

pytestmark = pytest.mark.anyio

STREAM, PID, ANOTHER = "s" * 32, 10, 11
SILENCE = Silence(
    fault=Fault.SILENT, stream_id=STREAM, seq=1, kind="answer", pid=PID, since=2.0, until=12.0
)
GOES_ON: tuple[Payload, ...] = (Claim(1), Answer("a"), Answer("b"), Done("stop", 1, 2))
IS_TAKEN: tuple[Payload, ...] = (Claim(1), Claim(2), Answer("a"), Done("stop", 1, 2))
# One of its puts that it no longer waited for has come through.
IS_TAKEN_LATE: tuple[Payload, ...] = (Claim(1), Answer("a"), Claim(2), Done("stop", 1, 2))


@pytest.fixture
async def sandboxes() -> AsyncIterator[Sandboxes]:
    async with httpx.AsyncClient() as http:
        yield Sandboxes(http)


def lived(
    payloads: Sequence[Payload],
    sandboxes: Sandboxes,
    *,
    silence: Silence = SILENCE,
    began: float = 1.0,
    writer: int = PID,
    before: Sequence[Silence] = (),
) -> list[Survival]:
    """Those of one stream whose records stand, behind the first, half a second after a silence."""
    records = [
        Record(STREAM, seq, payload, writer="w", nonce="n", at=0, expires_at=0)
        for seq, payload in enumerate(payloads)
    ]
    stood_at = {(STREAM, seq): 12.5 if seq else 1.0 for seq in range(len(records))}
    traffic, generations = Traffic(silences=[*before, silence], stood_at=stood_at), Generations()
    generations.all = [Generation(1, STREAM[:8], writer, began)]
    return [*survivals(traffic, {STREAM: records}, generations, sandboxes)]


async def test_a_writer_that_goes_on_has_lived_and_nothing_is_wrong(sandboxes: Sandboxes) -> None:
    (survival,) = lived(GOES_ON, sandboxes)

    assert not survival.wrong


@pytest.mark.parametrize(("payloads", "seq"), [(IS_TAKEN, 1), (IS_TAKEN_LATE, 2)])
async def test_a_stream_that_is_taken_from_a_writer_that_lived_is_wrong(
    sandboxes: Sandboxes, payloads: Sequence[Payload], seq: int
) -> None:
    (survival,) = lived(payloads, sandboxes)

    assert "process 10 lived through a silence of the store" in survival.wrong
    assert f"position {seq} is a claim" in survival.wrong


async def test_a_writer_that_was_ended_or_frozen_may_lose_its_stream(sandboxes: Sandboxes) -> None:
    sandboxes.frozen[PID].append(Frozen(since=5.0, until=6.0))
    assert lived(IS_TAKEN, sandboxes) == []

    sandboxes.frozen.clear()
    sandboxes.ended_at[PID] = 7.0
    assert lived(IS_TAKEN, sandboxes) == []


async def test_a_writer_whose_time_is_over_may_lose_its_stream(sandboxes: Sandboxes) -> None:
    assert lived(IS_TAKEN, sandboxes, began=12.5 - TIMEOUT + 1.0) == []


async def test_a_writer_that_waited_for_the_end_of_another_silence_has_less_time(
    sandboxes: Sandboxes,
) -> None:
    another = replace(SILENCE, kind="claim", since=-9.0, until=1.0)
    assert lived(IS_TAKEN, sandboxes, before=[another]) == []

    long_ago = replace(another, since=-40.0, until=-30.0)
    assert len(lived(IS_TAKEN, sandboxes, before=[long_ago])) == 1


async def test_who_has_lost_before_the_silence_or_was_about_to_claim_is_no_writer(
    sandboxes: Sandboxes,
) -> None:
    assert lived(IS_TAKEN, sandboxes, writer=ANOTHER) == []
    assert lived(IS_TAKEN, sandboxes, silence=replace(SILENCE, kind="claim")) == []
