"""The store: the operations of a database that the engine needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from durable_stream.records import Record


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive records of one stream. `more` says that the store holds the next one too."""

    records: Sequence[Record]
    more: bool


class Store(Protocol):
    """Append-only logs. Every method raises StoreUnavailable or StoreRefused."""

    async def append(self, record: Record) -> Record | None:
        """Put a record at its position; None if it is there now, else the one that is instead.

        The same record may be appended again after StoreUnavailable: it is written once.
        """
        ...

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        """The records from position `start` on, up to one page."""
        ...

    async def newest(self, stream_id: str) -> Record | None:
        """The last record of a stream, read consistently; None if there is no such stream."""
        ...

    async def at(self, stream_id: str, seq: int) -> Record | None:
        """The record at a position, read consistently; None if there is none."""
        ...

    async def remove(self, first: Record, last: Record) -> None:
        """Put these in place of the first and last records of a stream, and delete the others."""
        ...
