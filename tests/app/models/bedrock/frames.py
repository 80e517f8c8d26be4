"""Event-stream frames as Bedrock sends them.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html describes the
encoding: lengths, their CRC, headers, payload, and a CRC over all of it.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

_STRING = 7


def frame(headers: bytes, payload: bytes) -> bytes:
    """One message with correct checksums."""
    total = 12 + len(headers) + len(payload) + 4
    lengths = total.to_bytes(4) + len(headers).to_bytes(4)
    message = lengths + zlib.crc32(lengths).to_bytes(4) + headers + payload
    return message + zlib.crc32(message).to_bytes(4)


def header(name: str, value: str) -> bytes:
    name_, value_ = name.encode(), value.encode()
    return bytes([len(name_)]) + name_ + bytes([_STRING]) + len(value_).to_bytes(2) + value_


def event(kind: str, members: Mapping[str, Any]) -> bytes:
    headers = (
        header(":event-type", kind)
        + header(":content-type", "application/json")
        + header(":message-type", "event")
    )
    return frame(headers, json.dumps({**members, "p": "abcdefghijk"}).encode())


def exception(kind: str, message: str = "what a reader must not see") -> bytes:
    headers = (
        header(":exception-type", kind)
        + header(":content-type", "application/json")
        + header(":message-type", "exception")
    )
    return frame(headers, json.dumps({"message": message}).encode())


def error(code: str) -> bytes:
    headers = (
        header(":error-code", code)
        + header(":error-message", "what a reader must not see")
        + header(":message-type", "error")
    )
    return frame(headers, b"")


START = event("messageStart", {"role": "assistant"})
BLOCK_END = event("contentBlockStop", {"contentBlockIndex": 0})


def text(text: str, index: int = 0) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": text}})


def reasoning(index: int = 0, **delta: str) -> bytes:
    delta_ = {"reasoningContent": delta}
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta_})


def tool_start(id_: str, name: str, index: int = 0) -> bytes:
    start = {"toolUse": {"toolUseId": id_, "name": name}}
    return event("contentBlockStart", {"contentBlockIndex": index, "start": start})


def arguments(text: str, index: int = 0) -> bytes:
    """A piece of a tool's arguments."""
    delta = {"toolUse": {"input": text}}
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def block_end(index: int) -> bytes:
    return event("contentBlockStop", {"contentBlockIndex": index})


def stop(reason: str = "end_turn") -> bytes:
    return event("messageStop", {"stopReason": reason})


def usage(input_tokens: int = 11, output_tokens: int = 22) -> bytes:
    counts = {
        "inputTokens": input_tokens,
        "outputTokens": output_tokens,
        "totalTokens": input_tokens + output_tokens,
    }
    return event("metadata", {"usage": counts, "metrics": {"latencyMs": 5}})


# A model that thinks, and then answers "Hello, world".
ANSWER = (
    START,
    reasoning(text="Hm. "),
    reasoning(signature="c2lnbmF0dXJl"),
    BLOCK_END,
    text("Hello"),
    text(", wörld"),
    BLOCK_END,
    stop(),
    usage(),
)

# The frames of tests.app.models.services.TURN behind the start, and its blocks as they go back.
TURN = (
    reasoning(text="Hm. "),
    reasoning(signature="c2ln"),
    BLOCK_END,
    text("I look ", 1),
    text("it up.", 1),
    block_end(1),
    tool_start("toolu_1", "weather", 2),
    arguments("", 2),
    arguments('{"city": "Zü', 2),
    arguments('rich", "da', 2),
    arguments('ys": 2}', 2),
    block_end(2),
    tool_start("toolu_2", "now", 3),
    block_end(3),
    stop("tool_use"),
    usage(),
)
BLOCKS = [
    {"reasoningContent": {"reasoningText": {"text": "Hm. ", "signature": "c2ln"}}},
    {"text": "I look it up."},
    {
        "toolUse": {
            "toolUseId": "toolu_1",
            "name": "weather",
            "input": {"city": "Zürich", "days": 2},
        }
    },
    {"toolUse": {"toolUseId": "toolu_2", "name": "now", "input": {}}},
]
