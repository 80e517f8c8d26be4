"""One example: its sandboxes, its streams and their clients, and how they are set to work."""

import asyncio
import inspect
import itertools
import math
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.agents import Agents, agent
from app.events import Start
from app.limits.accounts import Accounts  # limits
from app.limits.budget import Budget  # limits
from app.limits.counters import Counters  # limits
from app.producer import AgentProducer
from durable_stream import AllHooks, Engine, StoreUnavailable, Streams, Window
from durable_stream import stream as known
from durable_stream.writing import Writing
from proof.tests.state_machine.cluster import (
    HANDOFF_MARGIN,
    LIMITS,  # limits
    POLICY,
    TIMING,
    Client,
    Cluster,
    Sandbox,
    Stream,
)
from proof.tests.state_machine.counting import (
    Conversation,
    CountingAgent,
    CountingProvider,
    asking,
)
from proof.tests.state_machine.ways import Way
from tests.app.scripted import answering

_OURS = ("/src/app/", "/src/durable_stream/")

# In seconds: how long a step lets the sandboxes work, and how long, at the end, nothing may happen.
_MOMENT = 0.02
_PATIENCE = 6.0

_LAGS = 2

STEPPING = "stepping"

CALLS = ("PutItem", "Query", "GetItem")


@dataclass(frozen=True, slots=True)
class Silenced:
    """A writer that may take all the time it needs, and that has lived through a silence."""

    stream_id: str
    writer: str
    writing: Writing

    @property
    def has_left(self) -> bool:
        """It does nothing more, and the log has acknowledged no end to it."""
        appending = self.writing._appending
        return appending is not None and appending.done() and not self.writing._tally.ended


@dataclass(frozen=True, slots=True)
class Ran:
    """An execution of a step; `key` is its idempotency key.

    `durable` is true if the table had the record of its begin.
    """

    stream_id: str
    key: str
    attempt: int
    durable: bool


