"""The plan of each stream's faults, drawn from the seed and the stream's number alone.

A fault is triggered by a count of things that happen to its stream (its nth put, query, event or
byte), never by a clock. So the same seed means the same faults on a slower machine.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.models.base import Message, Request
from app.models.demo import DemoProvider
from proof.chaos.faults import AT_BYTE, AT_PUT, AT_QUERY, CANCELS, FATAL, STOPPING, Fault
from proof.chaos.stepping import STEPPING, Stage, stages_of

TOKENS_PER_SECOND = 90
# The demo's explanation is this long at most; `max_tokens` cuts each stream's answer.
LONGEST = 2000
MOST_FATAL = 3
# The lengths of answers, in tokens: most; those whose provider must be seen to stop, long before
# its end; and those that outlive an invocation (`functions.TIMEOUT`).
_SHORT = (20, 140)
_STOPPABLE = (700, 1000)
_LASTING = (1800, LONGEST)

_CROWD = 50
# The probability of each.
_UNDISTURBED = 0.08
_LONG = 0.06
_CROWDED = 0.025
_SHARED = 0.5
_CANCELLED = 0.15
_KILLED_AFTER_SEND = 0.35
_DUPLICATED = 0.3
_HOSTILE = 0.15
_TROUBLED = 0.6
_STEPPED = 0.35
# A fault is triggered at a count below one of these.
# On a busy machine an answer is fewer and larger records: early ones are drawn more often.
_PUTS = (4, 8, 16, 32)
_QUERIES = (4, 8, 16)
_EVENTS = (4, 8, 16)
_BYTES = (800, 1600, 4000)


class Way(StrEnum):
    """How a stream is made.

    * **post** - POST with an Idempotency-Key, then an EventSource on `events_url`.
    * **stream** - POST with an Idempotency-Key that is answered with the stream itself, again and
      again until an event has come, then an EventSource from there on.
    * **sse** - One EventSource on `/sse?prompt=…`.
    """

    POST = "post"
    STREAM = "stream"
    SSE = "sse"


@dataclass(frozen=True, slots=True)
class AtByte:
    """A fault of one connection, after so many bytes of its answer."""

    fault: Fault
    byte: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The faults of one stream.

    `puts` and `queries` name faults by the number of the stream's calls that have passed before.
    `connections` has the faults of each reader, connection by connection. The writers of the events
    in `kill_after_send`, counted as the first reader receives them, are killed. A `cancel` that
    races with nothing comes at the put `cancel_at`.
    `stepping` is true if the agent with steps answers, and not the chat.
    `shared` is true if the stream begins in the function whose sandboxes take many invocations.
    """

    number: int
    prompt: str
    max_tokens: int
    way: Way
    shared: bool
    puts: Mapping[int, Fault]
    queries: Mapping[int, Fault]
    connections: tuple[tuple[AtByte | None, ...], ...]
    kill_after_send: frozenset[int]
    cancel: Fault | None
    cancel_at: int
    duplicates: int
    readers: int
    hostile: bool
    stepping: bool = False

    @property
    def undisturbed(self) -> bool:
        """True if the plan has no fault; its sandbox may still serve a stream that has one."""
        return not (
            self.puts
            or self.queries
            or any(map(any, self.connections))
            or self.kill_after_send
            or self.cancel
            or self.duplicates
            or self.hostile
            or self.readers > 1
        )

    @property
    def crowded(self) -> bool:
        """True if a crowd reads the stream."""
        return self.readers == _CROWD

    @property
    def body(self) -> dict[str, object]:
        """The body of the POST that creates the stream."""
        body: dict[str, object] = {"prompt": self.prompt, "max_tokens": self.max_tokens}
        return {**body, "agent": STEPPING} if self.stepping else body

    @property
    def key(self) -> str:
        """The Idempotency-Key of that POST, which no other plan's stream has."""
        return f"chaos-{self.prompt.encode().hex()[-24:]}-{self.number:08d}"

    @property
    def request(self) -> Request:
        """The request to the model."""
        return Request(
            messages=(Message("user", self.prompt),), model="demo", max_tokens=self.max_tokens
        )

    @property
    def thinking(self) -> tuple[str, ...]:
        """The tokens of the reasoning, all of them."""
        return DemoProvider(tokens=LONGEST).script(self.request).thinking

    @property
    def answer(self) -> tuple[str, ...]:
        """The tokens of the answer, all of them."""
        return DemoProvider(tokens=LONGEST).script(self.request).answer[: self.max_tokens]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the agent with steps; none for the chat."""
        return tuple(stages_of(self.answer)) if self.stepping else ()

    @property
    def answers(self) -> Mapping[str, Sequence[str]]:
        """The tokens of the answer by the step that says them; "" is outside of steps."""
        if not self.stepping:
            return {"": self.answer}
        within = {key: said for each in self.stages for key, said in each.steps.items() if said}
        return {"": tuple(each.before for each in self.stages), **within}


def named(number: int) -> str:
    """The beginning of a stream's prompt, by which the harness knows it anywhere."""
    return f"№{number} "


