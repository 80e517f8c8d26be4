"""DynamoDB for tests: moto's, tables, and a proxy that makes DynamoDB fail.

moto is in a process of its own and always there. `local.dynamodb_local` needs Java; of the two, it
is the one whose conditions and counters can be trusted when many call at once.
"""

import asyncio
import contextlib
import enum
import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3

from durable_stream import Record
from durable_stream.events import encode

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}

# moto.server prints where it listens only in a log line of its web server.
_SERVE = """
from werkzeug.serving import make_server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


@contextmanager
def moto() -> Iterator[str]:
    """The URL of a DynamoDB that lives as long as the block."""
    command = [sys.executable, "-m", "local.moto_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def moto_of_everything() -> Iterator[str]:
    """The URL of all that moto imitates of AWS, not serialised."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def client(url: str) -> "DynamoDBClient":
    """A way to the table that no application knows of."""
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def update_item(url: str, table: str, record: Record, *, kind: str) -> None:
    """Make a record one of another kind, behind the application's back."""
    client(url).update_item(
        TableName=table,
        Key={"stream_id": {"S": record.stream_id}, "seq": {"N": str(record.seq)}},
        UpdateExpression="SET kind = :kind",
        ExpressionAttributeValues={":kind": {"S": kind}},
    )


def put_item(url: str, table: str, record: Record) -> None:
    """Append a record as another process does."""
    client(url).put_item(
        TableName=table,
        Item={
            "stream_id": {"S": record.stream_id},
            "seq": {"N": str(record.seq)},
            "kind": {"S": record.event.kind},
            "data": {"S": encode(record.event)},
            "writer": {"S": record.writer},
            "nonce": {"S": record.nonce},
            "at": {"N": str(record.at)},
            "expires_at": {"N": str(record.expires_at)},
        },
    )


def delete_item(url: str, table: str, record: Record) -> None:
    """Delete a record, as DynamoDB's TTL does."""
    key = {"stream_id": {"S": record.stream_id}, "seq": {"N": str(record.seq)}}
    client(url).delete_item(TableName=table, Key=key)


def delete_tables(url: str) -> None:
    """Leave no table behind."""
    dynamodb = client(url)
    for name in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=name)


def create_table(url: str) -> str:
    """The name of a new table like the template's."""
    name = f"streams-{secrets.token_hex(4)}"
    client(url).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "stream_id", "KeyType": "HASH"},
            {"AttributeName": "seq", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "stream_id", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
    )
    return name


class Fault(enum.Enum):
    """The proxy's treatment of a request instead of passing it on and answering."""

    NONE = enum.auto()
    LOSE_ANSWER = enum.auto()
    """The request is carried out; the connection closes without an answer."""
    THROTTLE = enum.auto()
    FAIL = enum.auto()
    REFUSE = enum.auto()
    """The connection closes; nothing is carried out."""


_BODIES = {
    Fault.THROTTLE: (
        400,
        b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}',
    ),
    Fault.FAIL: (500, b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}'),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request to DynamoDB, and the HTTP status of its answer, even if no client got to see it."""

    operation: str
    parameters: dict[str, Any]
    status: int


@dataclass
class FaultyStore:
    """A DynamoDB proxy. `choose` names the fault of each request, given its operation.

    `delay` holds every answer back by so many seconds. The next `lags` eventually consistent
    queries that could show a gap show one, as by a replica that is behind. `watch` is called with
    all that is carried out.
    """

    url: str
    delay: float = 0
    lags: int = 0
    choose: Callable[[str], Fault] = lambda _: Fault.NONE
    watch: Callable[[Call], None] = lambda _: None
    calls: Counter[str] = field(default_factory=Counter)
    _held: frozenset[str] = frozenset()
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, *operations: str) -> None:
        """Keep these requests, carrying nothing out, until they are released."""
        self._held = frozenset(operations)
        self._released.clear()

    def release(self) -> None:
        """Let the held requests go on, even if no client waits for the answer any more."""
        self._held = frozenset()
        self._released.set()

    async def passage(self, operation: str) -> None:
        """Return when a request may go on."""
        while operation in self._held:
            await self._released.wait()


@asynccontextmanager
async def faulty(upstream: str) -> AsyncIterator[FaultyStore]:
    """A proxy before the DynamoDB at `upstream`; without faults until told otherwise."""
    store = FaultyStore(url="")
    host, port = upstream.removeprefix("http://").split(":")
    clients: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        # Before Python 3.12, a connection that ends cancelled is reported as a broken callback.
        ended = (ConnectionError, EOFError, asyncio.CancelledError)
        with contextlib.closing(writer), contextlib.suppress(*ended):
            while await _serve_one(store, (host, int(port)), reader, writer):
                pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    store.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield store
    finally:
        server.close()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _serve_one(
    store: FaultyStore,
    upstream: tuple[str, int],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    request, operation = await _read_message(reader)
    store.calls[operation] += 1
    fault = store.choose(operation)
    await asyncio.sleep(store.delay)
    await store.passage(operation)
    if fault in _BODIES:
        status, body = _BODIES[fault]
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True
    if fault is Fault.REFUSE:
        return False
    up_reader, up_writer = await asyncio.open_connection(*upstream)
    with contextlib.closing(up_writer):
        up_writer.write(request)
        answer, _ = await _read_message(up_reader)
    parameters = json.loads(_body(request))
    store.watch(Call(operation, parameters, int(answer.split(maxsplit=2)[1])))
    if store.lags and operation == "Query" and not parameters["ConsistentRead"]:
        answer = _lagging(store, answer)
    if fault is Fault.LOSE_ANSWER:
        return False
    writer.write(answer)
    return True


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """One HTTP message with a Content-Length, and the operation it names if it is a request."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return head + body, headers.get("x-amz-target", "").rpartition(".")[2]


def _body(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[2]


def _lagging(store: FaultyStore, answer: bytes) -> bytes:
    """A query's answer without one of its items, which is not the last; as it is where it can't."""
    page = json.loads(_body(answer))
    items = page.get("Items", [])
    if len(items) <= 1:
        return answer
    store.lags -= 1
    del items[(len(items) - 1) // 2]
    page["Count"] = len(items)
    body = json.dumps(page).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
