"""The events and the messages of AG-UI 1.0, as JSON.

https://docs.ag-ui.com/sdk/js/core/events and https://docs.ag-ui.com/sdk/js/core/types
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.wires.frames import compact
from app.wires.rendering import Json

VERSION = "1.0"

# @ag-ui/client keeps activities that a snapshot leaves out, if the snapshot owns no type of them;
# those of earlier runs are never sent to a server, so it can list them in no snapshot.
_OWNS_NO_ACTIVITIES: Json = {"@ag-ui/client": {"authoritativeActivityTypes": []}}


def run_started(thread_id: str, run_id: str, stream_id: str) -> Json:
    """The first event of every response; its metadata name the stream."""
    return {
        "type": "RUN_STARTED",
        "threadId": thread_id,
        "runId": run_id,
        "protocolVersion": VERSION,
        "metadata": {"stream_id": stream_id},
    }


def run_finished(thread_id: str, run_id: str, outcome: str, **more: Any) -> Json:
    """The end of a run that did not fail; `outcome` is `success` or `cancelled`."""
    run = {"threadId": thread_id, "runId": run_id}
    return {"type": "RUN_FINISHED", **run, "outcome": {"type": outcome}, **more}


def run_error(code: str, message: str) -> Json:
    """The end of a response that brings no `RUN_FINISHED`."""
    return {"type": "RUN_ERROR", "message": message, "code": code}


@dataclass(frozen=True, slots=True)
class TextForm:
    """A kind of text message, by its events: those around it, and that of its pieces."""

    starts: Sequence[Json]
    piece: str
    ends: Sequence[str]

    def start(self, id_: str) -> list[Json]:
        """Open a message. It may exist already."""
        return [{**event, "messageId": id_} for event in self.starts]

    def content(self, id_: str, delta: str) -> Json:
        """Append to the open message."""
        return {"type": self.piece, "messageId": id_, "delta": delta}

    def end(self, id_: str) -> list[Json]:
        """Close the message."""
        return [{"type": type_, "messageId": id_} for type_ in self.ends]


TEXT = TextForm(
    [{"type": "TEXT_MESSAGE_START", "role": "assistant"}],
    "TEXT_MESSAGE_CONTENT",
    ["TEXT_MESSAGE_END"],
)
REASONING = TextForm(
    [{"type": "REASONING_START"}, {"type": "REASONING_MESSAGE_START", "role": "reasoning"}],
    "REASONING_MESSAGE_CONTENT",
    ["REASONING_MESSAGE_END", "REASONING_END"],
)


def tool_call(id_: str, name: str, arguments: Any) -> list[Json]:
    """A call at once; the client makes a message of the assistant with the call's id for it."""
    return [
        {"type": "TOOL_CALL_START", "toolCallId": id_, "toolCallName": name},
        {"type": "TOOL_CALL_ARGS", "toolCallId": id_, "delta": compact(arguments)},
        {"type": "TOOL_CALL_END", "toolCallId": id_},
    ]


def tool_result(message: Json) -> Json:
    """The event that makes the client insert this message of a tool behind its call."""
    result = {key: value for key, value in message.items() if key != "id"}
    return {"type": "TOOL_CALL_RESULT", "messageId": message["id"], **result}


def activity_snapshot(id_: str, type_: str, content: Json) -> Json:
    """The event that makes the client show an activity, or show it anew."""
    shown = {"activityType": type_, "content": content}
    return {"type": "ACTIVITY_SNAPSHOT", "messageId": id_, **shown, "replace": True}


def custom(name: str, value: Any) -> Json:
    """An event that the protocol hands to the application."""
    return {"type": "CUSTOM", "name": name, "value": value}


def messages_snapshot(messages: Sequence[Json]) -> Json:
    """All messages of the conversation; the client drops others, but for activities."""
    return {
        "type": "MESSAGES_SNAPSHOT",
        "messages": list(messages),
        "metadata": _OWNS_NO_ACTIVITIES,
    }


def state_added(key: str, value: Any) -> list[Json]:
    """The operations that set a member of the state (RFC 6902)."""
    return [{"op": "add", "path": _pointer(key), "value": value}]


def state_removed(key: str) -> list[Json]:
    """The operations that remove a member of the state, be it there or not."""
    path = _pointer(key)
    return [{"op": "add", "path": path, "value": None}, {"op": "remove", "path": path}]


def state_delta(operations: Iterable[Json]) -> list[Json]:
    """The event that changes the state; none without operations."""
    delta = list(operations)
    return [{"type": "STATE_DELTA", "delta": delta}] if delta else []


def assistant_message(id_: str, text: str) -> Json:
    """A message of the assistant."""
    return {"id": id_, "role": "assistant", "content": text}


def reasoning_message(id_: str, text: str) -> Json:
    """A message of reasoning."""
    return {"id": id_, "role": "reasoning", "content": text}


def call_message(id_: str, name: str, arguments: Any) -> Json:
    """The message that the client makes of `tool_call`."""
    function = {"name": name, "arguments": compact(arguments)}
    call = {"id": id_, "type": "function", "function": function}
    return {"id": id_, "role": "assistant", "toolCalls": [call]}


def tool_message(id_: str, call_id: str, output: Any, error: str | None) -> Json:
    """The message of a tool. Of a tool that failed, the content is the error."""
    text = error if error is not None else output if isinstance(output, str) else compact(output)
    message = {"id": id_, "role": "tool", "toolCallId": call_id, "content": text}
    return message if error is None else {**message, "metadata": {"failed": True}}


def activity_message(id_: str, type_: str, content: Json) -> Json:
    """A message that shows an activity."""
    return {"id": id_, "role": "activity", "activityType": type_, "content": content}


def _pointer(key: str) -> str:
    """The place of a member of an object (RFC 6901)."""
    return "/" + key.replace("~", "~0").replace("/", "~1")
