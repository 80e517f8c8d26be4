"""Sandboxes over one table, each on a way to DynamoDB of its own, and clients that read."""

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from app import events
from app.limits.settings import Limits  # limits
from app.models.base import Request
from durable_stream import (
    Heartbeat,
    Reading,
    Record,
    Registry,
    RetryPolicy,
    StepBegun,
    Streams,
    Timing,
    Window,
)
from durable_stream.step_keys import idempotency_key
from proof.tests.state_machine.counting import Conversation
from proof.tests.state_machine.mistakes import Mistakes, heard
from proof.tests.state_machine.ways import COUNTING, Way, open_way
from tests.store import Call, client, create_table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

EVENTS = Registry(events.EVENTS)

SANDBOXES = 3
HANDOFF_MARGIN = 0.1

# Short, so that an example is. Where the machine is slower than a lease, streams are taken over
# that need not be: the rules hold all the same.
TIMING = Timing(
    flush_interval=0.005,
    heartbeat=0.1,
    lease=0.4,
    listening=0.2,
    claim_jitter=0.05,
    read_patience=1.0,
    # Longer than a lease, as in real life: a start may be acknowledged after a take-over.
    create_patience=1.0,
    handoff_margin=HANDOFF_MARGIN,
    claim_margin=0.05,
    poll_interval=0.02,
    poll_interval_idle=0.1,
    keep_alive=0.2,
)
POLICY = RetryPolicy(idle_attempts=3)
LIMITS = Limits(tokens_per_day=10**9)  # limits

_STEP_SECONDS = 15.0


@dataclass(eq=False)
class Stream:
    """A stream as known from outside. `stored` is its log as it was last seen."""

    prompt: str
    request: Request
    conversation: Conversation
    key: str | None
    agent: str = ""
    stream_id: str = ""
    stored: list[Record] = field(default_factory=list)
    stopped: bool = False
    may_fail: bool = False

    @property
    def over(self) -> bool:
        return bool(self.stored) and self.stored[-1].terminal

    def is_called(self, stream_id: str) -> None:
        assert self.stream_id in {"", stream_id}, "one key makes one stream"
        self.stream_id = stream_id

    def printed(self, clients: list["Client"]) -> str:
        """Its log, and the records that its readers have received."""
        lines = [f"{self.prompt}: {self.conversation.allowed} characters allowed"]
        lines += [f"  {_line(record)}" for record in self.stored]
        for reader in clients:
            if reader.stream is self:
                where = reader.sandbox.name if reader.sandbox else "no sandbox"
                lines += [f"  a client behind {reader.after} in {where}"]
                lines[-1] += ", complete" if reader.complete else ", waiting"
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
    sandbox: "Sandbox | None" = None

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
    """A process: its `Streams`, and the tasks that are under way in it for clients."""

    way: Way
    streams: Streams
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The name of the writer in its records."""
        return self.streams._engine.name

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        return task

    def die(self) -> None:
        """Do as SIGKILL does: everything stops. Calls on their way to DynamoDB may arrive."""
        writings = self.streams._writings()
        for task in self.tasks:
            task.cancel()
        for writing in writings:
            writing._filling.cancel()
            if writing._appending is not None:
                writing._appending.cancel()


class Cluster:
    """The table and the ways to it, for all examples; one event loop turns only during a step.

    `puts` counts the writes to each position, `said` those of them that are more than a sign of
    life, `reservations` those of each owner that stand. `begun` has the idempotency keys of the
    steps whose begin the table has. `broken_rules` are of all examples.
    """

    def __init__(
        self, loop: asyncio.Runner, url: str, table: str, ways: list[Way], mistakes: Mistakes
    ) -> None:
        self.ways = ways
        self.mistakes = mistakes
        self.broken_rules: list[str] = []
        self.puts: Counter[tuple[str, int]] = Counter()
        self.said = 0
        self.reservations: Counter[str] = Counter()
        self.begun: set[str] = set()
        self._loop = loop
        self._table = table
        self._dynamodb: DynamoDBClient = client(url)
        self._prompts = 0
        for way in ways:
            way.store.watch = self._watch

    def run(self, step: Coroutine[Any, Any, T], *, within: float | None = _STEP_SECONDS) -> T:
        """Turn the loop until the step is done; raises TimeoutError after so many seconds."""

        async def limited() -> T:
            async with asyncio.timeout(within):
                return await step

        return self._loop.run(limited())

    def prompt(self) -> str:
        """An unused prompt; it is the stream's owner and its key too."""
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
                event=EVENTS.decode(item["kind"]["S"], item["data"]["S"]),
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
        self.mistakes.forget()
        self.puts.clear()
        self.reservations.clear()
        self.begun.clear()

    def _watch(self, call: Call) -> None:
        if call.status != 200:
            return
        if call.operation == "PutItem":
            item = call.parameters["Item"]
            self.puts[item["stream_id"]["S"], int(item["seq"]["N"])] += 1
            self.said += item["kind"]["S"] != Heartbeat.kind
            if item["kind"]["S"] == StepBegun.kind:
                key = json.loads(item["data"]["S"])["within"]
                self.begun.add(idempotency_key(item["stream_id"]["S"], key))
        elif call.operation == COUNTING:
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
        ways = [open_way(loop, stack, url, table) for _ in range(SANDBOXES)]
        mistakes = stack.enter_context(heard())
        loop.get_loop().set_exception_handler(mistakes.report)
        yield Cluster(loop, url, table, ways, mistakes)


def _line(record: Record) -> str:
    return f"{record.seq} {record.event} by {record.writer or 'nobody'} ({record.nonce})"
