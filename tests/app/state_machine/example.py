"""One example: its sandboxes, its streams and their clients, and how they are set to work."""

import asyncio
import inspect
import time
from collections.abc import Coroutine, Iterator
from typing import Any

from app.exceptions import LogUnavailable
from app.generation.streams import Streams, Window
from app.generation.tail import Tail
from app.limits.budget import Budget
from app.limits.counters import Counters
from tests.app.state_machine.cluster import (
    HANDOFF_MARGIN,
    SANDBOXES,
    SETTINGS,
    Client,
    Cluster,
    Sandbox,
    Stream,
    Way,
)
from tests.app.state_machine.counting import Conversation, CountingProvider, asking

_APPLICATION = "/src/app/"

# A step lets the sandboxes work for this long, in seconds, or as long as it takes.
_MOMENT = 0.02
_END_WITHIN = 30.0


class Example:
    """What the steps of one example act on; a sandbox that is no more is among the `gone`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.conversations: dict[str, Conversation] = {}
        self.provider = CountingProvider(self.conversations)
        self.sandboxes = [cluster.run(self._start(way)) for way in cluster.ways]
        self.gone: list[Sandbox] = []
        self.created: list[Stream] = []
        self.clients: list[Client] = []

    # Clients

    def new_stream(self, *, keyed: bool = False) -> Stream:
        prompt = self.cluster.prompt()
        conversation = self.conversations[prompt] = Conversation()
        stream = Stream(prompt, asking(prompt), conversation, prompt if keyed else None)
        self.created.append(stream)
        return stream

    def create(self, stream: Stream, sandbox: int, seconds: float | None, *, at_once: bool) -> None:
        client = Client(stream, None)
        creating = self._creating(client, self.sandboxes[sandbox], window(seconds), at_once=at_once)
        try:
            self.cluster.run(creating)
        except LogUnavailable:
            return
        if at_once:
            self.clients.append(client)
        self.for_a_moment()

    async def _creating(
        self, client: Client, sandbox: Sandbox, window: Window, *, at_once: bool
    ) -> None:
        stream, streams = client.stream, sandbox.streams
        if at_once:
            reading = await streams.create_and_read(
                stream.request, stream.key, window, owner=stream.prompt
            )
            stream_id = reading.stream_id
            client.task = sandbox.begin(client.take(reading))
        else:
            start = await streams.create(stream.request, stream.key, owner=stream.prompt)
            stream_id = start.stream_id
        assert stream.stream_id in {"", stream_id}, "one key makes one stream"
        stream.stream_id = stream_id

    def connect(self, client: Client, sandbox: int, seconds: float | None) -> None:
        if not client.stream.stream_id:
            return
        if client not in self.clients:
            self.clients.append(client)
        connecting = client.connect(self.sandboxes[sandbox].streams, window(seconds))
        client.task = self.begin(sandbox, connecting)

    def stop(self, stream: Stream, sandbox: int) -> None:
        stream.stopped = True
        if stream.stream_id:
            self.begin(sandbox, self._stopping(stream, self.sandboxes[sandbox]))

    async def _stopping(self, stream: Stream, sandbox: Sandbox) -> None:
        transcript = await sandbox.streams.cancel(stream.stream_id)
        assert transcript.newest.terminal

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
        budget = Budget(Counters(way.table), SETTINGS.limits)
        return Sandbox(way, Streams(way.log, self.provider, budget, SETTINGS))

    def replace(self, sandbox: int) -> None:
        self.gone.append(self.sandboxes[sandbox])
        self.sandboxes[sandbox] = self.cluster.run(self._start(self.gone[-1].way))
        self.for_a_moment()

    def tail(self, stream: Stream, sandbox: int) -> Tail:
        async def tail() -> Tail:
            return self.sandboxes[sandbox].streams._tail(stream.stream_id)

        return self.cluster.run(tail())

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

    # The end

    def come_to_an_end(self) -> None:
        """Without further faults, whoever reads does so to the end, and then nothing is left.

        Raises TimeoutError where somebody waits in vain.
        """
        for way in self.cluster.ways:
            way.mend()
        for sandbox in self.sandboxes:
            for tail in sandbox.streams._tails.values():
                tail._settings = SETTINGS
        for stream in self.created:
            stream.conversation.failures.clear()
            stream.conversation.finishes = True
            stream.conversation.announce()
            if stream.stream_id:
                self.clients.append(Client(stream, None))
        self.cluster.run(self._all_end())

    async def _all_end(self) -> None:
        async with asyncio.timeout(_END_WITHIN):
            await asyncio.gather(
                *(
                    self._read_to_the_end(client, self.sandboxes[number % SANDBOXES])
                    for number, client in enumerate(self.clients)
                )
            )
            under_way = [task for each in [*self.sandboxes, *self.gone] for task in each.tasks]
            await asyncio.gather(*under_way, return_exceptions=True)
            for client in self.clients:
                # Too late: it must change nothing.
                await self.sandboxes[0].streams.cancel(client.stream.stream_id)
            for sandbox in self.sandboxes:
                await sandbox.streams.close()
            await self._nothing_left()

    async def _read_to_the_end(self, client: Client, sandbox: Sandbox) -> None:
        if client.task is not None:
            await asyncio.wait([client.task])
        while not client.complete:
            try:
                await client.connect(sandbox.streams, Window())
            except LogUnavailable:
                await asyncio.sleep(_MOMENT)

    def clear_away(self) -> None:
        self.cluster.run(self._clear_away())

    async def _clear_away(self) -> None:
        for way in self.cluster.ways:
            way.mend()
        for sandbox in [*self.sandboxes, *self.gone]:
            sandbox.die()
        async with asyncio.timeout(_END_WITHIN):
            await self._nothing_left()
        self.cluster.forget()

    async def _nothing_left(self) -> None:
        while self.provider.running or any(_of_the_application()):  # noqa: ASYNC110 - whose end?
            await asyncio.sleep(_MOMENT)

    def printed(self) -> Iterator[str]:
        """For whoever looks for the mistake: all logs, their readers, and what goes on."""
        for stream in self.created:
            yield stream.printed(self.clients)
        yield f"{self.provider.running} models are asked; going on:"
        for task in self.cluster.run(_going_on()):
            yield f"  {task.get_coro()}"


def window(seconds: float | None) -> Window:
    return Window() if seconds is None else Window(time.time() + HANDOFF_MARGIN + seconds)


async def _going_on() -> list[asyncio.Task[Any]]:
    return list(_of_the_application())


def _of_the_application() -> Iterator[asyncio.Task[Any]]:
    """The tasks that the application has made and that are not over."""
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if inspect.iscoroutine(coroutine) and _APPLICATION in coroutine.cr_code.co_filename:
            yield task
