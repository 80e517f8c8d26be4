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

from typing import TYPE_CHECKING, Any, cast

from durable_stream.events import Event, Registry, encode
from durable_stream.exceptions import StoreUnavailable
from durable_stream.records import Record
from durable_stream.store import Page
from durable_stream.table import Table, key

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = dict[str, AttributeValueTypeDef]

# A reader gets nothing of a page before all of it is decoded, some 15,000 records a second.
_PAGE_RECORDS = 500

POSITION_IS_FREE = "attribute_not_exists(stream_id)"


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
        return await self._table.call(lambda client: self._append(client, record))

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        """The records from position `start` on, up to one page."""
        return await self._table.call(
            lambda client: self._read(client, stream_id, start, consistent)
        )

    async def newest(self, stream_id: str) -> Record | None:
        """The last record of a stream, read consistently; None if there is no such stream."""
        return await self._table.call(lambda client: self._newest(client, stream_id))

    async def at(self, stream_id: str, seq: int) -> Record | None:
        """The record at a position, read consistently; None if there is none."""
        return await self._table.call(lambda client: self._at(client, stream_id, seq))

    async def remove(self, first: Record, last: Record) -> None:
        """Put these in place of the first and last records of a stream, and delete the others."""
        await self._table.call(lambda client: self._remove(client, first, last))

    # In a thread

    def _append(self, client: "DynamoDBClient", record: Record) -> Record | None:
        try:
            client.put_item(
                TableName=self._table.name,
                Item=_encode(record),
                ConditionExpression=POSITION_IS_FREE,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except client.exceptions.ConditionalCheckFailedException as failure:
            present = self._decode(cast("Any", failure.response)["Item"])
            is_ours = (present.writer, present.nonce) == (record.writer, record.nonce)
            return None if is_ours else present
        return None

    def _read(
        self,
        client: "DynamoDBClient",
        stream_id: str,
        start: int,
        consistent: bool,  # noqa: FBT001
    ) -> Page:
        answer = client.query(
            TableName=self._table.name,
            KeyConditionExpression="stream_id = :stream AND seq >= :start",
            ExpressionAttributeValues={
                ":stream": {"S": stream_id},
                ":start": {"N": str(start)},
            },
            Limit=_PAGE_RECORDS,
            ConsistentRead=consistent,
        )
        records = [self._decode(item) for item in answer["Items"]]
        consecutive = _without_gaps(records, start)
        cut_short = "LastEvaluatedKey" in answer and len(consecutive) == len(records)
        # "LastEvaluatedKey not empty" need not mean that there is more.
        following = start + len(records)
        more = cut_short and "Item" in client.get_item(
            TableName=self._table.name,
            Key=key(stream_id, following),
            ProjectionExpression="seq",
            ConsistentRead=consistent,
        )
        return Page(consecutive, more)

    def _newest(self, client: "DynamoDBClient", stream_id: str) -> Record | None:
        answer = client.query(
            TableName=self._table.name,
            KeyConditionExpression="stream_id = :stream",
            ExpressionAttributeValues={":stream": {"S": stream_id}},
            ScanIndexForward=False,
            Limit=1,
            ConsistentRead=True,
        )
        return next((self._decode(item) for item in answer["Items"]), None)

    def _at(self, client: "DynamoDBClient", stream_id: str, seq: int) -> Record | None:
        answer = client.get_item(
            TableName=self._table.name, Key=key(stream_id, seq), ConsistentRead=True
        )
        return self._decode(answer["Item"]) if "Item" in answer else None

    def _remove(self, client: "DynamoDBClient", first: Record, last: Record) -> None:
        # First, so that no reader finds a live stream with missing records and takes it over.
        for record in (first, last):
            client.put_item(TableName=self._table.name, Item=_encode(record))
        for seq in range(first.seq + 1, last.seq):
            client.delete_item(TableName=self._table.name, Key=key(first.stream_id, seq))

    def _decode(self, item: "Item") -> Record:
        return Record(
            stream_id=item["stream_id"]["S"],
            seq=int(item["seq"]["N"]),
            event=self._decode_event(item),
            writer=item["writer"]["S"],
            nonce=item["nonce"]["S"],
            at=int(item["at"]["N"]),
            expires_at=int(item["expires_at"]["N"]),
        )

    def _decode_event(self, item: "Item") -> Event:
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


def _encode(record: Record) -> "Item":
    return {
        **key(record.stream_id, record.seq),
        "kind": {"S": record.event.kind},
        "data": {"S": encode(record.event)},
        "writer": {"S": record.writer},
        "nonce": {"S": record.nonce},
        "at": {"N": str(record.at)},
        "expires_at": {"N": str(record.expires_at)},
    }
