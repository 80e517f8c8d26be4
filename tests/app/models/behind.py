"""A server of chat completions that stands behind another server: it calls tools."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.app.models.services import CALLS
from tests.app.models.wires import frame

ANSWER = "naïve café 🚀\n\nIt is the end of “it”."
TEXT = "I look it up."
_COUNTS = {"prompt_tokens": 11, "completion_tokens": 7}


@dataclass
class Behind:
    """The server's address, and the bodies of its requests."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def behind() -> Iterator[Behind]:
    """Calls the tools of tests.app.models.services.CALLS, and answers to their results.

    It refuses requests without tools. It streams if it is asked to.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            running.asked.append(body)
            kind, answer = _answer(body)
            self.send_response(200 if body.get("tools") else 400)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Behind("http://{}:{}".format(*server.server_address))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield running
        server.shutdown()


def _answer(body: dict[str, Any]) -> tuple[str, bytes]:
    """The media type and the body of an answer."""
    knows = any(message["role"] == "tool" for message in body["messages"])
    message = {"content": ANSWER} if knows else {"content": TEXT, "tool_calls": [*_calls()]}
    end = "stop" if knows else "tool_calls"
    if body.get("stream"):
        chunks = [*_chunks(message), _choices({}, end), {"choices": [], "usage": _COUNTS}]
        return "text/event-stream", b"".join(map(frame, chunks))
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": end}
    return "application/json", json.dumps({"choices": [choice], "usage": _COUNTS}).encode()


def _calls() -> Iterator[dict[str, Any]]:
    for call in CALLS:
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        yield {"id": call.id, "type": "function", "function": function}


def _chunks(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The message in pieces. LiteLLM drops arguments that come with the name."""
    yield _choices({"role": "assistant", "content": message["content"]})
    for index, call in enumerate(message.get("tool_calls", ())):
        text = call["function"]["arguments"]
        begun = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield _choices({"tool_calls": [begun]})
        for piece in (text[:7], text[7:]):
            if piece:
                yield _choices({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


def _choices(delta: dict[str, Any], end: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return {"object": "chat.completion.chunk", "choices": [choice]}
