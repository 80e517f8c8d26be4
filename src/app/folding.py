"""Folding: what the events of a stream add up to, for a reader who comes late.

`fold` in web/client.js is the same by the same rules; tests/app/folding.json has cases for both.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from app.events import Data, Progress, ToolCall, ToolResult
from durable_stream import Event, Reset, Text
from durable_stream.events import ENGINE, other_members

Told: TypeAlias = dict[str, Any]


def fold(events: Iterable[Event]) -> list[Told]:
    """The parts of an answer, in the order of their events, each as the members of a JSON object.

    `Parts` has the rules.
    """
    parts = Parts(Part)
    for event in events:
        if isinstance(event, Reset):
            parts.start_over(event.within)
        else:
            parts.add(event)
    return [_told(part) for part in parts]


@dataclass(eq=False)
class Part:
    """A part: its newest event, or the first one of a text; the pieces of the text; a result.

    A renderer may declare a subclass with members of its own.
    """

    event: Event
    pieces: list[str] = field(default_factory=list)
    result: ToolResult | None = None

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(self.pieces)

    def say(self, piece: str) -> None:
        """Add a piece of text."""
        self.pieces.append(piece)


AnyPart = TypeVar("AnyPart", bound=Part)


@dataclass(frozen=True, slots=True)
class Dropped(Generic[AnyPart]):
    """The parts that a reset drops, and the parts that stay without their result."""

    parts: Sequence[AnyPart]
    results: Sequence[AnyPart]


class Parts(Generic[AnyPart]):
    """The parts of an answer while its events come in. `make` makes a part of its first event.

    Text joins the last part if that is of its kind and step. A result belongs to the first
    call of its id that has none. The newest progress of a label takes the place of the one before
    it, and so does the newest data of an id, which is the name where there is no id. A reset
    drops the parts of its step, or all. Events of the engine and terminal ones make no part.
    """

    def __init__(self, make: Callable[[Event], AnyPart]) -> None:
        self._make = make
        self._parts: list[AnyPart] = []
        # The parts that a later event of the same kind and name replaces.
        self._named: dict[tuple[str, str], AnyPart] = {}
        # The calls of an id that have no result, oldest first.
        self._waiting: dict[str, deque[AnyPart]] = {}

    def __iter__(self) -> Iterator[AnyPart]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def last(self) -> AnyPart | None:
        """The part that came last."""
        return self._parts[-1] if self._parts else None

    def since(self, index: int) -> Sequence[AnyPart]:
        """The parts from this index on."""
        return self._parts[index:]

    def add(self, event: Event) -> AnyPart | None:
        """The part that the event begins or changes; None for an event that makes no part."""
        if isinstance(event, ENGINE) or event.terminal:
            return None
        part = self._changed(event)
        if part is None:
            part = self._make(event)
            self._parts.append(part)
            self._index(part)
        if isinstance(event, Text):
            part.say(event.text)
        return part

    def start_over(self, key: str) -> Dropped[AnyPart]:
        """Drop the parts and the results of this step, all for ""."""
        stay: list[AnyPart] = []
        gone: list[AnyPart] = []
        for part in self._parts:
            (stay if key and part.event.within != key else gone).append(part)
        results = [part for part in stay if part.result and part.result.within == key]
        for part in results:
            part.result = None
        self._parts = stay
        self._named.clear()
        self._waiting.clear()
        for part in stay:
            self._index(part)
        return Dropped(gone, results)

    def _index(self, part: AnyPart) -> None:
        if name := _name(part.event):
            self._named[name] = part
        if isinstance(part.event, ToolCall) and part.result is None:
            self._waiting.setdefault(part.event.id, deque()).append(part)

    def _changed(self, event: Event) -> AnyPart | None:
        """The part that the event changes, None if it begins one."""
        match event:
            case Text():
                return self.last if self.last and _joins(event, self.last.event) else None
            case ToolResult() if waiting := self._waiting.get(event.id):
                call = waiting.popleft()
                call.result = event
                return call
            case _:
                return self._replaced(event)

    def _replaced(self, event: Event) -> AnyPart | None:
        name = _name(event)
        part = self._named.get(name) if name else None
        if part is not None:
            part.event = event
        return part


def members(event: Event) -> Told:
    """The members of an event that a reader is told, and its step."""
    told = dict(event.public())
    return {**told, "step": event.within} if event.within else told


def _joins(event: Text, last: Event) -> bool:
    if not isinstance(last, Text) or type(last) is not type(event):
        return False
    return other_members(last) == other_members(event)


def _name(event: Event) -> tuple[str, str] | None:
    """The kind and the name under which only the newest part counts; None where all count."""
    match event:
        case Progress():
            return event.kind, event.label
        case Data():
            return event.kind, event.id or event.name
        case _:
            return None


def _told(part: Part) -> Told:
    told = members(part.event)
    if isinstance(part.event, Text):
        told["text"] = part.text
    if isinstance(part.event, ToolCall):
        told |= {"state": _state(part.result), "result": None}
        if part.result:
            told["result"] = members(part.result)
            del told["result"]["id"]
    return {**told, "kind": part.event.kind}


def _state(result: ToolResult | None) -> str:
    if result is None:
        return "running"
    return "done" if result.error is None else "failed"
