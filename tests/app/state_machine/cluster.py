"""Sandboxes over one table, each on a way to DynamoDB of its own, and clients that read."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from app.event_log.dynamodb import DynamoDBLog, Page
from app.event_log.records import Record, decode_payload
from app.generation.reading import Reading
from app.generation.streams import Streams, Window
from app.providers.base import Request
from app.settings import Limits, Settings
from app.table import Table
from tests.app.state_machine.counting import Conversation
from tests.store import CREDENTIALS, Call, Fault, FaultyStore, client, create_table, faulty

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

SANDBOXES = 3
HANDOFF_MARGIN = 0.1

# Short, so that an example is. Where the machine is slower than a lease, streams are taken over
# that need not be: the rules hold all the same.
SETTINGS = Settings(
    table_name="unused",
    flush_interval=0.005,
    heartbeat=0.1,
    lease=0.4,
    log_patience=1.0,
    create_patience=0.5,
    handoff_margin=HANDOFF_MARGIN,
    claim_margin=0.05,
    poll_interval=0.02,
    poll_interval_idle=0.1,
    keep_alive=0.2,
    limits=Limits(tokens_per_day=10**9),
)

# No step is under way for longer: whoever waits in vain has found a hang.
_STEP_SECONDS = 15

# A call that was given up by boto3 may still be carried out. Adding is not repeatable, as the
# counters' docstring says, so their calls are left alone.
_COUNTING = "UpdateItem"


class CheckedLog(DynamoDBLog):
    """The log, whose pages must be what they promise to be."""

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        page = await super().read(stream_id, start, consistent=consistent)
        positions = [record.seq for record in page.records]
        expected = list(range(start, start + len(positions)))
        assert positions == expected, "a page has no gaps"
        return page


@dataclass(eq=False)
class Way:
    """A sandbox's way to the table, and the faults that its next calls will meet."""

    store: FaultyStore
    log: DynamoDBLog
    table: Table
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def choose(self, operation: str) -> Fault:
        if operation == _COUNTING or not self.faults[operation]:
            return Fault.NONE
        return self.faults[operation].popleft()

    def mend(self) -> None:
        self.faults.clear()
        self.store.delay = 0
        self.store.lags = 0
        self.store.release()


@dataclass(eq=False)
class Stream:
    """What is known of a stream from outside. `stored` is its log as it was last seen."""

    prompt: str
    request: Request
    conversation: Conversation
    key: str | None
    stream_id: str = ""
    stored: list[Record] = field(default_factory=list)
    stopped: bool = False
    may_fail: bool = False

    @property
    def over(self) -> bool:
        return bool(self.stored) and self.stored[-1].terminal

    def printed(self, clients: list["Client"]) -> str:
        """Its log, and what its readers have got."""
        lines = [f"{self.prompt}: {self.conversation.allowed} characters allowed"]
        lines += [f"  {_line(record)}" for record in self.stored]
        for reader in clients:
            if reader.stream is self:
                lines += [f"  a client behind {reader.after}, complete: {reader.complete}"]
                lines += [f"    {_line(record)}" for record in reader.records]
        return "\n".join(lines)


@dataclass(eq=False)
class Client:
    """Reads a stream behind position `after`; it may come back and go on where it was."""

    stream: Stream
    after: int | None
    records: list[Record] = field(default_factory=list)
    complete: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def cursor(self) -> int | None:
        return self.records[-1].seq if self.records else self.after

    async def connect(self, streams: Streams, window: Window) -> None:
        reading = await streams.read(self.stream.stream_id, self.cursor, window)
        if reading is None:
            self.complete = True
        else:
            await self.take(reading)

    async def take(self, reading: Reading) -> None:
        async with aclosing(reading.batches()) as batches:
            async for batch in batches:
                self.records += batch
        self.complete = bool(self.records) and self.records[-1].terminal


@dataclass(eq=False)
class Sandbox:
    """A process: its `Streams`, and what is under way in it for clients."""

    way: Way
    streams: Streams
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        return task

    def die(self) -> None:
        """What SIGKILL does: everything stops. What was on its way to DynamoDB may arrive."""
        writing = [tail.generation for tail in self.streams._written]
        for task in self.tasks:
            task.cancel()
        for generation in writing:
            assert generation is not None
            generation._pump.cancel()
            if generation._writing is not None:
                generation._writing.cancel()


class Cluster:
    """The table and the ways to it, for all examples; one event loop turns only during a step.

    `puts` counts what was written to each position, `reservations` what of each owner's stands.
    """

    def __init__(self, loop: asyncio.Runner, url: str, table: str, ways: list[Way]) -> None:
        self.ways = ways
        self.puts: Counter[tuple[str, int]] = Counter()
        self.reservations: Counter[str] = Counter()
        self._loop = loop
        self._table = table
        self._dynamodb: DynamoDBClient = client(url)
        self._prompts = 0
        for way in ways:
            way.store.choose = way.choose
            way.store.watch = self._watch

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        async def limited() -> T:
            async with asyncio.timeout(_STEP_SECONDS):
                return await step

        return self._loop.run(limited())

    def prompt(self) -> str:
        """One that nobody has used; it is the stream's owner and its key too."""
        self._prompts += 1
        return f"prompt-{self._prompts}"

    def stored(self, stream_id: str) -> list[Record]:
        """All that DynamoDB holds of a stream, asked past the sandboxes and their code."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="stream_id = :stream",
            ExpressionAttributeValues={":stream": {"S": stream_id}},
            ConsistentRead=True,
        )
        return [
            Record(
                stream_id=item["stream_id"]["S"],
                seq=int(item["seq"]["N"]),
                payload=decode_payload(item["kind"]["S"], item["data"]["S"]),
                writer=item["writer"]["S"],
                nonce=item["nonce"]["S"],
                at=int(item["at"]["N"]),
                expires_at=int(item["expires_at"]["N"]),
            )
            for page in pages
            for item in page["Items"]
        ]

    def forget(self) -> None:
        """Begin another example."""
        self.puts.clear()
        self.reservations.clear()

    def _watch(self, call: Call) -> None:
        if call.status != 200:
            return
        if call.operation == "PutItem":
            item = call.parameters["Item"]
            self.puts[item["stream_id"]["S"], int(item["seq"]["N"])] += 1
        elif call.operation == _COUNTING:
            _, what, _, owner, _ = call.parameters["Key"]["stream_id"]["S"].split(":")
            if what == "tokens":
                taken = "SET" in call.parameters["UpdateExpression"]
                self.reservations[owner] += 1 if taken else -1


@contextmanager
def cluster(url: str) -> Iterator[Cluster]:
    """A table in the DynamoDB at a URL, and ways to it for as many sandboxes as there may be."""
    table = create_table(url)
    with ExitStack() as stack:
        loop = stack.enter_context(asyncio.Runner())
        ways = [_open(loop, stack, url, table) for _ in range(SANDBOXES)]
        yield Cluster(loop, url, table, ways)


def _open(loop: asyncio.Runner, stack: ExitStack, url: str, table_name: str) -> Way:
    proxy = faulty(url)
    store = loop.run(proxy.__aenter__())
    stack.callback(lambda: loop.run(proxy.__aexit__(None, None, None)))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_DYNAMODB", store.url)
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        table = Table(table_name)
    stack.callback(table.close)
    return Way(store, CheckedLog(table), table)


def _line(record: Record) -> str:
    return f"{record.seq} {record.payload} by {record.writer or 'nobody'} ({record.nonce})"
