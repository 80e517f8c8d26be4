"""The wire of Anthropic's Messages API."""

from typing import Any

from app.models.anthropic import AnthropicProvider
from tests.app.models.wires import Wire, frame


def block_delta(index: int = 0, **delta: Any) -> bytes:
    """A piece of a content block."""
    data = {"type": "content_block_delta", "index": index, "delta": delta}
    return frame(data, "content_block_delta")


def message_start(**usage: int) -> bytes:
    return frame({"type": "message_start", "message": {"id": "m", "usage": usage}}, "message_start")


def message_delta(stop_reason: str | None, **usage: int) -> bytes:
    data = {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}
    return frame(data, "message_delta")


def block_start(index: int = 0, **block: Any) -> bytes:
    data = {"type": "content_block_start", "index": index, "content_block": block}
    return frame(data, "content_block_start")


def block_stop(index: int = 0) -> bytes:
    return frame({"type": "content_block_stop", "index": index}, "content_block_stop")


def tool_start(id_: str, name: str, index: int = 0) -> bytes:
    return block_start(index, type="tool_use", id=id_, name=name, input={})


def arguments(text: str, index: int = 0) -> bytes:
    """A piece of a tool's arguments."""
    return block_delta(index, type="input_json_delta", partial_json=text)


BLOCK_STOP = block_stop()
MESSAGE_STOP = frame({"type": "message_stop"}, "message_stop")
PING = frame({"type": "ping"}, "ping")

WIRE = Wire(
    "anthropic",
    AnthropicProvider.from_environ,
    frames=[
        message_start(input_tokens=11, output_tokens=1),
        PING,
        block_start(type="thinking", thinking="", signature=""),
        block_delta(type="thinking_delta", thinking="hm… "),
        block_delta(type="signature_delta", signature="c2lnbmVk"),
        BLOCK_STOP,
        block_start(type="text", text=""),
        block_delta(type="text_delta", text="naïve\u2028café"),
        block_delta(type="text_delta", text=" 🚀\n\n"),
        block_delta(type="text_delta", text="data: the end"),
        BLOCK_STOP,
        message_delta("end_turn", output_tokens=7),
        MESSAGE_STOP,
    ],
    completing=13,
    unknown_end=[message_delta("news"), MESSAGE_STOP],
)

# The frames of tests.app.models.services.TURN, and its blocks as they go back.
TURN = [
    block_start(type="thinking", thinking="", signature=""),
    block_delta(type="thinking_delta", thinking="Hm. "),
    block_delta(type="signature_delta", signature="c2ln"),
    BLOCK_STOP,
    block_start(1, type="text", text=""),
    block_delta(1, type="text_delta", text="I look "),
    block_delta(1, type="text_delta", text="it up."),
    block_stop(1),
    tool_start("toolu_1", "weather", 2),
    arguments("", 2),
    arguments('{"city": "Zü', 2),
    arguments('rich", "da', 2),
    arguments('ys": 2}', 2),
    block_stop(2),
    tool_start("toolu_2", "now", 3),
    arguments("", 3),
    block_stop(3),
    message_delta("tool_use", output_tokens=7),
    MESSAGE_STOP,
]
BLOCKS = [
    {"type": "thinking", "thinking": "Hm. ", "signature": "c2ln"},
    {"type": "text", "text": "I look it up."},
    {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "weather",
        "input": {"city": "Zürich", "days": 2},
    },
    {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
]
