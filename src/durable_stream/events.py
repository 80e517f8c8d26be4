"""Events: the payloads of a stream's records.

The engine writes the kinds below. An application declares the others as subclasses of `Event`:

    class ToolCall(Event):
        kind = "tool_call"
        id: str
        name: str

The engine asks an event for `terminal`, `progress` and `weight`, and never for its class, unless
the class is one of its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import groupby
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

# A record's text, in characters. With every character escaped (6 bytes, 12 outside the BMP) the
# item stays below DynamoDB's 400 KB.
MAX_TEXT = 16_000

# The longest event that is not text, in characters of its JSON, for the same limit.
MAX_EVENT = 390_000


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
@dataclass(frozen=True)
class Event:
    """One thing that happened in a stream. Every subclass becomes a frozen dataclass.

    `kind` names the class in the log and on the wire. Nothing follows a `terminal` event.
    `progress` says that an attempt which logged such an event was worth its while: attempts
    without progress come to an end, and an attempt that made some is never repeated unmarked.
    `within` is the key of the step that the event belongs to, "" outside of steps.
    """

    kind: ClassVar[str]
    terminal: ClassVar[bool] = False
    progress: ClassVar[bool] = True
    within: str = field(default="", kw_only=True)

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)

    @property
    def weight(self) -> int:
        """The characters that this event takes up in a buffer; 0 says that it holds nothing."""
        return len(encode(self))

    @classmethod
    def merged(cls, run: Sequence[Self]) -> Sequence[Self]:
        """The records for a run of events of this class that waited for the log together."""
        return run

    def public(self) -> dict[str, Any]:
        """The members that a reader is told, but for `within`."""
        return members(self)


class Text(Event):
    """A piece of text. Pieces of one class that wait together become one record."""

    text: str

    @property
    def weight(self) -> int:
        """The length of the text."""
        return len(self.text)

    @classmethod
    def merged(cls, run: Sequence[Self]) -> Sequence[Self]:
        """The joined text, in pieces that each fit into a record.

        Only events whose other members are equal are joined.
        """
        return [piece for _, like in groupby(run, other_members) for piece in _pieces([*like])]


class Start(Event):
    """A stream was created to produce something from `input`, which is opaque here.

    `owner` names the creator, "" where creators have no names. An application may declare a
    subclass with more members.
    """

    kind = "start"
    progress = False
    input: str
    owner: str = ""

    def repeats(self, other: "Start") -> bool:
        """True if an idempotency key may stand for both."""
        return self.input == other.input

    def public(self) -> dict[str, Any]:
        """Nothing: the input may be secret."""
        return {}


class Claim(Event):
    """A writer took the stream over for another attempt, counted from 1.

    `continued` says how the attempt continues, in the producer's words.
    """

    kind = "claim"
    progress = False
    attempt: int
    continued: str = "restarted"


class Heartbeat(Event):
    """The writer is alive, and the producer is silent."""

    kind = "heartbeat"
    progress = False


class Handoff(Event):
    """The writer stopped on purpose, so a reader may take over at once."""

    kind = "handoff"
    progress = False


class Failed(Event):
    """The stream cannot be completed. `message` is for the reader; `code` is stable.

    `free` says that the last attempt is known to have cost nothing.
    """

    kind = "error"
    terminal = True
    progress = False
    code: str
    message: str
    retryable: bool
    free: bool = False

    def public(self) -> dict[str, Any]:
        """All but the cost."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


class Cancelled(Event):
    """A client ended the stream."""

    kind = "cancelled"
    terminal = True
    progress = False


class Reset(Event):
    """The work starts over: nothing counts any more that was said before.

    With `within`, that is so for the events of this step alone.
    """

    kind = "reset"
    progress = False


class StepBegun(Event):
    """A step begins. `within` is its key, and `call` a digest of its arguments."""

    kind = "step"
    progress = False
    name: str
    call: str

    def public(self) -> dict[str, Any]:
        """The name."""
        return {"name": self.name}


class StepEnded(Event):
    """A step has ended, and is not run again. `within` is its key.

    `value` is the result as JSON. If the step raised an exception, `failure` tells its type and
    message, and `value` is "".
    """

    kind = "step_end"
    value: str
    failure: str = ""

    def public(self) -> dict[str, Any]:
        """The outcome, without the value, which may be secret."""
        return {"failed": bool(self.failure)}


ENGINE: tuple[type[Event], ...] = (
    Start,
    Claim,
    Heartbeat,
    Handoff,
    Failed,
    Cancelled,
    Reset,
    StepBegun,
    StepEnded,
)


class Registry:
    """The event classes of one application, by kind, with the engine's own among them.

    An application's class of the same kind as one of the engine's replaces it, and must be a
    subclass of it. Raises ValueError for two classes of one kind, for a member `step`, and for
    terminal text: a text may become several records, and only a stream's last record is terminal.
    """

    def __init__(self, declared: Iterable[type[Event]] = ()) -> None:
        kinds: dict[str, type[Event]] = {event.kind: event for event in ENGINE}
        for event in declared:
            known = kinds.get(event.kind)
            if known is not None and not (known in ENGINE and issubclass(event, known)):
                raise ValueError(
                    f"two events are called {event.kind!r}: give {event.__name__} another kind"
                )
            if "step" in {each.name for each in fields(event)}:
                raise ValueError(
                    f"rename the member `step` of {event.__name__}: it names an event's step"
                )
            if issubclass(event, Text) and event.terminal:
                raise ValueError(f"{event.__name__} is text and terminal: end with another event")
            kinds[event.kind] = event
        self.kinds: Mapping[str, type[Event]] = kinds

    def decode(self, kind: str, data: str) -> Event:
        """The event from its kind and JSON; raises KeyError or TypeError if it is unknown."""
        return self.kinds[kind](**json.loads(data))


_to_json = json.JSONEncoder(separators=(",", ":")).encode

AnyText = TypeVar("AnyText", bound=Text)


def members(event: Event) -> dict[str, Any]:
    """The members of an event by name, but for `within`."""
    names = _names(type(event))  # type: ignore[arg-type] # a class can be hashed
    return {name: getattr(event, name) for name in names}


@cache
def _names(kind: type[Event]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if each.name != "within")


def started_over(events: Iterable[Event]) -> frozenset[str]:
    """The steps of which some events do not count any more; "" is the whole stream."""
    return frozenset(event.within for event in events if isinstance(event, Reset))


def is_lasting(event: Event, started_over: frozenset[str]) -> bool:
    """True for progress that stays when work starts over, as it has before."""
    return event.progress and (
        isinstance(event, StepEnded) or not started_over & {"", event.within}
    )


def other_members(event: Text) -> tuple[Any, ...]:
    """The members of a text but for the text."""
    names = _other_names(type(event))  # type: ignore[arg-type] # a class can be hashed
    return tuple(getattr(event, name) for name in names)


@cache
def _other_names(kind: type[Text]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if each.name != "text")


def _pieces(events: Sequence[AnyText]) -> list[AnyText]:
    text = "".join(event.text for event in events)
    parts = [text[at : at + MAX_TEXT] for at in range(0, len(text), MAX_TEXT)]
    return [replace(events[0], text=part) for part in parts]


def encode(event: Event) -> str:
    """The event's members as one line of ASCII JSON.

    ASCII, since half a surrogate pair, which a producer may emit, has no UTF-8 form but an escape:
    any text comes back as it went in.
    """
    told = members(event)
    if event.within:
        told["within"] = event.within
    return _to_json(told)
