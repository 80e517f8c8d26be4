"""The parts of an answer while its events come in: what `app.folding.fold` has at the end.

A rendering has to know at every event which part it changes, which the finished parts do not tell.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app.events import Answer, Data, Progress, Thinking, ToolCall, ToolResult
from durable_stream import Event, Text
from durable_stream.events import ENGINE, other_members
from durable_stream.text import mended

Place = TypeVar("Place")


@dataclass(eq=False)
class Part(Generic[Place]):
    """A part: its first event or its newest, its texts, and the result of a call.

    `places` is the renderer's own: where it has shown the part.
    """

    event: Event
    pieces: list[str] = field(default_factory=list)
    result: ToolResult | None = None
    places: list[Place] = field(default_factory=list)

    @property
    def is_text(self) -> bool:
        """True for a text that these protocols have a form for."""
        return self.event.kind in (Answer.kind, Thinking.kind)


@dataclass(frozen=True, slots=True)
class Dropped(Generic[Place]):
    """What a reset takes away: whole parts, and results of calls that stay."""

    parts: Sequence[Part[Place]]
    results: Sequence[Part[Place]]


class Parts(Generic[Place]):
    """The parts of one answer, in the order of their first events."""

    def __init__(self) -> None:
        self._parts: list[Part[Place]] = []
        # The parts that a later event of the same kind and name replaces.
        self._named: dict[tuple[str, str], Part[Place]] = {}
        # The calls of an id that have no result, oldest first.
        self._waiting: dict[str, deque[Part[Place]]] = {}

    def __iter__(self) -> Iterator[Part[Place]]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def since(self, index: int) -> Sequence[Part[Place]]:
        """The parts from this one on."""
        return self._parts[index:]

    def add(self, event: Event) -> Part[Place] | None:
        """The part that the event begins or changes; None for an event that makes no part."""
        if isinstance(event, ENGINE) or event.terminal:
            return None
        part = self._changed(event)
        if part is None:
            part = Part(event)
            self._parts.append(part)
            self._index(part)
        if isinstance(event, Text):
            part.pieces.append(event.text)
        return part

    def start_over(self, key: str) -> Dropped[Place]:
        """Drop the parts of this step, all for ""."""
        stays: list[Part[Place]] = []
        gone: list[Part[Place]] = []
        for part in self._parts:
            (stays if key and part.event.within != key else gone).append(part)
        results = [part for part in stays if part.result and part.result.within == key]
        for part in results:
            part.result = None
        self._parts = stays
        self._named.clear()
        self._waiting.clear()
        for part in stays:
            self._index(part)
        return Dropped(gone, results)

    def _index(self, part: Part[Place]) -> None:
        if name := _name(part.event):
            self._named[name] = part
        if isinstance(part.event, ToolCall) and part.result is None:
            self._waiting.setdefault(part.event.id, deque()).append(part)

    def _changed(self, event: Event) -> Part[Place] | None:
        """The part that the event changes, None if it begins one."""
        match event:
            case Text():
                last = self._parts[-1] if self._parts else None
                return last if last is not None and _joins(event, last.event) else None
            case ToolResult() if waiting := self._waiting.get(event.id):
                call = waiting.popleft()
                call.result = event
                return call
            case _:
                return self._replaced(event)

    def _replaced(self, event: Event) -> Part[Place] | None:
        name = _name(event)
        part = self._named.get(name) if name else None
        if part is not None:
            part.event = event
        return part


def _joins(event: Text, last: Event) -> bool:
    if not isinstance(last, Text) or type(last) is not type(event):
        return False
    return other_members(last) == other_members(event)


def _name(event: Event) -> tuple[str, str] | None:
    match event:
        case Progress():
            return event.kind, event.label
        case Data():
            return event.kind, event.id or event.name
        case _:
            return None


@dataclass(slots=True)
class Halves:
    """Joins halves of surrogate pairs across pieces of text, for clients that do not."""

    _half: str = ""

    def joined(self, piece: str) -> str:
        """The text to send for another piece: a first half waits for the piece behind it."""
        text = self._half + piece
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text[: len(text) - len(self._half)]
        return text if text.isascii() else mended(text)

    def rest(self) -> str:
        """The text to send when no piece follows: U+FFFD for a half that has waited in vain."""
        half, self._half = self._half, ""
        return mended(half)
