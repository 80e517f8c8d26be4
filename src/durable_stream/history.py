"""History: the sum of a stream's records."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from durable_stream.events import (
    Cancelled,
    Claim,
    Event,
    Failed,
    Handoff,
    Start,
    is_lasting,
    started_over,
)
from durable_stream.records import Record
from durable_stream.task import of_producer

Status = Literal["waiting", "streaming", "interrupted", "done", "error", "cancelled"]


@dataclass(frozen=True, slots=True)
class History:
    """A stream as far as it has come.

    `log` holds the events that a producer needs to resume it. `attempts` counts the writers,
    `idle_attempts` the last of them that made no progress. `created_at` is in Unix milliseconds.
    """

    start: Start
    created_at: int
    newest: Record
    log: tuple[Event, ...]
    attempts: int
    idle_attempts: int

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Fold all the records of a stream, from position 0."""
        start = records[0].event
        if not isinstance(start, Start):
            raise TypeError(f"the first record of a stream is a start, not {start.kind}")
        events = [record.event for record in records]
        return cls(
            start=start,
            created_at=records[0].at,
            newest=records[-1],
            log=of_producer(events),
            attempts=sum(isinstance(event, Claim) for event in events) + bool(records[0].writer),
            idle_attempts=_idle(events),
        )

    def tombstones(self, now: float) -> tuple[Record, Record]:
        """The first and the last record of a stream that has ended, as they are when it is removed.

        Both count as expired. The first has no input. The last one stays, since its position must
        not be free for a writer that has not learned of the end. `now` is in Unix seconds.
        """
        last = replace(self.newest, expires_at=int(now))
        return replace(last, seq=0, event=Start("", self.start.owner)), last


def _idle(events: Sequence[Event]) -> int:
    """The claims behind the last progress that lasts."""
    again = started_over(events)
    claims = 0
    for event in reversed(events):
        if not event.terminal and is_lasting(event, again):
            break
        claims += isinstance(event, Claim)
    return claims


def is_waiting(record: Record) -> bool:
    """True if a stream whose newest record this is waits for a writer."""
    match record.event:
        case Handoff():
            return True
        case Start():
            return not record.writer
        case _:
            return False


def is_stale(record: Record, *, now: float, lease: float) -> bool:
    """True if the writer of this newest record has been silent for longer than its lease."""
    return now - record.at / 1000 > lease


def status(record: Record, *, now: float, lease: float) -> Status:
    """In a word, the state of a stream whose newest record this is. `now` is in Unix seconds."""
    match record.event:
        case Failed():
            return "error"
        case Cancelled():
            return "cancelled"
        case event if event.terminal:
            return "done"
        case _ if is_waiting(record):
            return "waiting"
        case _ if is_stale(record, now=now, lease=lease):
            return "interrupted"
        case _:
            return "streaming"
