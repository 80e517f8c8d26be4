"""Folding: what the events of a stream add up to, for a reader who comes late.

`fold` in web/client.js is the same by the same rules; tests/app/folding.json has cases for both.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from app.events import Data, Progress, ToolCall, ToolResult
from durable_stream import Event, Reset, Text
from durable_stream.events import ENGINE

Part = dict[str, Any]


def fold(events: Iterable[Event]) -> list[Part]:
    """The parts of an answer, in the order of their events, each as the members of a JSON object.

    Text joins the last part if that is of its kind and step. A result belongs to the first
    call of its id that has none. The newest progress of a label takes the place of the one before
    it, and so does the newest data of an id, which is the name where there is no id. A `Reset`
    drops the parts of its step, or all. Events of the engine and terminal ones make no part.
    """
    parts: list[_Part] = []
    for event in events:
        if isinstance(event, Reset):
            parts = _started_over(parts, event.within)
        elif not (isinstance(event, ENGINE) or event.terminal):
            _add(parts, event)
    return [part.told() for part in parts]


@dataclass
class _Part:
    """A part: its newest event, all pieces of its text, and the result of a call."""

    event: Event
    pieces: list[str] = field(default_factory=list)
    result: ToolResult | None = None

    def told(self) -> Part:
        members = _members(self.event)
        if isinstance(self.event, Text):
            members["text"] = "".join(self.pieces)
        if isinstance(self.event, ToolCall):
            members |= {"state": self._state, "result": None}
            if self.result:
                members["result"] = _members(self.result)
                del members["result"]["id"]
        return {**members, "kind": self.event.kind}

    @property
    def _state(self) -> str:
        if self.result is None:
            return "running"
        return "done" if self.result.error is None else "failed"


def _add(parts: list[_Part], event: Event) -> None:
    match event:
        case Text():
            last = parts[-1].event if parts else None
            if not (isinstance(last, Text) and replace(last, text="") == replace(event, text="")):
                parts.append(_Part(event))
            parts[-1].pieces.append(event.text)
        case ToolResult():
            if call := _first(parts, lambda part: _awaits(part, event.id)):
                call.result = event
            else:
                parts.append(_Part(event))
        case _:
            id_ = _id(event)
            if id_ and (earlier := _first(parts, lambda part: _id(part.event) == id_)):
                earlier.event = event
            else:
                parts.append(_Part(event))


def _first(parts: list[_Part], condition: Callable[[_Part], bool]) -> _Part | None:
    return next(filter(condition, parts), None)


def _awaits(part: _Part, id_: str) -> bool:
    return isinstance(part.event, ToolCall) and part.event.id == id_ and part.result is None


def _id(event: Event) -> tuple[str, str] | None:
    """The kind and the name under which only the newest part counts; None where all count."""
    match event:
        case Progress():
            return event.kind, event.label
        case Data():
            return event.kind, event.id or event.name
        case _:
            return None


def _started_over(parts: list[_Part], key: str) -> list[_Part]:
    left = [part for part in parts if key and part.event.within != key]
    for part in left:
        if part.result and part.result.within == key:
            part.result = None
    return left


def _members(event: Event) -> Part:
    members = dict(event.public())
    return {**members, "step": event.within} if event.within else members
