"""What holds after whatever steps: the protocol's rules, on the real log and its real writers.

Hypothesis makes up the steps: requests to several sandboxes, what the model does, what becomes of
sandboxes, and what DynamoDB and the network do to their calls. The rules are checked after each.
At the end all faults are mended, and every client must come to the end of its stream.

`STATE_MACHINE_EXAMPLES=1000` tries more than the usual number of examples.
"""

import asyncio
import dataclasses
import inspect
import logging
import os
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.event_log.records import Answer, Cancelled, Claim, Done, Failed, Record
from app.exceptions import LogUnavailable, ProviderError
from app.generation.streams import Streams, Window
from app.generation.tail import Tail
from app.limits.budget import Budget
from app.limits.counters import Counters
from app.log import logger
from tests.app.state_machine.cluster import (
    HANDOFF_MARGIN,
    SANDBOXES,
    SETTINGS,
    Client,
    Cluster,
    Sandbox,
    Stream,
    Way,
    cluster,
)
from tests.app.state_machine.counting import TEXT, Conversation, CountingProvider, asking
from tests.store import Fault

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES") or 25)
STEPS = 25

_MOST_STREAMS = 3
_APPLICATION = "/src/app/"

# A step lets the sandboxes work for this long, in seconds, or as long as it takes.
_MOMENT = 0.02
_END_WITHIN = 30.0

SANDBOX = st.integers(0, SANDBOXES - 1)
SECONDS_LEFT = st.sampled_from([None, 0.05, 0.2])
CALLS = ("PutItem", "Query", "GetItem")
FAULTS = [Fault.LOSE_ANSWER, Fault.REFUSE, Fault.THROTTLE, Fault.FAIL, Fault.LAG]


