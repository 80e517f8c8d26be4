"""The steps that clients, sandboxes, the model, DynamoDB and the network may take."""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from app.exceptions import ProviderError
from durable_stream import Claim
from proof.tests.state_machine.cluster import SANDBOXES, TIMING, Client, Cluster, Stream
from proof.tests.state_machine.example import CALLS, Example
from proof.tests.state_machine.rules import check
from tests.store import Fault

_MOST_STREAMS = 3

# In characters: several records.
_LONG = 40

# In seconds: longer than a step that reads and says something.
_RARELY = 0.3

# As far as a reader looks for a place to begin.
_LAST_PLACE = 30

SANDBOX = st.integers(0, SANDBOXES - 1)
SECONDS_LEFT = st.sampled_from([None, 0.05, 0.2])
FAULTS = [Fault.LOSE_ANSWER, Fault.REFUSE, Fault.THROTTLE, Fault.FAIL]


class Protocol(RuleBasedStateMachine):
    """Steps of clients, sandboxes, the model and DynamoDB, and the rules that survive them.

    Hypothesis must be able to take the same steps again, so the set of possible steps must not
    depend on how fast anything was: a step that has nothing to do does nothing.
    """

    streams: Bundle[Stream] = Bundle("streams")
    keyed: Bundle[Stream] = Bundle("keyed")

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.example = Example(cluster)
        self.broken = False

    # Steps of clients

    @initialize(
        target=streams,
        sandbox=SANDBOX,
        at_once=st.booleans(),
        seconds=SECONDS_LEFT,
        stepping=st.booleans(),
    )
    def create_first(
        self, sandbox: int, *, at_once: bool, seconds: float | None, stepping: bool
    ) -> Stream:
        """Without a stream most steps do nothing."""
        return self._created(sandbox, seconds, at_once=at_once, stepping=stepping)

    @precondition(lambda self: len(self.example.created) < _MOST_STREAMS)
    @rule(
        target=streams,
        sandbox=SANDBOX,
        at_once=st.booleans(),
        seconds=SECONDS_LEFT,
        stepping=st.booleans(),
    )
    def create(
        self, sandbox: int, *, at_once: bool, seconds: float | None, stepping: bool
    ) -> Stream:
        return self._created(sandbox, seconds, at_once=at_once, stepping=stepping)

    def _created(
        self, sandbox: int, seconds: float | None, *, at_once: bool, stepping: bool
    ) -> Stream:
        stream = self.example.new_stream(stepping=stepping)
        self.example.create(stream, sandbox, seconds, at_once=at_once)
        return stream

    @precondition(lambda self: len(self.example.created) < _MOST_STREAMS)
    @rule(
        targets=(streams, keyed),
        sandbox=SANDBOX,
        at_once=st.booleans(),
        seconds=SECONDS_LEFT,
        stepping=st.booleans(),
    )
    def create_with_key(
        self, sandbox: int, *, at_once: bool, seconds: float | None, stepping: bool
    ) -> Stream:
        stream = self.example.new_stream(keyed=True, stepping=stepping)
        self.example.create(stream, sandbox, seconds, at_once=at_once)
        return stream

    @rule(stream=keyed, sandbox=SANDBOX, at_once=st.booleans(), seconds=SECONDS_LEFT)
    def create_again(
        self, stream: Stream, sandbox: int, *, at_once: bool, seconds: float | None
    ) -> None:
        self.example.create(stream, sandbox, seconds, at_once=at_once)

    @rule(stream=streams, sandbox=SANDBOX, place=st.integers(-1, _LAST_PLACE), seconds=SECONDS_LEFT)
    def read(self, stream: Stream, sandbox: int, place: int, seconds: float | None) -> None:
        """From the beginning, behind a position, or (30) behind the last that there is."""
        after = min(place, len(stream.stored) - 1)
        self.example.connect(Client(stream, None if after < 0 else after), sandbox, seconds)

    @rule(stream=streams, sandbox=SANDBOX)
    def take_over_too_early(self, stream: Stream, sandbox: int) -> None:
        """A sandbox whose clock is ahead reads: to it, the writer seems to be gone."""
        known = self.example.known(stream, sandbox)
        known.tail.silence._timing = dataclasses.replace(
            TIMING, lease=0.02, listening=0, claim_jitter=0
        )
        self.example.connect(Client(stream, None), sandbox, None)

    @rule(which=st.integers(0, 9), sandbox=SANDBOX, seconds=SECONDS_LEFT)
    def come_back(self, which: int, sandbox: int, seconds: float | None) -> None:
        """A client reconnects where it was, as an EventSource does."""
        idle = self.example.idle_clients()
        if idle:
            self.example.connect(idle[which % len(idle)], sandbox, seconds)

    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        """A client's connection breaks; nothing else does."""
        connections = self.example.connections()
        if connections:
            connections[which % len(connections)].cancel()
        self.example.for_a_moment()

    @rule(stream=streams, sandbox=SANDBOX)
    def stop(self, stream: Stream, sandbox: int) -> None:
        self.example.stop(stream, sandbox)

    @rule(tenths=st.integers(1, 6))
    def wait(self, tenths: int) -> None:
        """For longer than a lease at most."""
        self.example.cluster.run(asyncio.sleep(tenths / 10))

    # Steps of the model

    @rule(stream=streams, characters=st.integers(1, _LONG))
    def say(self, stream: Stream, characters: int) -> None:
        if not stream.conversation.finishes:
            stream.conversation.allowed += characters
        self.example.announce(stream)

    @rule(stream=streams)
    def finish(self, stream: Stream) -> None:
        stream.conversation.finishes = True
        self.example.announce(stream)

    @rule(stream=streams, retryable=st.booleans())
    def fail(self, stream: Stream, *, retryable: bool) -> None:
        stream.may_fail = True
        error = ProviderError("made_up", "The test broke it.", retryable=retryable)
        stream.conversation.failures.append(error)
        self.example.announce(stream)

    # Steps of sandboxes

    @rule(sandbox=SANDBOX)
    def kill(self, sandbox: int) -> None:
        self.example.sandboxes[sandbox].die()
        self.example.replace(sandbox)

    @rule(sandbox=SANDBOX)
    def close(self, sandbox: int) -> None:
        """The platform lets a sandbox end by itself; another takes its place at once."""
        closing = self.example.sandboxes[sandbox]
        self.example.begin(sandbox, closing.streams.close())
        self.example.replace(sandbox)

    @rule(sandbox=SANDBOX, calls=st.sampled_from([("PutItem",), CALLS]))
    def freeze(self, sandbox: int, calls: tuple[str, ...]) -> None:
        """As SIGSTOP does, between its decision and its call, for all that others can see."""
        self.example.sandboxes[sandbox].way.store.hold(*calls)
        self.example.for_a_moment()

    @rule(sandbox=SANDBOX)
    def thaw(self, sandbox: int) -> None:
        self.example.sandboxes[sandbox].way.store.release()
        self.example.for_a_moment()

    # Steps of DynamoDB and the network

    @rule(
        sandbox=SANDBOX,
        call=st.sampled_from(CALLS),
        fault=st.sampled_from(FAULTS),
        times=st.integers(1, 4),
    )
    def trouble(self, sandbox: int, call: str, fault: Fault, times: int) -> None:
        self.example.sandboxes[sandbox].way.faults[call].extend([fault] * times)
        self.example.for_a_moment()

    @rule(stream=streams, sandbox=SANDBOX, times=st.integers(1, 4))
    def lag(self, stream: Stream, sandbox: int, times: int) -> None:
        """A sandbox that reads along, without asking for consistency, sees gaps."""
        self.example.sandboxes[sandbox].way.store.lags += times
        self.example.connect(Client(stream, None), sandbox, None)
        self.say(stream, _LONG)

    @rule(stream=streams, sandbox=SANDBOX)
    def overtake(self, stream: Stream, sandbox: int) -> None:
        """A reader comes from further ahead than its sandbox, which polls rarely, has read."""
        self.read(stream, (sandbox + 1) % SANDBOXES, _LAST_PLACE, None)  # It writes if none does.
        known = self.example.known(stream, sandbox)
        known._poller._timing = dataclasses.replace(TIMING, poll_interval=_RARELY)
        self.example.sandboxes[sandbox].way.store.lags += 1
        self.example.connect(Client(stream, None), sandbox, None)
        self.say(stream, _LONG)
        self.wait(1)
        self.the_rules_hold()  # They look how far the log has come.
        self.read(stream, sandbox, _LAST_PLACE, None)

    @rule(tenths=st.integers(5, 7))
    def fall_silent(self, tenths: int) -> None:
        """DynamoDB answers no sandbox for longer than a lease; then it is back."""
        self.example.silence(tenths / 10)

    @rule(sandbox=SANDBOX, seconds=st.sampled_from([0.0, 0.02, 0.1, 0.3]))
    def slow_down(self, sandbox: int, seconds: float) -> None:
        self.example.sandboxes[sandbox].way.store.delay = seconds
        self.example.for_a_moment()

    # The rules

    @invariant()
    def the_rules_hold(self) -> None:
        with self._printing():
            check(self.example)

    def teardown(self) -> None:
        try:
            if not self.broken:
                self._come_to_an_end()
                self.the_rules_hold()
                self._tell_hypothesis()
        finally:
            self._clear_away()

    def _come_to_an_end(self) -> None:
        with self._printing(waiting="somebody waits in vain"):
            self.example.come_to_an_end()

    def _clear_away(self) -> None:
        with self._printing(waiting="something goes on that nobody wants"):
            self.example.clear_away()

    @contextmanager
    def _printing(self, waiting: str = "a step hangs") -> Iterator[None]:
        """Print the example when a rule is broken; `waiting` is the rule about time."""
        try:
            yield
        except TimeoutError:
            self._print(waiting)
            raise AssertionError(waiting) from None
        except BaseException as error:
            self._print(str(error))
            raise

    def _tell_hypothesis(self) -> None:
        """Report the outcome, for `--hypothesis-show-statistics`."""
        for stream in self.example.created:
            if stream.over:
                event(f"ended by {stream.stored[-1].event.kind}")
            claims = sum(isinstance(record.event, Claim) for record in stream.stored)
            event(f"{min(claims, 5)} claims")
        event(f"{min(len(self.example.ran), 9)} executions of steps")

    def _print(self, rule: str) -> None:
        self.broken = True
        self.example.cluster.broken_rules.append(rule)
        for line in self.example.printed():
            note(line)
