"""The sum of an answer, in terms that both the log and OpenAI's API have."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from app.folding import Told, fold
from app.models.turns import Result
from durable_stream import Record
from durable_stream.text import mended
from tests.wires.logs import events

Said = tuple[str, Any]


def of_log(records: Sequence[Record]) -> list[Said]:
    """The parts of a log by `fold`, without those that OpenAI's API has no form for."""
    return joined(_of_part(part) for part in fold(events(records)))


def of_parts(parts: Iterable[Told]) -> list[Said]:
    """The same of the parts in a snapshot of the server."""
    return joined(_of_part(part) for part in parts)


def of_output(output: Sequence[dict[str, Any]]) -> list[Said]:
    """The same of the items of a response; the output of a call belongs to the call."""
    calls: dict[str, list[Any]] = {}
    said: list[Said] = []
    for item in output:
        match item["type"]:
            case "message":
                said += [("answer", part["text"]) for part in item["content"]]
            case "reasoning":
                said += [("thinking", part["text"]) for part in item["content"]]
            case "function_call":
                call = [item["name"], json.loads(item["arguments"]), None]
                calls[item["call_id"]] = call
                said.append(("call", call))
            case "function_call_output":
                if item["call_id"] in calls:
                    assert calls[item["call_id"]][2] is None
                    calls[item["call_id"]][2] = item["output"]
                else:
                    said.append(("result", item["output"]))
            case unknown:
                raise AssertionError(unknown)
    return joined(said)


def joined(said: Iterable[Said]) -> list[Said]:
    """Texts of one kind that follow one another are one."""
    result: list[Said] = []
    for kind, group in groupby((each for each in said if each[0]), lambda each: each[0]):
        values = [value for _, value in group]
        result += (
            [(kind, without_halves("".join(values)))]
            if kind in _TEXTS
            else [(kind, v) for v in values]
        )
    return result


_TEXTS = ("answer", "thinking")
# A character of two halves, a half, or what stands for one: an item ends with whole characters,
# and the halves of one that stands in two items are lost.
_HALVES = re.compile("[\ud800-\udfff\ufffd\U00010000-\U0010ffff]+")


def without_halves(text: str) -> str:
    return _HALVES.sub("\ufffd", text)


def _of_part(part: Told) -> Said:
    match part["kind"]:
        case "answer" | "thinking":
            return part["kind"], part["text"]
        case "tool_call":
            result = part["result"]
            told = None if result is None else _text(part["id"], result)
            return "call", [part["name"], part["arguments"], told]
        case "tool_result":
            return "result", _text(part["id"], part)
        case _:
            return "", None


def _text(id_: str, result: Told) -> str:
    return mended(Result(id_, result["output"], result["error"]).text)