class Protocol(RuleBasedStateMachine):
    """Steps of clients, sandboxes, the model and DynamoDB, and the rules that survive them.

    Hypothesis must be able to take the same steps again, so what steps are possible must not
    depend on how fast anything was: a step that has nothing to do does nothing.
    """

    streams: Bundle[Stream] = Bundle("streams")
    keyed: Bundle[Stream] = Bundle("keyed")

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster
        self.conversations: dict[str, Conversation] = {}
        self.provider = CountingProvider(self.conversations)
        self.sandboxes = [self.cluster.run(self._start(way)) for way in cluster.ways]
        self.gone: list[Sandbox] = []
        self.created: list[Stream] = []
        self.clients: list[Client] = []
        self.broken = False

    # What clients do

    @precondition(lambda self: len(self.created) < _MOST_STREAMS)
    @rule(target=streams, sandbox=SANDBOX, at_once=st.booleans(), seconds=SECONDS_LEFT)
    def create(self, sandbox: int, *, at_once: bool, seconds: float | None) -> Stream:
        stream = self._new_stream()
        self._create(stream, sandbox, seconds, at_once=at_once)
        return stream

    @precondition(lambda self: len(self.created) < _MOST_STREAMS)
    @rule(targets=(streams, keyed), sandbox=SANDBOX, at_once=st.booleans(), seconds=SECONDS_LEFT)
    def create_with_key(self, sandbox: int, *, at_once: bool, seconds: float | None) -> Stream:
        stream = self._new_stream(keyed=True)
        self._create(stream, sandbox, seconds, at_once=at_once)
        return stream

    @rule(stream=keyed, sandbox=SANDBOX, at_once=st.booleans(), seconds=SECONDS_LEFT)
    def create_again(
        self, stream: Stream, sandbox: int, *, at_once: bool, seconds: float | None
    ) -> None:
        self._create(stream, sandbox, seconds, at_once=at_once)

    @rule(stream=streams, sandbox=SANDBOX, place=st.integers(-1, 30), seconds=SECONDS_LEFT)
    def read(self, stream: Stream, sandbox: int, place: int, seconds: float | None) -> None:
        """From the beginning, behind a position, or (30) behind the last one that there is."""
        after = min(place, len(stream.stored) - 1)
        self._connect(Client(stream, None if after < 0 else after), sandbox, seconds)

    @rule(stream=streams, sandbox=SANDBOX)
    def take_over_too_early(self, stream: Stream, sandbox: int) -> None:
        """A sandbox whose clock is ahead reads: to it, whoever writes seems to be gone."""
        tail = self.cluster.run(self._tail(stream, self.sandboxes[sandbox]))
        tail._settings = dataclasses.replace(SETTINGS, lease=0.02)
        self._connect(Client(stream, None), sandbox, None)

    @rule(which=st.integers(0, 9), sandbox=SANDBOX, seconds=SECONDS_LEFT)
    def come_back(self, which: int, sandbox: int, seconds: float | None) -> None:
        """A client reconnects where it was, as an EventSource does."""
        idle = list(self._idle_clients())
        if idle:
            self._connect(idle[which % len(idle)], sandbox, seconds)

    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        """A client's connection breaks; nothing else does."""
        connections = list(self._connections())
        if connections:
            connections[which % len(connections)].cancel()
        self._for_a_moment()

    @rule(stream=streams, sandbox=SANDBOX)
    def stop(self, stream: Stream, sandbox: int) -> None:
        stream.stopped = True
        if stream.stream_id:
            self._begin(sandbox, self._stop(stream, self.sandboxes[sandbox]))

    @rule(tenths=st.integers(1, 6))
    def wait(self, tenths: int) -> None:
        """For longer than a lease at most."""
        self.cluster.run(asyncio.sleep(tenths / 10))

    # What the model does

    @rule(stream=streams, characters=st.integers(1, 40))
    def say(self, stream: Stream, characters: int) -> None:
        if not stream.conversation.finishes:
            stream.conversation.allowed += characters
        self._announce(stream)

    @rule(stream=streams)
    def finish(self, stream: Stream) -> None:
        stream.conversation.finishes = True
        self._announce(stream)

    @rule(stream=streams, retryable=st.booleans())
    def fail(self, stream: Stream, *, retryable: bool) -> None:
        stream.may_fail = True
        error = ProviderError("made_up", "The test broke it.", retryable=retryable)
        stream.conversation.failures.append(error)
        self._announce(stream)

    # What becomes of sandboxes

    @rule(sandbox=SANDBOX)
    def kill(self, sandbox: int) -> None:
        self.sandboxes[sandbox].die()
        self._replace(sandbox)

    @rule(sandbox=SANDBOX)
    def close(self, sandbox: int) -> None:
        """The platform lets a sandbox end by itself; another takes its place at once."""
        closing = self.sandboxes[sandbox]
        self._begin(sandbox, closing.streams.close())
        self._replace(sandbox)

    @rule(sandbox=SANDBOX, calls=st.sampled_from([("PutItem",), CALLS]))
    def freeze(self, sandbox: int, calls: tuple[str, ...]) -> None:
        """As SIGSTOP does, between its decision and its call, for all that others can see."""
        self.sandboxes[sandbox].way.store.hold(*calls)
        self._for_a_moment()

    @rule(sandbox=SANDBOX)
    def thaw(self, sandbox: int) -> None:
        self.sandboxes[sandbox].way.store.release()
        self._for_a_moment()

    # What DynamoDB and the network do

    @rule(
        sandbox=SANDBOX,
        call=st.sampled_from(CALLS),
        fault=st.sampled_from(FAULTS),
        times=st.integers(1, 4),
    )
    def trouble(self, sandbox: int, call: str, fault: Fault, times: int) -> None:
        self.sandboxes[sandbox].way.faults[call].extend([fault] * times)
        self._for_a_moment()

    @rule(sandbox=SANDBOX, seconds=st.sampled_from([0.0, 0.02, 0.1, 0.3]))
    def slow_down(self, sandbox: int, seconds: float) -> None:
        self.sandboxes[sandbox].way.store.delay = seconds
        self._for_a_moment()

    # The rules

    @invariant()
    def the_rules_hold(self) -> None:
        try:
            self._check_clients_errors()
            for stream in self.created:
                if stream.stream_id:
                    self._check_log(stream)
            for client in self.clients:
                self._check_delivered(client)
            assert set(self.cluster.puts.values()) <= {1}, "a position was written twice"
        except BaseException:
            self.broken = True
            self._print()
            raise

    def _check_log(self, stream: Stream) -> None:
        stored = self.cluster.stored(stream.stream_id)
        before, stream.stored = stream.stored, stored
        conversation = stream.conversation
        assert [record.seq for record in stored] == list(range(len(stored))), "positions are dense"
        assert stored[: len(before)] == before, "what was written stays as it is"
        assert not any(record.terminal for record in stored[:-1]), "nothing follows the end"
        text = said(stored)
        assert text == TEXT[: len(text)], "each number once, in order"
        assert len(text) <= conversation.allowed
        match stored[-1].payload if stored else None:
            case Done():
                assert conversation.finishes, "it has finished"
                assert len(text) == conversation.allowed, "all that was said is there"
            case Failed(code):
                assert stream.may_fail or code == "given_up"
            case Cancelled():
                assert stream.stopped, "somebody has stopped it"
            case _:
                pass

    def _check_delivered(self, client: Client) -> None:
        start = 0 if client.after is None else client.after + 1
        expected = client.stream.stored[start : start + len(client.records)]
        assert client.records == expected, "a reader gets the log, from where it asked"
        assert not client.complete or client.stream.over, "only an end ends a stream"

    def _check_clients_errors(self) -> None:
        for sandbox in [*self.sandboxes, *self.gone]:
            for task in [task for task in sandbox.tasks if task.done()]:
                sandbox.tasks.remove(task)
                error = None if task.cancelled() else task.exception()
                if error is not None and not isinstance(error, LogUnavailable):
                    raise error

    # The end

    def teardown(self) -> None:
        try:
            if not self.broken:
                self._come_to_an_end()
                self.the_rules_hold()
                self._check_settlements()
                self._tell_hypothesis()
        finally:
            self.cluster.run(self._clear_away())

    def _come_to_an_end(self) -> None:
        """Without further faults, whoever reads does so to the end, and then nothing is left."""
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
        try:
            self.cluster.run(self._all_end())
        except TimeoutError:
            self.broken = True
            self._print()
            raise AssertionError("somebody waits in vain") from None

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

    def _check_settlements(self) -> None:
        for stream in self.created:
            standing = self.cluster.reservations[stream.prompt]
            assert standing >= 0, "nothing is given back twice"
            assert standing > 0 or stream.over or not stream.stored, "nor before the end"

    def _tell_hypothesis(self) -> None:
        """What it came to, for `--hypothesis-show-statistics`."""
        for stream in self.created:
            if stream.over:
                event(f"ended by {stream.stored[-1].payload.kind}")
            claims = sum(isinstance(record.payload, Claim) for record in stream.stored)
            event(f"{min(claims, 5)} claims")

    def _print(self) -> None:
        for stream in self.created:
            note(printed(stream, self.clients))
        note(f"{self.provider.running} models are asked; going on:")
        for task in self.cluster.run(self._left()):
            note(f"  {task.get_coro()}")

    async def _left(self) -> list[asyncio.Task[Any]]:
        return list(_of_the_application())

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

    # How steps are made

    async def _start(self, way: Way) -> Sandbox:
        budget = Budget(Counters(way.table), SETTINGS.limits)
        return Sandbox(way, Streams(way.log, self.provider, budget, SETTINGS))

    async def _tail(self, stream: Stream, sandbox: Sandbox) -> Tail:
        return sandbox.streams._tail(stream.stream_id)

    def _replace(self, sandbox: int) -> None:
        self.gone.append(self.sandboxes[sandbox])
        self.sandboxes[sandbox] = self.cluster.run(self._start(self.gone[-1].way))
        self._for_a_moment()

    def _new_stream(self, *, keyed: bool = False) -> Stream:
        prompt = self.cluster.prompt()
        conversation = self.conversations[prompt] = Conversation()
        stream = Stream(prompt, asking(prompt), conversation, prompt if keyed else None)
        self.created.append(stream)
        return stream

    def _create(
        self, stream: Stream, sandbox: int, seconds: float | None, *, at_once: bool
    ) -> None:
        client = Client(stream, None)
        creating = self._creating(
            client, self.sandboxes[sandbox], _window(seconds), at_once=at_once
        )
        try:
            self.cluster.run(creating)
        except LogUnavailable:
            return
        if at_once:
            self.clients.append(client)
        self._for_a_moment()

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

    def _connect(self, client: Client, sandbox: int, seconds: float | None) -> None:
        if not client.stream.stream_id:
            return
        if client not in self.clients:
            self.clients.append(client)
        connecting = client.connect(self.sandboxes[sandbox].streams, _window(seconds))
        client.task = self._begin(sandbox, connecting)

    async def _stop(self, stream: Stream, sandbox: Sandbox) -> None:
        transcript = await sandbox.streams.cancel(stream.stream_id)
        assert transcript.newest.terminal

    def _begin(self, sandbox: int, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let it go on beside the next steps."""

        async def begun() -> asyncio.Task[None]:
            return self.sandboxes[sandbox].begin(work)

        task = self.cluster.run(begun())
        self._for_a_moment()
        return task

    def _announce(self, stream: Stream) -> None:
        stream.conversation.announce()
        self._for_a_moment()

    def _for_a_moment(self) -> None:
        self.cluster.run(asyncio.sleep(_MOMENT))

    def _idle_clients(self) -> Iterator[Client]:
        for client in self.clients:
            if not client.complete and (client.task is None or client.task.done()):
                yield client

    def _connections(self) -> Iterator[asyncio.Task[None]]:
        for client in self.clients:
            if client.task is not None and not client.task.done():
                yield client.task


def _window(seconds: float | None) -> Window:
    return Window() if seconds is None else Window(time.time() + HANDOFF_MARGIN + seconds)


def _of_the_application() -> Iterator[asyncio.Task[Any]]:
    """The tasks that the application has made and that are not over."""
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if inspect.iscoroutine(coroutine) and _APPLICATION in coroutine.cr_code.co_filename:
            yield task


def said(records: list[Record]) -> str:
    return "".join(r.payload.text for r in records if isinstance(r.payload, Answer))


def printed(stream: Stream, clients: list[Client]) -> str:
    """A stream's log, and what its readers have got, for whoever looks for the mistake."""
    lines = [f"{stream.prompt}: {stream.conversation.allowed} characters allowed"]
    lines += [f"  {_line(record)}" for record in stream.stored]
    for client in clients:
        if client.stream is stream:
            lines += [f"  a client behind {client.after}, complete: {client.complete}"]
            lines += [f"    {_line(record)}" for record in client.records]
    return "\n".join(lines)


def _line(record: Record) -> str:
    return f"{record.seq} {record.payload} by {record.writer or 'nobody'} ({record.nonce})"


@pytest.mark.dynamodb_local
@pytest.mark.timeout(1200)
def test_no_steps_lose_repeat_reorder_or_strand_anything(
    dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a hundred sandboxes log would bury the steps.
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    monkeypatch.setattr(logging.getLogger(logger.service), "disabled", True)
    with cluster(dynamodb_local_url) as shared:
        run_state_machine_as_test(
            lambda: Protocol(shared),  # type: ignore[arg-type] # a factory will do
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                # What lets a change in must not depend on luck; luck is for every other day.
                derandomize=os.environ.get("CI") == "true",
                suppress_health_check=list(HealthCheck),
            ),
        )
