"""Parts: the parts of an unfinished answer, by the rules of app.folding, and the dropped ones.

A part is known by the number that it got when it came. No number comes twice, so that a client
never takes a part for another.
"""

from collections import deque
from dataclasses import dataclass, field

from app.events import Data, Progress, ToolCall, ToolResult
from durable_stream import Event, Text
from durable_stream.events import other_members


@dataclass
class Part:
    """A part: its events, of which the newest counts unless it is text, and the result of a call.

    `late` says that another part came between the call and its result.
    """

    number: int
    events: list[Event]
    result: ToolResult | None = None
    result_number: int = 0
    late: bool = False

    @property
    def event(self) -> Event:
        """The newest event."""
        return self.events[-1]

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(event.text for event in self.events if isinstance(event, Text))


@dataclass
class Parts:
    """The parts that count, in order, and those that a reset has dropped."""

    now: list[Part] = field(default_factory=list)
    dropped: list[Part] = field(default_factory=list)
    _numbered: int = 0
    # The parts that a later event of the same kind and name replaces.
    _named: dict[tuple[str, str], Part] = field(default_factory=dict)
    # The calls of an id that have no result, oldest first.
    _waiting: dict[str, deque[Part]] = field(default_factory=dict)

    def add(self, event: Event) -> Part:
        """Add an event; the part that it has made, or become part of."""
        match event:
            case Text():
                return self._add_text(event)
            case ToolResult():
                return self._add_result(event)
            case _:
                return self._earlier(event) or self._new(event)

    def start_over(self, key: str) -> None:
        """Drop all parts and results, or those of the step of this key."""
        stay = [bool(key) and part.event.within != key for part in self.now]
        self.dropped += [part for part, stays in zip(self.now, stay, strict=True) if not stays]
        self.now = [part for part, stays in zip(self.now, stay, strict=True) if stays]
        for part in self.now:
            if part.result and part.result.within == key:
                part.result, part.late = None, False
        self._named.clear()
        self._waiting.clear()
        for part in self.now:
            self._index(part)

    def last_is(self, part: Part) -> bool:
        """True if no other part has come since this one."""
        return bool(self.now) and self.now[-1] is part

    def _add_text(self, event: Text) -> Part:
        last = self.now[-1] if self.now else None
        if last and isinstance(last.event, Text) and _alike(last.event, event):
            last.events.append(event)
            return last
        return self._new(event)

    def _add_result(self, event: ToolResult) -> Part:
        waiting = self._waiting.get(event.id)
        if not waiting:
            return self._new(event)
        part = waiting.popleft()
        part.result, part.result_number = event, self._number()
        part.late = not self.last_is(part)
        return part

    def _earlier(self, event: Event) -> Part | None:
        name = _name(event)
        part = self._named.get(name) if name else None
        if part:
            part.events = [event]
        return part

    def _new(self, event: Event) -> Part:
        part = Part(self._number(), [event])
        self.now.append(part)
        self._index(part)
        return part

    def _index(self, part: Part) -> None:
        if name := _name(part.event):
            self._named[name] = part
        if isinstance(part.event, ToolCall) and part.result is None:
            self._waiting.setdefault(part.event.id, deque()).append(part)

    def _number(self) -> int:
        self._numbered += 1
        return self._numbered


def _name(event: Event) -> tuple[str, str] | None:
    """The kind and the name under which only the newest part counts; None where all count."""
    match event:
        case Progress():
            return event.kind, event.label
        case Data():
            return event.kind, event.id or event.name
        case _:
            return None


def _alike(one: Text, other: Text) -> bool:
    return type(one) is type(other) and other_members(one) == other_members(other)
