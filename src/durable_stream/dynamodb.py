"""The store on DynamoDB.

Its one primitive is append-if-next: a put of (stream, seq) on the condition that this key does
not exist. The first writer to put it owns the position, and there is no other lock.

     writer A                 table                writer B
        │── put seq 7, nonce a ──▶│                     │
        │                         │◀── put seq 7, nonce b ──│
        │◀────────── ok ──────────│── condition failed, old item: a ──▶│   B has lost
        │── put seq 8, nonce c ──▶│                     │
        │      (answer lost)      │                     │
        │── put seq 8, nonce c ──▶│                     │
        │◀─ condition failed, old item: c ─│            │   A's own: it had succeeded
"""

from durable_stream.aws.api import Item
from durable_stream.events import Event, Registry, encode
from durable_stream.exceptions import StoreUnavailable
from durable_stream.records import Record
from durable_stream.store import Page
from durable_stream.table import Table, key

# A reader gets nothing of a page before all of it is decoded, some 15,000 records a second.
_PAGE_RECORDS = 500


class DynamoDBStore:
    """Streams in one DynamoDB table, as template.yaml describes it.

    `registry` knows the events. Every method raises StoreUnavailable or StoreRefused.
    """

    def __init__(self, table: Table, registry: Registry) -> None:
        self._table = table
        self._registry = registry

    async def append(self, record: Record) -> Record | None:
        """Put a record at its position; None if it is there now, else the one that is instead.

        The same record may be appended again after StoreUnavailable: it is written once.
        """
        item = await self._table.put_new(_encode(record))
        if item is None:
            return None
        present = self._decode(item)
        is_ours = (present.writer, present.nonce) == (record.writer, record.nonce)
        return None if is_ours else present

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        """The records from position `start` on, up to one page."""
        found = await self._table.query(
            "stream_id = :stream AND seq >= :start",
            {":stream": {"S": stream_id}, ":start": {"N": str(start)}},
            limit=_PAGE_RECORDS,
            consistent=consistent,
        )
        records = [self._decode(item) for item in found.items]
        consecutive = _without_gaps(records, start)
        # "LastEvaluatedKey not empty" need not mean that there is more.
        more = (
            found.cut
            and len(consecutive) == len(records)
            and await self._exists(stream_id, start + len(records), consistent=consistent)
        )
        return Page(consecutive, more)

    async def newest(self, stream_id: str) -> Record | None:
        """The last record of a stream, read consistently; None if there is no such stream."""
        found = await self._table.query(
            "stream_id = :stream",
            {":stream": {"S": stream_id}},
            limit=1,
            consistent=True,
            newest_first=True,
        )
        return next(map(self._decode, found.items), None)

    async def at(self, stream_id: str, seq: int) -> Record | None:
        """The record at a position, read consistently; None if there is none."""
        item = await self._table.get(key(stream_id, seq))
        return None if item is None else self._decode(item)

    async def remove(self, first: Record, last: Record) -> None:
        """Put these in place of the first and last records of a stream, and delete the others."""
        # First, so that no reader finds a live stream with missing records and takes it over.
        for record in (first, last):
            await self._table.put(_encode(record))
        for seq in range(first.seq + 1, last.seq):
            await self._table.delete(key(first.stream_id, seq))

    async def _exists(self, stream_id: str, seq: int, *, consistent: bool) -> bool:
        position = key(stream_id, seq)
        item = await self._table.get(position, consistent=consistent, projection="seq")
        return item is not None

    def _decode(self, item: Item) -> Record:
        try:
            return Record(
                stream_id=item["stream_id"]["S"],
                seq=int(item["seq"]["N"]),
                event=self._decode_event(item),
                writer=item["writer"]["S"],
                nonce=item["nonce"]["S"],
                at=int(item["at"]["N"]),
                expires_at=int(item["expires_at"]["N"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreUnavailable("an item of the table is no record") from error

    def _decode_event(self, item: Item) -> Event:
        kind = item["kind"]["S"]
        try:
            return self._registry.decode(kind, item["data"]["S"])
        except (KeyError, TypeError) as error:
            # The log outlives the code: while a deployment rolls, sandboxes of both versions read.
            raise StoreUnavailable(
                f"another version than this wrote {kind!r} at {item['seq']['N']}"
            ) from error


def _without_gaps(records: list[Record], start: int) -> list[Record]:
    """The records up to the first gap.

    An eventually consistent read may have one, which the next read fills. So may an expired
    stream, whose records DynamoDB deletes in any order; that gap stays.
    """
    for index, record in enumerate(records):
        if record.seq != start + index:
            return records[:index]
    return records


def _encode(record: Record) -> Item:
    return {
        **key(record.stream_id, record.seq),
        "kind": {"S": record.event.kind},
        "data": {"S": encode(record.event)},
        "writer": {"S": record.writer},
        "nonce": {"S": record.nonce},
        "at": {"N": str(record.at)},
        "expires_at": {"N": str(record.expires_at)},
    }
