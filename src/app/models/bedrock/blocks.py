"""The blocks of a turn on ConverseStream, to send back as they came.

Only calls of tools announce their blocks. Text and reasoning just begin, and the number of a block
tells it from the one before.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.models.bedrock.connections import ServiceEvent
from app.models.calls import Draft
from app.models.turns import Call, Round, whole_text

WIRE = "bedrock"

IDS = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

Block = dict[str, Any]


class Blocks:
    """Collects the blocks of one turn."""

    def __init__(self) -> None:
        # A block is a draft of a call, or the members of text or reasoning, with their kind.
        self._blocks: list[Draft | dict[str, Any]] = []
        self._open: dict[int, Draft | dict[str, Any]] = {}

    @property
    def drafts(self) -> list[Draft]:
        """The calls, in order."""
        return [each for each in self._blocks if isinstance(each, Draft)]

    def take(self, event: ServiceEvent) -> None:
        """Read one event of the stream."""
        match event:
            case {"contentBlockStart": {"start": {"toolUse": {**tool}}, **at}}:
                id_, name = str(tool.get("toolUseId") or ""), str(tool.get("name") or "")
                self._begin(at, Draft(id_, name))
            case {"contentBlockDelta": {"delta": {"text": str(text)}, **at}}:
                self._add(at, "text", text)
            case {"contentBlockDelta": {"delta": {"reasoningContent": {**reasoning}}, **at}}:
                for member, value in reasoning.items():
                    if isinstance(value, str) and member in {"text", "signature"}:
                        self._add(at, "reasoning", value, member)
                    elif member == "redactedContent" and isinstance(value, bytes):
                        redacted = base64.b64encode(value).decode()
                        self._begin(at, {"kind": "redacted", "data": redacted})
            case {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, **at}}:
                draft = self._open.get(_index(at))
                if isinstance(draft, Draft):
                    draft.text += piece if isinstance(piece, str) else json.dumps(piece)
            case _:
                pass

    def content(self, calls: Sequence[Call]) -> dict[str, Any]:
        """The turn as JSON, for `sent_back`; its calls are `calls`."""
        left = iter(calls)
        blocks = [_call(next(left)) if isinstance(each, Draft) else each for each in self._blocks]
        content: dict[str, Any] = whole_text({WIRE: blocks})
        return content

    def _begin(self, at: Mapping[Any, Any], block: Draft | dict[str, Any]) -> None:
        self._blocks.append(block)
        self._open[_index(at)] = block

    def _add(self, at: Mapping[Any, Any], kind: str, text: str, member: str = "text") -> None:
        block = self._open.get(_index(at))
        if not isinstance(block, dict) or block["kind"] != kind:
            block = {"kind": kind}
            self._begin(at, block)
        block[member] = block.get(member, "") + text


def sent_back(turn: Round) -> list[Block]:
    """The blocks of the turn as ConverseStream takes them.

    It refuses blank text, and reasoning without a signature.
    """
    blocks = turn.content.get(WIRE) or _neutral(turn)
    return [sent for each in blocks if (sent := _sent(each)) is not None]


def _neutral(turn: Round) -> list[Block]:
    """The blocks of a turn that came on another wire."""
    return [{"kind": "text", "text": turn.text}, *map(_call, turn.calls)]


def _call(call: Call) -> Block:
    return {
        "kind": "call",
        "id": call.id,
        "name": call.name,
        "input": call.arguments,
    }


def _sent(block: Mapping[str, Any]) -> Block | None:
    match block:
        case {"kind": "text", "text": str(text)} if text.strip():
            return {"text": text}
        case {"kind": "call", "id": id_, "name": name, "input": arguments}:
            return {"toolUse": {"toolUseId": id_, "name": name, "input": arguments}}
        case {"kind": "reasoning", "signature": signature}:
            reasoning = {"text": block.get("text", ""), "signature": signature}
            return {"reasoningContent": {"reasoningText": reasoning}}
        case {"kind": "redacted", "data": data}:
            return {"reasoningContent": {"redactedContent": base64.b64decode(data)}}
        case _:
            return None


def _index(at: Mapping[Any, Any]) -> int:
    index = at.get("contentBlockIndex", 0)
    return index if isinstance(index, int) else 0
