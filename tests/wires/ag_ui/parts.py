"""The parts of a stream, as a client of AG-UI is to show them, and as it does."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from app.events import Answer, Data, Progress, Source, Thinking, ToolCall, ToolResult
from app.folding import Told
from app.wires.values import plain

Json = dict[str, Any]
Custom = tuple[str, Any]

_SHOWN = {event.kind for event in (Answer, Thinking, ToolCall, ToolResult, Progress, Data, Source)}


def expected(parts: Sequence[Told]) -> Json:
    """The parts of a stream, as a client has them."""
    return {
        "in order": [_message(each) for each in parts if _message(each)],
        "results": [_result(each["result"]) for each in _of(parts, ToolCall.kind)],
        "without a call": [_result(each) for each in _of(parts, ToolResult.kind)],
        "state": {
            each["id"] or each["name"]: plain(each["value"]) for each in _of(parts, Data.kind)
        },
        "customs": flat(_custom(each) for each in parts if each["kind"] not in _SHOWN),
    }


def shown(messages: Sequence[Json], state: Json, customs: Iterable[Custom]) -> Json:
    """The same from the messages of an answer, the state, and the custom events."""
    calls = [call["id"] for each in messages for call in each.get("toolCalls") or ()]
    tools = [each for each in messages if each["role"] == "tool"]
    answers = [each for each in tools if each["toolCallId"] in calls]
    results = {each["toolCallId"]: each for each in answers}
    assert len(results) == len(answers), "a call has one result"
    return {
        "in order": [_told(each) for each in messages if each["role"] != "tool"],
        "results": [_told_result(results.get(id_)) for id_ in calls],
        "without a call": [_told_result(each) for each in tools if each not in answers],
        "state": state,
        "customs": flat(customs),
    }


def flat(customs: Iterable[Custom]) -> list[Any]:
    """Custom events, runs of text of one kind and step as one."""
    told: list[Any] = []
    for (name, step, is_text), run in groupby(customs, _sort):
        values = [value for _, value in run]
        if is_text:
            told.append([name, step, "".join(value["text"] for value in values)])
        else:
            told += [[name, step, value] for value in values]
    return told


def _sort(custom: Custom) -> tuple[str, str, bool]:
    name, value = custom
    return name, value.get("step", ""), "text" in value


def _of(parts: Sequence[Told], kind: str) -> list[Told]:
    return [part for part in parts if part["kind"] == kind]


def _custom(part: Told) -> Custom:
    return part["kind"], {name: plain(each) for name, each in part.items() if name != "kind"}


def _message(part: Told) -> Any:
    content = {name: plain(each) for name, each in part.items() if name not in ("kind", "step")}
    match part["kind"]:
        case "answer":
            return ["assistant", part["text"]]
        case "thinking":
            return ["reasoning", part["text"]]
        case "tool_call":
            return ["call", part["name"], plain(part["arguments"])]
        case "progress" | "source" as kind:
            return [kind, content]
        case _:
            return None


def _told(message: Json) -> Any:
    for call in message.get("toolCalls") or ():
        return ["call", call["function"]["name"], json.loads(call["function"]["arguments"])]
    return [message.get("activityType", message["role"]), message["content"]]


def _result(result: Json | None) -> Any:
    if result is None or result["error"] is not None:
        return result and [result["error"], True]
    output = result["output"]
    text = output if isinstance(output, str) else json.dumps(output, separators=(",", ":"))
    return [text, False]


def _told_result(message: Json | None) -> Any:
    return message and [message["content"], message.get("metadata", {}).get("failed", False)]
