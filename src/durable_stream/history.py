"""What a stream's records add up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from app.models.base import Partial
from durable_stream.records import (
    Answer,
    Cancelled,
    Claim,
    Done,
    Failed,
    Handoff,
    Payload,
    Record,
    Start,
    Thinking,
)

Status = Literal["waiting", "streaming", "interrupted", "done", "error", "cancelled"]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A stream as far as it has come.

    `attempts` counts the writers it has had, `fruitless` the last of them that said nothing.
    `created_at` is in Unix milliseconds.
    """

    start: Start
    created_at: int
    newest: Record
    partial: Partial
    attempts: int
    fruitless: int

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Fold all the records of a stream, from position 0."""
        start = records[0].payload
        if not isinstance(start, Start):
            raise TypeError(f"the first record of a stream is a start, not {start!r}")
        payloads = [record.payload for record in records]
        return cls(
            start=start,
            created_at=records[0].at,
            newest=records[-1],
            partial=Partial.of(
                thinking=(p.text for p in payloads if isinstance(p, Thinking)),
                answer=(p.text for p in payloads if isinstance(p, Answer)),
            ),
            attempts=sum(isinstance(p, Claim) for p in payloads) + bool(records[0].writer),
            fruitless=_fruitless(payloads),
        )


def _fruitless(payloads: Sequence[Payload]) -> int:
    claims = 0
    for payload in reversed(payloads):
        if isinstance(payload, Thinking | Answer):
            break
        claims += isinstance(payload, Claim)
    return claims


def is_waiting(record: Record) -> bool:
    """Whether a stream whose newest record this is waits for a writer."""
    match record.payload:
        case Handoff():
            return True
        case Start():
            return not record.writer
        case _:
            return False


def is_stale(record: Record, *, now_ms: float, lease: float) -> bool:
    """Whether the writer of this newest record has been silent for longer than its lease."""
    return now_ms - record.at > lease * 1000


def status(record: Record, *, now_ms: float, lease: float) -> Status:
    """In a word, where a stream is whose newest record this is."""
    match record.payload:
        case Done():
            return "done"
        case Failed():
            return "error"
        case Cancelled():
            return "cancelled"
        case _ if is_waiting(record):
            return "waiting"
        case _ if is_stale(record, now_ms=now_ms, lease=lease):
            return "interrupted"
        case _:
            return "streaming"
