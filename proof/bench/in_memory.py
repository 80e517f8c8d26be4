"""A DynamoDB that keeps up: `python -m proof.bench.in_memory` prints its URL.

It holds one table in memory, as far as the event log asks for it. It keeps connections alive and
sends the CRC of each body, as DynamoDB does. moto does neither, and takes milliseconds a call: with
it, a measurement would be one of moto.
"""

import asyncio
import json
import re
import zlib
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

Fields = Mapping[str, Any]

_PAGE_BYTES = 1024 * 1024  # the most that DynamoDB returns, counted as it stores items
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_OPERATION = re.compile(rb"\r\nx-amz-target: *DynamoDB_20120810\.(\w+)\r\n", re.IGNORECASE)
_KEY_CONDITION = re.compile(r"stream_id *= *(:\w+)(?: +AND +seq *>= *(:\w+))?")
_ERROR = "com.amazonaws.dynamodb.v20120810#"


class Refused(Exception):
    """A call that is answered with an error: its type, and the body's other members."""

    def __init__(self, error_type: str, message: str, **members: object) -> None:
        super().__init__(message)
        self.body = {"__type": f"{_ERROR}{error_type}", "message": message, **members}


@dataclass(frozen=True, slots=True)
class _Item:
    """One item as JSON, and its size as DynamoDB counts it, nearly."""

    encoded: bytes
    stored_bytes: int


@dataclass(slots=True)
class _Partition:
    """The items of one stream, and their positions in order."""

    items: dict[int, _Item] = field(default_factory=dict)
    positions: list[int] = field(default_factory=list)


class Table:
    """The table's items, and the operations on them; each returns the body of its answer."""

    def __init__(self) -> None:
        self._partitions: defaultdict[str, _Partition] = defaultdict(_Partition)
        self._operations: Mapping[str, Callable[[Fields], bytes]] = {
            "BatchWriteItem": self._put_all,
            "CreateTable": _nothing,
            "UpdateTimeToLive": _nothing,
            "GetItem": self._get,
            "PutItem": self._put,
            "Query": self._query,
        }

    def call(self, operation: str, request: Fields) -> bytes:
        """The answer; raises Refused."""
        if operation not in self._operations:
            raise Refused("UnknownOperationException", f"{operation} is not known here")
        return self._operations[operation](request)

    def _put(self, request: Fields) -> bytes:
        item = request["Item"]
        partition, seq = self._partition(item), int(item["seq"]["N"])
        present = partition.items.get(seq)
        if present is None:
            insort(partition.positions, seq)
        elif "ConditionExpression" in request:
            raise Refused(
                "ConditionalCheckFailedException",
                "The conditional request failed",
                Item=json.loads(present.encoded),
            )
        partition.items[seq] = _Item(json.dumps(item).encode(), _stored_bytes(item))
        return b"{}"

    def _put_all(self, request: Fields) -> bytes:
        for writes in request["RequestItems"].values():
            for write in writes:
                self._put(write["PutRequest"])
        return b"{}"

    def _get(self, request: Fields) -> bytes:
        found = self._partition(request["Key"]).items.get(int(request["Key"]["seq"]["N"]))
        return b"{}" if found is None else b'{"Item":%b}' % found.encoded

    def _query(self, request: Fields) -> bytes:
        condition = _KEY_CONDITION.fullmatch(request["KeyConditionExpression"])
        if condition is None:
            raise Refused("ValidationException", "this condition on the key is not known here")
        values = request["ExpressionAttributeValues"]
        partition = self._partitions[values[condition[1]]["S"]]
        start = int(values[condition[2]]["N"]) if condition[2] else 0
        found = partition.positions[bisect_left(partition.positions, start) :]
        if not request.get("ScanIndexForward", True):
            found.reverse()
        page = _page(partition, found, request.get("Limit", len(found)))
        answer = b'{"Items":[%b],"Count":%d' % (
            b",".join(partition.items[seq].encoded for seq in page),
            len(page),
        )
        if len(page) < len(found):
            key = {"stream_id": values[condition[1]], "seq": {"N": str(page[-1])}}
            answer += b',"LastEvaluatedKey":%b' % json.dumps(key).encode()
        return answer + b"}"

    def _partition(self, key: Fields) -> _Partition:
        return self._partitions[key["stream_id"]["S"]]


class Conversation(asyncio.Protocol):
    """One connection: requests in, answers out, in their order."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._unread = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (head_end := self._unread.find(_HEAD_END)) >= 0:
            head = bytes(self._unread[: head_end + 2])
            length = _LENGTH.search(head)
            body_at = head_end + len(_HEAD_END)
            end = body_at + (int(length[1]) if length else 0)
            if len(self._unread) < end:
                return
            body = bytes(self._unread[body_at:end])
            del self._unread[:end]
            self._transport.write(_answer(self._table, head, body))


def _answer(table: Table, head: bytes, body: bytes) -> bytes:
    operation = _OPERATION.search(head)
    try:
        status = HTTPStatus.OK
        answer = table.call(operation[1].decode() if operation else "", json.loads(body))
    except Refused as refused:
        status, answer = HTTPStatus.BAD_REQUEST, json.dumps(refused.body).encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/x-amz-json-1.0\r\n"
        f"Content-Length: {len(answer)}\r\n"
        f"x-amz-crc32: {zlib.crc32(answer)}\r\n\r\n"
    ).encode() + answer


def _page(partition: _Partition, found: list[int], limit: int) -> list[int]:
    """As many positions as fit into one answer."""
    room = _PAGE_BYTES
    for count, seq in enumerate(found[:limit]):
        room -= partition.items[seq].stored_bytes
        if room < 0:
            return found[:count]
    return found[:limit]


def _stored_bytes(item: Fields) -> int:
    """Names and values; numbers take less in truth (AWS docs, CapacityUnitCalculations)."""
    return sum(len(name) + len(str(*value.values())) for name, value in item.items())


def _nothing(_: Fields) -> bytes:
    return b"{}"


async def main() -> None:
    """Serve until the process is killed."""
    table = Table()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(table), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
