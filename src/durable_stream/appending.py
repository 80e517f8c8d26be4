"""Appending to a stream as its only writer."""

from dataclasses import dataclass

from durable_stream.events import Event
from durable_stream.exceptions import StreamError
from durable_stream.records import Record, new_nonce
from durable_stream.retry import retry
from durable_stream.store import Store
from durable_stream.timing import Clock


class Superseded(StreamError):
    """Raised when another writer holds the next position; `record` is the one that stands there."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"position {record.seq} is held by {record.writer or 'a creator'}")
        self.record = record


@dataclass(slots=True, kw_only=True)
class Writer:
    """Appends records one after another; one call at a time, so one record is in flight.

    `seq` is the next position.
    """

    store: Store
    clock: Clock
    stream_id: str
    name: str
    expires_at: int
    seq: int = 0

    async def append(self, event: Event, patience: float) -> Record:
        """The record once it is durable; raises Superseded, StoreUnavailable or StoreRefused."""
        record = Record(
            stream_id=self.stream_id,
            seq=self.seq,
            event=event,
            writer=self.name,
            nonce=new_nonce(),
            at=int(self.clock.now() * 1000),
            expires_at=self.expires_at,
        )
        # The same record every time, so a write that had happened after all counts as ours.
        present = await retry(lambda: self.store.append(record), patience)
        if present is not None:
            raise Superseded(present)
        self.seq += 1
        return record
