"""A model that answers at once: as many deltas as `max_tokens` asks for, each sent on its own.

It speaks as OpenAI, Anthropic or Bedrock, as it is asked. Its answers are made beforehand.
"""

import binascii
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TEXT = " token"

_SSE = "text/event-stream"
_EVENT_STREAM = "application/vnd.amazon.eventstream"


@contextmanager
def serving() -> Iterator[str]:
    """The URL of the model, for as long as the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Conversation) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield "http://{}:{}".format(*server.server_address)
        finally:
            server.shutdown()
            thread.join()


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        settings = asked.get("inferenceConfig", asked)
        tokens = settings.get("maxTokens") or settings["max_tokens"]
        if self.path.endswith("/chat/completions"):
            kind, events = _SSE, _openai(tokens)
        elif self.path.endswith("/messages"):
            kind, events = _SSE, _anthropic(tokens)
        else:
            kind, events = _EVENT_STREAM, _bedrock(tokens)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            self.wfile.write(event)

    def log_message(self, *_: Any) -> None:
        """Write no access log."""


@cache
def _openai(tokens: int) -> Sequence[bytes]:
    def chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"object": "chat.completion.chunk", "choices": [choice]}

    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": tokens}}
    events = [*[chunk({"content": TEXT})] * tokens, chunk({}, "stop"), usage]
    return _chunked([*map(_sse, events), b"data: [DONE]\n\n"])


@cache
def _anthropic(tokens: int) -> Sequence[bytes]:
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": TEXT},
    }
    text = {"type": "text", "text": ""}
    usage = {"input_tokens": 1, "output_tokens": tokens}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"role": "assistant", "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": text},
        *[delta] * tokens,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]
    return _chunked([b"event: %b\n%b" % (e["type"].encode(), _sse(e)) for e in events])


@cache
def _bedrock(tokens: int) -> Sequence[bytes]:
    delta = _frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": TEXT}})
    usage = {"inputTokens": 1, "outputTokens": tokens, "totalTokens": tokens + 1}
    return _chunked(
        [
            _frame("messageStart", {"role": "assistant"}),
            *[delta] * tokens,
            _frame("contentBlockStop", {"contentBlockIndex": 0}),
            _frame("messageStop", {"stopReason": "end_turn"}),
            _frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
        ]
    )


def _chunked(events: Sequence[bytes]) -> Sequence[bytes]:
    return [*(b"%x\r\n%b\r\n" % (len(event), event) for event in events), b"0\r\n\r\n"]


def _sse(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _frame(event: str, payload: dict[str, Any]) -> bytes:
    """One message of AWS's event stream: lengths, their CRC, headers, payload, CRC of it all."""
    named = {":event-type": event, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(_header(name, value) for name, value in named.items())
    body = json.dumps(payload).encode()
    # Three numbers of four bytes in front, one at the end.
    lengths = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = lengths + struct.pack("!I", binascii.crc32(lengths)) + headers + body
    return message + struct.pack("!I", binascii.crc32(message))


def _header(name: str, value: str) -> bytes:
    text = 7
    return struct.pack(f"!B{len(name)}sBH", len(name), name.encode(), text, len(value)) + (
        value.encode()
    )
