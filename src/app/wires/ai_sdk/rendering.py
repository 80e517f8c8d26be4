"""Rendering: from the records of a stream to the chunks of a UI message.

The parts are those of `app.folding.fold`, by the same rules. The whole answer is one step of the
AI SDK, so that `reset-step` takes all parts away, and the parts that still count are sent again.
Every stream ends with `finish`: a WorkflowChatTransport that has not seen it asks again, for ever.
"""

from collections.abc import Callable, Mapping, Sequence

from app.events import Data, Done, Progress, Start, ToolCall, ToolResult
from app.wires.ai_sdk.parts import (
    Part,
    closing,
    continuing,
    opening,
    returned,
    wanted_id,
)
from app.wires.rendering import Json, Rendering
from durable_stream import Cancelled, Event, Failed, Record, Reset, Text
from durable_stream.events import ENGINE, other_members

STEP: Json = {"type": "start-step"}
ANEW: Json = {"type": "reset-step"}
FINISH: Json = {"type": "finish"}

# The reasons of the AI SDK; any other is refused by its clients (ai, src/ui-message-stream).
_REASONS = frozenset({"stop", "length", "content-filter", "tool-calls", "error"})


class AiSdkRendering:
    """The chunks of one stream, for a client of the AI SDK."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        # The parts that a later event of the same kind and name replaces.
        self._named: dict[tuple[str, str], Part] = {}
        # The calls of an id that wait for a result, oldest first.
        self._calls: dict[str, list[Part]] = {}
        self._ids: set[tuple[str, str]] = set()

    def render(self, record: Record) -> Sequence[Json]:
        """The chunks for the next record."""
        event = record.event
        match event:
            case Text():
                return self._say(event)
            case Start():
                return _started(record.stream_id, event)
            case Reset():
                return self._start_over(event.within)
            case _ if event.terminal:
                return (*self._close(), *_ended(event))
            case _:
                return () if isinstance(event, ENGINE) else self._tell(event)

    def _tell(self, event: Event) -> Sequence[Json]:
        match event:
            case ToolResult() if self._calls.get(event.id):
                call = self._calls[event.id].pop(0)
                call.result = event
                return returned(call)
            case Data() | Progress():
                return self._replace(event)
            case _:
                return self._add(event)

    def _say(self, event: Text) -> Sequence[Json]:
        last = self._parts[-1] if self._parts else None
        if last is None or not _continues(last.event, event):
            return self._add(event)
        last.add(event.text)
        return continuing(last, event.text)

    def _replace(self, event: Data | Progress) -> Sequence[Json]:
        name = _name(event)
        part = self._named.get(name)
        if part is None:
            return self._add(event)
        earlier, part.event = part.event, event
        if isinstance(event, Data) and isinstance(earlier, Data) and earlier.name != event.name:
            return self._again(self._parts)  # A part keeps its type, which has the name in it.
        return opening(part)

    def _add(self, event: Event) -> Sequence[Json]:
        closed = self._close()
        return (*closed, *opening(self._put(Part(event, ""))))

    def _close(self) -> Sequence[Json]:
        return closing(self._parts[-1]) if self._parts else ()

    def _start_over(self, key: str) -> Sequence[Json]:
        """Take away the parts that do not count any more: all, or those of a step."""
        left = [part for part in self._parts if key and part.event.within != key]
        lost = [part for part in left if part.result and part.result.within == key]
        if len(left) == len(self._parts) and not lost:
            return ()
        for part in lost:
            part.result = None
        return self._again(left)

    def _again(self, parts: Sequence[Part]) -> Sequence[Json]:
        """Take all parts away, and send these from their beginning."""
        self._forget()
        chunks: list[Json] = [ANEW]
        for part in parts:
            chunks += self._close()
            chunks += opening(self._put(part))
        return chunks

    def _forget(self) -> None:
        self._parts = []
        self._named.clear()
        self._calls.clear()
        self._ids.clear()

    def _put(self, part: Part) -> Part:
        """Put a part behind the others, under an id that no other part has."""
        event = part.event
        part.id = self._free_id(wanted_id(event))
        match event:
            case Text() if not part.pieces:
                part.add(event.text)
            case ToolCall() if part.result is None:
                self._calls.setdefault(event.id, []).append(part)
            case Data() | Progress():
                self._named[_name(event)] = part
            case _:
                pass
        self._parts.append(part)
        return part

    def _free_id(self, wanted: tuple[str, str] | None) -> str:
        if wanted is None:
            return str(len(self._parts))
        kind, id_ = wanted
        free, number = id_, 1
        while (kind, free) in self._ids:
            number += 1
            free = f"{id_}:{number}"
        self._ids.add((kind, free))
        return free


VERSIONS: Mapping[int, Callable[[], Rendering]] = {1: AiSdkRendering}


def _started(stream_id: str, start: Start) -> Sequence[Json]:
    about = {"streamId": stream_id, "agent": start.agent, "model": start.model}
    return (
        {"type": "start", "messageId": stream_id, "messageMetadata": about},
        STEP,
    )


def _ended(event: Event) -> Sequence[Json]:
    """The end of a message. Its `status` in the metadata tells the page that it is whole."""
    over: Json = {"type": "finish-step"}
    match event:
        case Failed():
            # The client reads nothing behind an error.
            told = {"type": "message-metadata", "messageMetadata": {"status": "error"}}
            error = {"type": "error", "errorText": event.message}
            return (over, told, error, {**FINISH, "finishReason": "error"})
        case Cancelled():
            return (over, {"type": "abort"}, _finish("other", {"status": "cancelled"}))
        case Done():
            usage = {"inputTokens": event.input_tokens, "outputTokens": event.output_tokens}
            return (over, _finish(event.finish_reason, {"status": "done", "usage": usage}))
        case _:
            return (over, _finish("other", {"status": "done"}))


def _finish(reason: str, about: Json) -> Json:
    known = reason if reason in _REASONS else "other"
    return {**FINISH, "finishReason": known, "messageMetadata": about}


def _continues(last: Event, text: Text) -> bool:
    return (
        isinstance(last, Text)
        and type(last) is type(text)
        and other_members(last) == other_members(text)
    )


def _name(event: Data | Progress) -> tuple[str, str]:
    if isinstance(event, Data):
        return event.kind, event.id or event.name
    return event.kind, event.label