class Example:
    """The objects that the steps of one example act on; ended sandboxes are among the `gone`.

    `ran` has the executions of steps, in order.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.conversations: dict[str, Conversation] = {}
        self.ran: list[Ran] = []
        self.producer = AgentProducer(
            Agents([answering, agent(resume="replay", name=STEPPING)(self._stepping())]),
            CountingProvider(self.conversations),
        )
        self.sandboxes = [cluster.run(self._start(way)) for way in cluster.ways]
        self.gone: list[Sandbox] = []
        self.created: list[Stream] = []
        self.creations: list[asyncio.Task[None]] = []
        self.clients: list[Client] = []
        self.silenced: list[Silenced] = []

    def _stepping(self) -> CountingAgent:
        def began(stream_id: str, key: str, attempt: int) -> None:
            self.ran.append(Ran(stream_id, key, attempt, key in self.cluster.begun))

        return CountingAgent(self.conversations, began)

    # Clients

    def new_stream(self, *, keyed: bool = False, stepping: bool = False) -> Stream:
        prompt = self.cluster.prompt()
        conversation = self.conversations[prompt] = Conversation()
        key, name = prompt if keyed else None, STEPPING if stepping else ""
        stream = Stream(prompt, asking(prompt), conversation, key, name)
        self.created.append(stream)
        return stream

    def create(self, stream: Stream, sandbox: int, seconds: float | None, *, at_once: bool) -> None:
        """Begin to: the same key may come again before the first answer."""
        process = self.sandboxes[sandbox]
        if at_once:
            creating = self._creating_and_reading(stream, process, window(seconds))
        else:
            creating = self._creating(stream, process)
        self.creations.append(self.begin(sandbox, creating))

    async def _creating(self, stream: Stream, sandbox: Sandbox) -> None:
        start = await sandbox.streams.create(_start_of(stream), stream.key)
        stream.is_called(start.stream_id)

    async def _creating_and_reading(self, stream: Stream, sandbox: Sandbox, window: Window) -> None:
        reading = await sandbox.streams.create_and_read(_start_of(stream), stream.key, window)
        stream.is_called(reading.stream_id)
        client = Client(stream, None, sandbox=sandbox)
        client.task = sandbox.begin(client.take(reading))
        self.clients.append(client)

    def connect(self, client: Client, sandbox: int, seconds: float | None) -> None:
        if not client.stream.stream_id:
            return
        if client not in self.clients:
            self.clients.append(client)
        client.sandbox = self.sandboxes[sandbox]
        connecting = client.connect(client.sandbox.streams, window(seconds))
        client.task = self.begin(sandbox, connecting)

    def stop(self, stream: Stream, sandbox: int) -> None:
        stream.stopped = True
        if stream.stream_id:
            self.begin(sandbox, self._stopping(stream, self.sandboxes[sandbox]))

    async def _stopping(self, stream: Stream, sandbox: Sandbox) -> None:
        transcript = await sandbox.streams.cancel(stream.stream_id)
        assert transcript.newest.terminal, "a stop that is answered has ended the stream"

    def idle_clients(self) -> list[Client]:
        return [
            client
            for client in self.clients
            if not client.complete and (client.task is None or client.task.done())
        ]

    def connections(self) -> list[asyncio.Task[None]]:
        tasks = [client.task for client in self.clients]
        return [task for task in tasks if task is not None and not task.done()]

    # Sandboxes

    async def _start(self, way: Way) -> Sandbox:
        budget = Budget(Counters(way.table), LIMITS)  # limits
        engine = Engine(
            store=way.log,
            producer=self.producer,
            hooks=AllHooks(
                [
                    Accounts(budget, TIMING.create_patience),  # limits
                ]
            ),
            timing=TIMING,
            policy=POLICY,
        )
        return Sandbox(way, Streams(engine))

    def replace(self, sandbox: int) -> None:
        self.gone.append(self.sandboxes[sandbox])
        self.sandboxes[sandbox] = self.cluster.run(self._start(self.gone[-1].way))
        self.for_a_moment()

    def known(self, stream: Stream, sandbox: int) -> known.Stream:
        async def found() -> known.Stream:
            return self.sandboxes[sandbox].streams._stream(stream.stream_id)

        return self.cluster.run(found())

    def begin(self, sandbox: int, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let it go on beside the next steps."""

        async def begun() -> asyncio.Task[None]:
            return self.sandboxes[sandbox].begin(work)

        task = self.cluster.run(begun())
        self.for_a_moment()
        return task

    def announce(self, stream: Stream) -> None:
        stream.conversation.announce()
        self.for_a_moment()

    def for_a_moment(self) -> None:
        self.cluster.run(asyncio.sleep(_MOMENT))

    # DynamoDB

    def silence(self, seconds: float) -> None:
        """Keep all calls of all sandboxes for so long, but for those that are frozen anyway."""
        writing = list(self._writing())
        stores = [way.store for way in self.cluster.ways if not way.store._held]
        for store in stores:
            store.hold(*CALLS)
        self.cluster.run(asyncio.sleep(seconds))
        for store in stores:
            store.release()
        self.for_a_moment()
        self.silenced = writing

    def _writing(self) -> Iterator[Silenced]:
        for sandbox in self.sandboxes:
            for stream in sandbox.streams._written:
                if stream.writing is not None and math.isinf(stream.writing._hand_over_at):
                    yield Silenced(stream.stream_id, sandbox.name, stream.writing)

    # The end

    def come_to_an_end(self) -> None:
        """Without further faults every reader reads to the end, and then nothing is left.

        Raises TimeoutError if a task waits in vain.
        """
        self._mend()
        self._finish(lambda: self.creations)
        self._finish(self._readers)
        self._finish(self._under_way)
        self._finish(self._late_cancels)
        self._finish(self._closings)
        self.cluster.run(self._nothing_left(), within=_PATIENCE)

    def _mend(self) -> None:
        for way in self.cluster.ways:
            way.mend()
            # No fault: it is in the nature of such reads, and lasts.
            way.store.lags = _LAGS
        for sandbox in self.sandboxes:
            for stream in sandbox.streams._streams.values():
                stream._poller._timing = TIMING
                stream.tail.silence._timing = TIMING
        for created in self.created:
            created.conversation.failures.clear()
            created.conversation.finishes = True
            created.conversation.announce()

    def _finish(self, phase: Callable[[], Sequence[asyncio.Task[None]]]) -> None:
        """Let these tasks come to their end, however long it takes, if only they get on."""

        async def finished() -> None:
            pending = set(phase())
            while pending:
                before = self._progress(), len(pending)
                _, pending = await asyncio.wait(pending, timeout=_PATIENCE)
                if pending and before == (self._progress(), len(pending)):
                    raise TimeoutError

        self.cluster.run(finished(), within=None)

    def _progress(self) -> tuple[int, int]:
        return self.cluster.said, sum(len(client.records) for client in self.clients)

    def _readers(self) -> list[asyncio.Task[None]]:
        self.clients += [Client(stream, None) for stream in self._known()]
        sandboxes = itertools.cycle(self.sandboxes)
        return [
            sandbox.begin(self._read_to_the_end(client, sandbox))
            for client, sandbox in zip(self.clients, sandboxes, strict=False)
        ]

    async def _read_to_the_end(self, client: Client, sandbox: Sandbox) -> None:
        if client.task is not None:
            await asyncio.wait([client.task])
        client.sandbox = sandbox
        while not client.complete:
            try:
                await client.connect(sandbox.streams, Window())
            except StoreUnavailable:
                await asyncio.sleep(_MOMENT)

    def _under_way(self) -> list[asyncio.Task[None]]:
        return [task for sandbox in [*self.sandboxes, *self.gone] for task in sandbox.tasks]

    def _late_cancels(self) -> list[asyncio.Task[None]]:
        """They come too late, and must change nothing."""
        first = self.sandboxes[0]
        return [first.begin(self._cancel(stream, first)) for stream in self._known()]

    async def _cancel(self, stream: Stream, sandbox: Sandbox) -> None:
        while True:
            try:
                await sandbox.streams.cancel(stream.stream_id)
            except StoreUnavailable:
                await asyncio.sleep(_MOMENT)
            else:
                return

    def _closings(self) -> list[asyncio.Task[None]]:
        return [sandbox.begin(sandbox.streams.close()) for sandbox in self.sandboxes]

    def _known(self) -> list[Stream]:
        return [stream for stream in self.created if stream.stream_id]

    def clear_away(self) -> None:
        """Leave nothing to the next example, not even a call; raises TimeoutError."""
        for way in self.cluster.ways:
            way.mend()
        self.cluster.run(self._die(), within=_PATIENCE)
        self.cluster.run(self._nothing_left(), within=_PATIENCE)
        for way in self.cluster.ways:
            self.cluster.run(way.calls.idle(), within=_PATIENCE)
        self.cluster.forget()

    async def _die(self) -> None:
        for sandbox in [*self.sandboxes, *self.gone]:
            sandbox.die()
        await asyncio.gather(*self._under_way(), return_exceptions=True)

    async def _nothing_left(self) -> None:
        while self._speaking() or any(_of_the_application()):  # noqa: ASYNC110 - no event
            await asyncio.sleep(_MOMENT)

    def _speaking(self) -> int:
        return sum(each.speaking for each in self.conversations.values())

    def printed(self) -> Iterator[str]:
        """For the search for the mistake: all logs, their readers, and the tasks that go on."""
        for stream in self.created:
            yield stream.printed(self.clients)
        for number, (way, sandbox) in enumerate(
            zip(self.cluster.ways, self.sandboxes, strict=True)
        ):
            yield f"way {number}, now {sandbox.name}'s: {way}"
        yield f"mistakes: {self.cluster.mistakes.found}"
        yield f"{self._speaking()} speak; going on:"
        for task in self.cluster.run(_going_on()):
            yield f"  {task.get_coro()}"


def _start_of(stream: Stream) -> Start:
    return Start(stream.request.encode(), stream.prompt, stream.request.model, stream.agent)


def window(seconds: float | None) -> Window:
    return Window() if seconds is None else Window(time.time() + HANDOFF_MARGIN + seconds)


async def _going_on() -> list[asyncio.Task[Any]]:
    return list(_of_the_application())


def _of_the_application() -> Iterator[asyncio.Task[Any]]:
    """The tasks that the application has made and that are not over."""
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if inspect.iscoroutine(coroutine) and _is_ours(coroutine.cr_code.co_filename):
            yield task


def _is_ours(file: str) -> bool:
    return any(folder in file for folder in _OURS)
