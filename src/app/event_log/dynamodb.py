"""The event log on DynamoDB.

Its one primitive is append-if-next: a put of (stream, seq) on the condition that this key does
not exist. Whoever puts it first owns the position, and that is all the locking there is.

     writer A                 table                writer B
        │── put seq 7, nonce a ──▶│                     │
        │                         │◀── put seq 7, nonce b ──│
        │◀────────── ok ──────────│── condition failed, old item: a ──▶│   B has lost
        │── put seq 8, nonce c ──▶│                     │
        │      (answer lost)      │                     │
        │── put seq 8, nonce c ──▶│                     │
        │◀─ condition failed, old item: c ─│            │   A's own: it had succeeded

boto3 blocks, so every call crosses into a thread. Its client takes long to make, and is made
with the log, not by the first call: Lambda initialises a sandbox on a whole processor, but a
function of 512 MB then has a third of one, and somebody waits for a token.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import boto3
from botocore import exceptions
from botocore.config import Config

from app.event_log.records import Payload, Record, decode_payload, encode_payload
from app.exceptions import LogRefused, LogUnavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = dict[str, AttributeValueTypeDef]

T = TypeVar("T")

# One call may take this long; the layers above decide how often to try again.
_CONNECT_SECONDS = 1
_READ_SECONDS = 1.5
_ATTEMPTS = 2

# A reader gets nothing of a page before all of it is decoded, some 15,000 records a second.
_PAGE_RECORDS = 500

POSITION_IS_FREE = "attribute_not_exists(stream_id)"

_SERVER_ERROR = 500
_TRANSIENT = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",
    }
)


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive records of one stream. `more` says that the log holds the next one too."""

    records: Sequence[Record]
    more: bool


class DynamoDBLog:
    """Streams in one DynamoDB table, as template.yaml describes it.

    Every method raises LogUnavailable or LogRefused. `connections` bounds the calls under way.
    """

    def __init__(self, table: str, *, connections: int = 16) -> None:
        self._table = table
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="dynamodb")
        with _translated():
            self._client = _connect(connections)

    async def append(self, record: Record) -> Record | None:
        """Put a record at its position; None if it is there now, else the one that is instead.

        The same record may be appended again after LogUnavailable: it is written once.
        """
        return await self._in_thread(lambda: self._append(record))

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        """The records from position `start` on, up to one page."""
        return await self._in_thread(lambda: self._read(stream_id, start, consistent))

    async def newest(self, stream_id: str) -> Record | None:
        """The last record of a stream, read consistently; None if there is no such stream."""
        return await self._in_thread(lambda: self._newest(stream_id))

    def close(self) -> None:
        """Let the threads go; calls under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # In a thread

    def _append(self, record: Record) -> Record | None:
        with _translated():
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=_encode(record),
                    ConditionExpression=POSITION_IS_FREE,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as failure:
                present = _decode(cast("Any", failure.response)["Item"])
                is_ours = (present.writer, present.nonce) == (record.writer, record.nonce)
                return None if is_ours else present
        return None

    def _read(self, stream_id: str, start: int, consistent: bool) -> Page:  # noqa: FBT001
        with _translated():
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="stream_id = :stream AND seq >= :start",
                ExpressionAttributeValues={
                    ":stream": {"S": stream_id},
                    ":start": {"N": str(start)},
                },
                Limit=_PAGE_RECORDS,
                ConsistentRead=consistent,
            )
        records = [_decode(item) for item in answer["Items"]]
        consecutive = _without_gaps(records, start)
        cut_short = "LastEvaluatedKey" in answer and len(consecutive) == len(records)
        more = cut_short and self._exists(stream_id, start + len(records), consistent)
        return Page(consecutive, more)

    def _exists(self, stream_id: str, seq: int, consistent: bool) -> bool:  # noqa: FBT001
        """Whether a position is taken: "LastEvaluatedKey not empty" need not mean more data."""
        with _translated():
            answer = self._client.get_item(
                TableName=self._table,
                Key={"stream_id": {"S": stream_id}, "seq": {"N": str(seq)}},
                ProjectionExpression="seq",
                ConsistentRead=consistent,
            )
        return "Item" in answer

    def _newest(self, stream_id: str) -> Record | None:
        with _translated():
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="stream_id = :stream",
                ExpressionAttributeValues={":stream": {"S": stream_id}},
                ScanIndexForward=False,
                Limit=1,
                ConsistentRead=True,
            )
        return next((_decode(item) for item in answer["Items"]), None)


def _connect(connections: int) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=connections,
            parameter_validation=False,
            tcp_keepalive=True,
        ),
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn botocore's errors into the log's: the one border they cross."""
    try:
        yield
    except exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in _TRANSIENT or status >= _SERVER_ERROR:
            raise LogUnavailable(f"DynamoDB answered {status} {code}") from error
        raise LogRefused(f"DynamoDB refused: {error}") from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise LogUnavailable(f"DynamoDB does not answer: {error}") from error
    except exceptions.BotoCoreError as error:
        raise LogRefused(f"DynamoDB cannot be called: {error}") from error


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
        "stream_id": {"S": record.stream_id},
        "seq": {"N": str(record.seq)},
        "kind": {"S": record.payload.kind},
        "data": {"S": encode_payload(record.payload)},
        "writer": {"S": record.writer},
        "nonce": {"S": record.nonce},
        "at": {"N": str(record.at)},
        "expires_at": {"N": str(record.expires_at)},
    }


def _decode(item: "Item") -> Record:
    return Record(
        stream_id=item["stream_id"]["S"],
        seq=int(item["seq"]["N"]),
        payload=_decode_payload(item),
        writer=item["writer"]["S"],
        nonce=item["nonce"]["S"],
        at=int(item["at"]["N"]),
        expires_at=int(item["expires_at"]["N"]),
    )


def _decode_payload(item: "Item") -> Payload:
    kind = item["kind"]["S"]
    try:
        return decode_payload(kind, item["data"]["S"])
    except (KeyError, TypeError) as error:
        # The log outlives the code: while a deployment rolls, sandboxes of both versions read it.
        raise LogUnavailable(
            f"a newer version than this wrote {kind!r} at {item['seq']['N']}"
        ) from error
