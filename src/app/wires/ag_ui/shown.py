"""Shown: the parts of an answer as a client shows them.

thinking, answer       a message for each part
tool calls, results    messages of the assistant with one call each, and messages of tools
progress, sources      activities
data                   members of the state, by id
other kinds            CUSTOM
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.events import Answer, Data, Progress, Source, Thinking, ToolCall, ToolResult
from app.wires.ag_ui import protocol
from app.wires.ag_ui.parts import Part
from app.wires.rendering import Json
from app.wires.values import plain
from durable_stream import Event

_KNOWN = (Answer, Thinking, ToolCall, ToolResult, Progress, Source, Data)

# A JSON patch must not change a prototype (fast-json-patch, banPrototypeModifications).
_NO_MEMBER = "__proto__"


@dataclass(frozen=True, slots=True)
class Shown:
    """The messages and events for parts of one stream."""

    stream_id: str

    def id(self, part: Part) -> str:
        """The id of the message, and of the call, that a part is shown as."""
        return self._numbered(part.number)

    def message(self, part: Part) -> Json | None:
        """The message that a part is shown as; None for one that is shown otherwise."""
        id_ = self.id(part)
        match part.event:
            case Answer():
                return protocol.assistant_message(id_, part.text)
            case Thinking():
                return protocol.reasoning_message(id_, part.text)
            case ToolCall() as call:
                return protocol.call_message(id_, call.name, plain(call.arguments))
            case ToolResult():
                return self.result(part)
            case Progress() | Source() as event:
                return protocol.activity_message(id_, event.kind, _members(event))
            case _:
                return None

    def result(self, part: Part) -> Json:
        """The message of a call's result, or of one without a call."""
        if part.result:
            id_, call_id, result = self._numbered(part.result_number), self.id(part), part.result
        else:
            assert isinstance(part.event, ToolResult)
            id_, call_id, result = self.id(part), part.event.id, part.event
        return protocol.tool_message(id_, call_id, plain(result.output), result.error)

    def newest(self, part: Part) -> Sequence[Json]:
        """The events that show the newest event of a part that is neither text nor a result."""
        match part.event:
            case ToolCall() as call:
                return protocol.tool_call(self.id(part), call.name, plain(call.arguments))
            case Progress() | Source() as event:
                return [protocol.activity_snapshot(self.id(part), event.kind, _members(event))]
            case Data() as data:
                return protocol.state_delta(member(data))
            case _:
                return [_custom(part.newest)]

    def _numbered(self, number: int) -> str:
        return f"{self.stream_id}-{number}"


def member(data: Data) -> Sequence[Json]:
    """The operations that set the member of the state that a value is."""
    key = _key(data)
    return protocol.state_added(key, plain(data.value)) if key != _NO_MEMBER else ()


def removed(before: Sequence[Data], now: Sequence[Data]) -> Iterator[Json]:
    """The operations that remove the members of the state that no value sets any more."""
    kept = {_NO_MEMBER, *map(_key, now)}
    for key in dict.fromkeys(map(_key, before)):
        if key not in kept:
            yield from protocol.state_removed(key)


def customs(part: Part) -> Sequence[Json]:
    """The custom events of a part, none for one of a known kind."""
    return [] if isinstance(part.event, _KNOWN) else [*map(_custom, part.events)]


def _custom(event: Event) -> Json:
    step = {"step": event.within} if event.within else {}
    return protocol.custom(event.kind, {**_members(event), **step})


def _members(event: Event) -> Json:
    return {name: plain(value) for name, value in event.public().items()}


def _key(data: Data) -> str:
    return data.id or data.name
