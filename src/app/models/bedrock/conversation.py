"""From a request to the arguments of ConverseStream.

It takes alternating roles only, no blank text, no other text beside the results of tools, and tools
in the conversation only where the request declares some.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from app.models.base import Message, Request
from app.models.bedrock.blocks import WIRE, sent_back
from app.models.calls import for_wire
from app.models.continuation import conversation
from app.models.turns import Result, Round, ToolSpec

Block = dict[str, Any]

# There is no other way to forbid calls.
_ANSWER_NOW = "No more tools can be called: answer with what is known now."


def arguments_of(request: Request) -> dict[str, Any]:
    """The arguments of `converse_stream`."""
    turns = [each for turn in conversation(request) for each in _turns(turn)]
    messages = [
        {"role": role, "content": [block for _, blocks in like for block in blocks]}
        for role, like in groupby(turns, lambda turn: turn[0])
    ]
    arguments: dict[str, Any] = {
        "modelId": request.model,
        "messages": messages,
        "inferenceConfig": {"maxTokens": request.max_tokens},
    }
    if request.temperature is not None:
        arguments["inferenceConfig"]["temperature"] = request.temperature
    if request.stop:
        arguments["inferenceConfig"]["stopSequences"] = list(request.stop)
    if request.system:
        arguments["system"] = [{"text": request.system}]
    if tools := [*map(_tool, request.tools or _used(request.rounds))]:
        arguments["toolConfig"] = {"tools": tools}
    if request.answer_now:
        _forbid_calls(messages)
    return arguments


def _turns(turn: Message | Round) -> Iterator[tuple[str, list[Block]]]:
    """The roles and blocks of a turn; for a round, the assistant's and the user's with results."""
    if isinstance(turn, Message):
        yield turn.role, [{"text": turn.content}]
        return
    turn = for_wire(WIRE, turn)
    blocks = sent_back(turn)
    if turn.prefill and blocks and "text" in blocks[0]:
        blocks[0] = {"text": turn.prefill + blocks[0]["text"]}
    elif turn.prefill:
        blocks.insert(0, {"text": turn.prefill})
    if blocks:
        yield "assistant", blocks
    if turn.results:
        yield "user", [*map(_result, turn.results)]


def _result(result: Result) -> Block:
    # Some models refuse any status.
    status = {} if result.error is None else {"status": "error"}
    return {
        "toolResult": {"toolUseId": result.id, "content": [{"text": result.text}], **status},
    }


def _tool(spec: ToolSpec) -> Block:
    return {
        "toolSpec": {
            "name": spec.name,
            "description": spec.description,
            "inputSchema": {"json": spec.parameters},
        }
    }


def _used(rounds: Sequence[Round]) -> list[ToolSpec]:
    """The tools that were called, where the request offers none."""
    names = dict.fromkeys(call.name for each in rounds for call in each.calls)
    return [ToolSpec(name, "No longer to be called.", {"type": "object"}) for name in names]


def _forbid_calls(messages: Sequence[dict[str, Any]]) -> None:
    """Tell the model with the newest result that it may call no more tools."""
    for message in reversed(messages):
        for block in reversed(message["content"]):
            if "toolResult" in block:
                block["toolResult"]["content"].append({"text": _ANSWER_NOW})
                return
