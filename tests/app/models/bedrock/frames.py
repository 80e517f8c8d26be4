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


def text(text: str) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


def reasoning(**delta: str) -> bytes:
    delta_ = {"reasoningContent": delta}
    return event("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta_})


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
