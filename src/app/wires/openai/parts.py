"""The parts of an answer while its events come in: what `app.folding.fold` has at the end.

A rendering has to know at every event which part it changes, which the finished parts do not tell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.events import Answer, Data, Progress, Thinking, ToolCall, ToolResult
from durable_stream import Event, Text
from durable_stream.events import ENGINE

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

    def __iter__(self) -> Iterator[Part[Place]]:
        return iter(self._parts)

    def add(self, event: Event) -> Part[Place] | None:
        """The part that the event begins or changes; None for an event that makes no part."""
        if isinstance(event, ENGINE) or event.terminal:
            return None
        part = self._changed(event)
        if part is None:
            part = Part(event)
            self._parts.append(part)
        if isinstance(event, Text):
            part.pieces.append(event.text)
        return part

    def start_over(self, key: str) -> Dropped[Place]:
        """Drop the parts of this step, all for ""."""
        stays = [part for part in self._parts if key and part.event.within != key]
        gone = [part for part in self._parts if part not in stays]
        results = [part for part in stays if part.result and part.result.within == key]
        for part in results:
            part.result = None
        self._parts = stays
        return Dropped(gone, results)

    def _changed(self, event: Event) -> Part[Place] | None:
        """The part that the event changes, None if it begins one."""
        match event:
            case Text():
                last = self._parts[-1] if self._parts else None
                return last if last is not None and _joins(event, last.event) else None
            case ToolResult():
                call = next((part for part in self._parts if _awaits(part, event.id)), None)
                if call is not None:
                    call.result = event
                return call
            case Progress() | Data():
                return self._replaced(event)
            case _:
                return None

    def _replaced(self, event: Progress | Data) -> Part[Place] | None:
        earlier = (part for part in self._parts if _name(part.event) == _name(event))
        part = next(earlier, None)
        if part is not None:
            part.event = event
        return part


def _joins(event: Text, last: Event) -> bool:
    return type(last) is type(event) and _but_for_text(last) == _but_for_text(event)


def _but_for_text(event: Event) -> dict[str, Any]:
    return {**vars(event), "text": ""}


def _awaits(part: Part[Place], id_: str) -> bool:
    return isinstance(part.event, ToolCall) and part.event.id == id_ and part.result is None


def _name(event: Event) -> tuple[str, str] | None:
    match event:
        case Progress():
            return event.kind, event.label
        case Data():
            return event.kind, event.id or event.name
        case _:
            return None