def number_of(prompt: str) -> int | None:
    """The inverse of `named`; None for a prompt that is not the harness's."""
    if not prompt.startswith("№"):
        return None
    return int(prompt[1:].partition(" ")[0])


def draw(seed: int, number: int) -> Plan:
    """The plan of one stream."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 - it must be repeatable
    quiet = chance.random() < _UNDISTURBED
    crowded = not quiet and chance.random() < _CROWDED
    is_long = not (quiet or crowded) and chance.random() < _LONG
    way = Way.POST if crowded else chance.choice(list(Way))
    cancel = chance.choice(sorted(CANCELS)) if not quiet and chance.random() < _CANCELLED else None
    puts = {} if quiet else _draw_puts(chance)
    fatal = sum(fault in FATAL for fault in puts.values())
    if cancel is Fault.CANCEL_AT_TAKE_OVER:
        nth = 2 + _count(chance, _PUTS)
        if fatal < MOST_FATAL:
            puts[nth] = Fault.KILL_BEFORE_PUT
            fatal = sum(fault in FATAL for fault in puts.values())
    after_send = (
        frozenset({_count(chance, _EVENTS)})
        if not quiet and fatal < MOST_FATAL and chance.random() < _KILLED_AFTER_SEND
        else frozenset[int]()
    )
    shortest, longest = (
        _LASTING if is_long else _STOPPABLE if _to_be_stopped(puts, cancel) else _SHORT
    )
    readers = _CROWD if crowded else 1 if quiet else chance.choice((1, 1, 1, 2, 3))
    # A crowd is left alone: all its readers must be there at once.
    others = [] if crowded else [_draw_connections(chance) for _ in range(readers - 1)]
    return Plan(
        number=number,
        prompt=f"{named(number)}naïve café Ελληνικά 日本語 🚀 {chance.randbytes(4).hex()}",
        max_tokens=chance.randint(shortest, longest),
        way=way,
        shared=crowded or chance.random() < _SHARED,
        puts=puts,
        queries={}
        if quiet
        else {
            _count(chance, _QUERIES): chance.choice(AT_QUERY)
            for _ in range(chance.choice((0, 0, 1, 2)))
        },
        connections=() if quiet else (_draw_connections(chance), *others),
        kill_after_send=after_send,
        cancel=cancel,
        cancel_at=_count(chance, _PUTS[1:]),
        duplicates=4 if not quiet and way is not Way.SSE and chance.random() < _DUPLICATED else 0,
        readers=readers,
        hostile=not quiet and chance.random() < _HOSTILE,
        # Drawn last: it moves no fault.
        stepping=chance.random() < _STEPPED,
    )


def _to_be_stopped(puts: Mapping[int, Fault], cancel: Fault | None) -> bool:
    """Return True when a provider works on, for a time, that should have stopped."""
    return not STOPPING.isdisjoint(puts.values()) or cancel in STOPPING


def _count(chance: random.Random, below: tuple[int, ...]) -> int:
    return chance.randrange(chance.choice(below))


def _draw_puts(chance: random.Random) -> dict[int, Fault]:
    puts: dict[int, Fault] = {}
    for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4))):
        nth, fault = _count(chance, _PUTS), chance.choice(AT_PUT)
        if fault in FATAL and sum(each in FATAL for each in puts.values()) >= MOST_FATAL:
            continue
        puts[nth] = fault
    return puts


def _draw_connections(chance: random.Random) -> tuple[AtByte | None, ...]:
    return tuple(
        AtByte(chance.choice(AT_BYTE), _count(chance, _BYTES))
        if chance.random() < _TROUBLED
        else None
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3, 5)))
    )
