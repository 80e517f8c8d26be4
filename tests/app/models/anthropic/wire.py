"""The wire of Anthropic's Messages API."""

from typing import Any

from app.models.anthropic import AnthropicProvider
from tests.app.models.wires import Wire, frame


def block_delta(**delta: Any) -> bytes:
    """A piece of a content block."""
    return frame({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


def message_start(**usage: int) -> bytes:
    return frame({"type": "message_start", "message": {"id": "m", "usage": usage}}, "message_start")


def message_delta(stop_reason: str | None, **usage: int) -> bytes:
    data = {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}
    return frame(data, "message_delta")


def block_start(**block: Any) -> bytes:
    data = {"type": "content_block_start", "index": 0, "content_block": block}
    return frame(data, "content_block_start")


BLOCK_STOP = frame({"type": "content_block_stop", "index": 0}, "content_block_stop")
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
