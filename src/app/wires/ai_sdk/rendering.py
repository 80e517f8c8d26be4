"""Rendering: from the records of a stream to the chunks of a UI message.

The parts are those of `app.folding.fold`, by the same rules. The whole answer is one step of the
AI SDK, so that `reset-step` takes all parts away, and the parts that still count are sent again.
Every stream ends with `finish`: a WorkflowChatTransport that has not seen it asks again, for ever.
"""

from collections.abc import Callable, Mapping, Sequence

from app.events import Data, Done, Start, ToolResult
from app.folding import Parts
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

STEP: Json = {"type": "start-step"}
ANEW: Json = {"type": "reset-step"}
FINISH: Json = {"type": "finish"}

# The reasons of the AI SDK; any other is refused by its clients (ai, src/ui-message-stream).
_REASONS = frozenset({"stop", "length", "content-filter", "tool-calls", "error"})


class AiSdkRendering:
    """The chunks of one stream, for a client of the AI SDK."""

    def __init__(self) -> None:
        self._parts = Parts(Part)
        self._ids: set[tuple[str, str]] = set()

    def render(self, record: Record) -> Sequence[Json]:
        """The chunks for the next record."""
        event = record.event
        match event:
            case Start():
                return _started(record.stream_id, event)
            case Reset():
                dropped = self._parts.start_over(event.within)
                return self._again() if dropped.parts or dropped.results else ()
            case _ if event.terminal:
                return (*_closed(self._parts.last), *_ended(event))
            case _:
                return self._tell(event)

    def _tell(self, event: Event) -> Sequence[Json]:
        before, index = self._parts.last, len(self._parts)
        part = self._parts.add(event)
        if part is None:
            return ()
        if len(self._parts) > index:
            return (*_closed(before), *self._opened(part, index))
        match event:
            case Text():
                return continuing(part, event.text)
            case ToolResult():
                return returned(part)
            case Data() if event.name != part.name:
                return self._again()  # A part keeps its type, which has the name in it.
            case _:
                return opening(part)

    def _again(self) -> Sequence[Json]:
        """Take all parts away, and send those that count from their beginning."""
        self._ids.clear()
        chunks: list[Json] = [ANEW]
        before = None
        for index, part in enumerate(self._parts):
            chunks += _closed(before)
            chunks += self._opened(part, index)
            before = part
        return chunks

    def _opened(self, part: Part, index: int) -> Sequence[Json]:
        """The beginning of a part, under an id that no other part has."""
        event = part.event
        part.id = self._free_id(wanted_id(event), index)
        part.name = event.name if isinstance(event, Data) else ""
        return opening(part)

    def _free_id(self, wanted: tuple[str, str] | None, index: int) -> str:
        if wanted is None:
            return str(index)
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


def _closed(part: Part | None) -> Sequence[Json]:
    return closing(part) if part else ()
