"""Parts: each part of an answer as the chunks that make it in a UI message.

Text is text, thinking is reasoning, and a tool is called by the server, dynamically: the page need
not know it. Progress and data are data parts of an id, which a newer chunk replaces. Any other kind
is a data part of its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app import folding
from app.events import Answer, Data, Progress, Source, Thinking, ToolCall
from app.folding import members
from app.wires.rendering import Json
from app.wires.values import plain
from durable_stream import Event, Text

# Text of these kinds comes in pieces. Other text is a data part, which only comes whole.
_PIECEWISE: Mapping[str, str] = {Answer.kind: "text", Thinking.kind: "reasoning"}

# Text that comes whole is sent again when it has grown by this part of its length: of n characters,
# the client is sent at most n times this number, not n².
_GROWTH = 8


@dataclass(eq=False)
class Part(folding.Part):
    """A part, by its id on the wire.

    `name` is that of the data as which the part was opened. `length` is that of its text, and
    `told` that of the text that the client has.
    """

    id: str = ""
    name: str = ""
    length: int = 0
    told: int = 0

    def say(self, piece: str) -> None:
        """Add a piece of text."""
        super().say(piece)
        self.length += len(piece)


def wanted_id(event: Event) -> tuple[str, str] | None:
    """Where an id must be the only one of its kind, and the id that is wanted; None elsewhere."""
    match event:
        case ToolCall():
            return "tool", event.id
        case Data():
            return _data_type(event.name), event.id or event.name
        case Progress():
            return _data_type(event.kind), event.label
        case Text() if event.kind not in _PIECEWISE:
            return _data_type(event.kind), event.kind
        case _:
            return None


def opening(part: Part) -> Sequence[Json]:
    """The chunks that a part begins with, as far as it has come."""
    event, id_ = part.event, part.id
    match event:
        case Text():
            return _opened(part, event)
        case ToolCall():
            call = {
                "type": "tool-input-available",
                "toolCallId": id_,
                "toolName": event.name,
                "input": plain(event.arguments),
                "dynamic": True,
                # Otherwise the page would be asked to run it.
                "providerExecuted": True,
            }
            return (call, *returned(part))
        case Data():
            return (_data(event.name, event.value, id_),)
        case Progress():
            told = {"label": event.label, "done": event.done, "total": event.total}
            return (_data(event.kind, told, id_),)
        case Source():
            source = {"type": "source-url", "sourceId": id_, "url": event.url, "title": event.title}
            return (source,)
        case _:
            return (_data(event.kind, members(event)),)


def continuing(part: Part, text: str) -> Sequence[Json]:
    """The chunks for another piece of a part's text, which the part has already."""
    name = _PIECEWISE.get(part.event.kind)
    if name is not None:
        return ({"type": f"{name}-delta", "id": part.id, "delta": text},)
    if part.length - part.told >= part.told / _GROWTH:
        return (_whole(part),)
    return ()


def closing(part: Part) -> Sequence[Json]:
    """The chunks that a part ends with, when another begins or the answer is over."""
    if not isinstance(part.event, Text):
        return ()
    name = _PIECEWISE.get(part.event.kind)
    if name is not None:
        return ({"type": f"{name}-end", "id": part.id},)
    return (_whole(part),) if part.told < part.length else ()


def returned(part: Part) -> Sequence[Json]:
    """The chunk for the result of a call, if there is one."""
    result = part.result
    if result is None:
        return ()
    about = {"toolCallId": part.id, "dynamic": True, "providerExecuted": True}
    if result.error is None:
        output = plain(result.output)
        return ({"type": "tool-output-available", **about, "output": output},)
    return ({"type": "tool-output-error", **about, "errorText": result.error},)


def _opened(part: Part, event: Text) -> Sequence[Json]:
    name = _PIECEWISE.get(event.kind)
    if name is None:
        return (_whole(part),)
    return (
        {"type": f"{name}-start", "id": part.id},
        {"type": f"{name}-delta", "id": part.id, "delta": part.text},
    )


def _whole(part: Part) -> Json:
    part.told = part.length
    return _data(part.event.kind, {**members(part.event), "text": part.text}, part.id)


def _data_type(name: str) -> str:
    return f"data-{name}"


def _data(name: str, value: object, id_: str | None = None) -> Json:
    chunk = {"type": _data_type(name), "data": plain(value)}
    return chunk if id_ is None else {**chunk, "id": id_}
