"""Ways to the table: a proxy that fails as it is told, a log, and threads that can be watched."""

import asyncio
import inspect
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import pytest

from app.events import EVENTS
from durable_stream import Registry
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.store import Page
from durable_stream.table import Table
from tests.store import CREDENTIALS, Fault, FaultyStore, faulty

P = ParamSpec("P")
T = TypeVar("T")

# A call that was given up by boto3 may still be carried out. Adding is not repeatable, as the
# counters' docstring says, so their calls are left alone.
COUNTING = "UpdateItem"

_THREADS = 16
_SOON = 0.01


class CheckedLog(DynamoDBStore):
    """The log, with a check that its pages keep their promise."""

    async def read(self, stream_id: str, start: int, *, consistent: bool) -> Page:
        page = await super().read(stream_id, start, consistent=consistent)
        positions = [record.seq for record in page.records]
        expected = list(range(start, start + len(positions)))
        assert positions == expected, "a page has no gaps"
        return page


@dataclass(frozen=True, slots=True)
class _Work:
    """A call that a thread was given, and its time, in seconds of the monotonic clock."""

    what: Callable[..., Any]
    since: float

    def __str__(self) -> str:
        operation = inspect.getclosurevars(self.what).nonlocals["operation"].__qualname__
        return f"{operation} for {time.monotonic() - self.since:.1f} s"


class Threads(ThreadPoolExecutor):
    """A table's threads, which can tell the calls under way, and those that wait for a thread."""

    def __init__(self) -> None:
        super().__init__(_THREADS)
        self._work: dict[Future[Any], _Work] = {}

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = super().submit(fn, *args, **kwargs)
        self._work[future] = _Work(fn, time.monotonic())
        future.add_done_callback(self._work.pop)
        return future

    def __str__(self) -> str:
        work = ", ".join(map(str, list(self._work.values()))) or "nothing"
        return f"{len(self._threads)} threads, {self._work_queue.qsize()} calls wait, {work}"

    async def idle(self) -> None:
        """Return when there is nothing left to do."""
        while self._work:  # noqa: ASYNC110 - a thread tells no event loop
            await asyncio.sleep(_SOON)


@dataclass(eq=False)
class Way:
    """A sandbox's way to the table, and the faults that its next calls will meet."""

    store: FaultyStore
    log: DynamoDBStore
    table: Table
    threads: Threads
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def __str__(self) -> str:
        return f"{self.threads}; the proxy holds {sorted(self.store._held) or 'nothing'}"

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
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_DYNAMODB", store.url)
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        table = Table(table_name, connections=_THREADS)
    table._threads = threads = Threads()
    stack.callback(table.close)
    way = Way(store, CheckedLog(table, Registry(EVENTS)), table, threads)
    store.choose = way.choose
    return way
