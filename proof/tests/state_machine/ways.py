"""Ways to the table: a proxy that fails as it is told, a log, and calls that can be watched."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from app.events import EVENTS
from durable_stream import Registry
from durable_stream.aws.api import DynamoDB, Operation
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.store import Page
from durable_stream.table import Table
from tests.store import CREDENTIALS, Fault, FaultyStore, faulty

# A call that was given up may still be carried out. Adding is not repeatable, as the
# counters' docstring says, so their calls are left alone.
COUNTING = "UpdateItem"

_CONNECTIONS = 16


class CheckedLog(DynamoDBStore):
    """The log, with a check that its pages keep their promise."""

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        page = await super().read(stream_id, start, consistent=consistent)
        positions = [record.seq for record in page.records]
        expected = list(range(start, start + len(positions)))
        assert positions == expected, "a page has no gaps"
        return page


class Calls:
    """DynamoDB's operations, which can tell the calls under way, and those that wait."""

    def __init__(self, api: DynamoDB) -> None:
        self._api = api
        self._calls: dict[object, tuple[Operation, float]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def call(
        self, operation: Operation, request: Mapping[str, object], *, once: bool = False
    ) -> Any:
        token = object()
        self._calls[token] = operation, time.monotonic()
        self._idle.clear()
        try:
            return await self._api.call(operation, request, once=once)
        finally:
            del self._calls[token]
            if not self._calls:
                self._idle.set()

    def close(self) -> None:
        self._api.close()

    def __str__(self) -> str:
        now = time.monotonic()
        calls = (f"{each} for {now - since:.1f} s" for each, since in self._calls.values())
        return ", ".join(calls) or "nothing is called"

    async def idle(self) -> None:
        """Return when there is nothing left to do."""
        await self._idle.wait()


@dataclass(eq=False)
class Way:
    """A sandbox's way to the table, and the faults that its next calls will meet."""

    store: FaultyStore
    log: DynamoDBStore
    table: Table
    calls: Calls
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def __str__(self) -> str:
        return f"{self.calls}; the proxy holds {sorted(self.store._held) or 'nothing'}"

    def choose(self, operation: str) -> Fault:
        if operation == COUNTING or not self.faults[operation]:
            return Fault.NONE
        return self.faults[operation].popleft()

    def mend(self) -> None:
        self.faults.clear()
        self.store.delay = 0
        self.store.lags = 0
        self.store.release()


def open_way(loop: asyncio.Runner, stack: ExitStack, url: str, table_name: str) -> Way:
    """A way to a table that is closed with the stack."""
    proxy = faulty(url)
    store = loop.run(proxy.__aenter__())
    stack.callback(lambda: loop.run(proxy.__aexit__(None, None, None)))
    environ = {**CREDENTIALS, "AWS_ENDPOINT_URL_DYNAMODB": store.url}
    calls = Calls(DynamoDB(environ, connections=_CONNECTIONS))
    table = Table(table_name, api=calls)
    stack.callback(table.close)
    way = Way(store, CheckedLog(table, Registry(EVENTS)), table, calls)
    store.choose = way.choose
    return way
