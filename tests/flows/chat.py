"""A model behind an OpenAI-compatible HTTP server, whose every move a test decides.

It knows one text by heart. Given the beginning of it as the assistant's turn, it goes on exactly
there, as vLLM does; asked in words to go on, it does so too, but repeats some of it first.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

# Characters of one to four bytes, white space where an attempt may break off, nothing twice.
TEXT = "".join(f"{number}. naïve — 三 🚀\n\n" for number in range(40))
REPEATED = 30

_EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_PATIENCE = 40
_CHUNK = 7


@dataclass
class Conversation:
    """One request to the model, which waits for its answer. `said` is how far the text went."""

    headers: dict[str, str]
    body: dict[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    said: int = 0
    begun: bool = field(default=False, init=False)

    async def say_up_to(self, position: int) -> None:
        """Say the text up to there, in chunks of a few characters."""
        for start in range(self.said, position, _CHUNK):
            await self._send({"content": TEXT[start : min(start + _CHUNK, position)]})
        self.said = position

    async def think(self, text: str) -> None:
        """Say something that is reasoning, not answer."""
        await self._send({"reasoning_content": text})

    async def finish(self) -> None:
        """Say the rest, and that it is the end."""
        await self.say_up_to(len(TEXT))
        await self._send({}, "stop")
        self.writer.write(b"0\r\n\r\n")
        self.writer.close()

    async def call(self, name: str, **arguments: str) -> None:
        """Call a tool, in two pieces, and end the turn."""
        written = json.dumps(arguments)
        begun = {"name": name, "arguments": written[:3]}
        await self._send({"tool_calls": [{"index": 0, "id": "call_1", "function": begun}]})
        rest = {"arguments": written[3:]}
        await self._send({"tool_calls": [{"index": 0, "function": rest}]})
        await self._send({}, "tool_calls")
        self.writer.write(b"0\r\n\r\n")
        self.writer.close()

    def refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": {"message": message, "type": "error", "code": None}}).encode()
        head = f"HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        self.writer.close()

    def cut(self) -> None:
        """Close the connection in an orderly way, in the middle of everything."""
        self.writer.close()

    async def hung_up(self, within: float) -> None:
        """Return when the client has ended the connection."""
        async with asyncio.timeout(within):
            assert await self.reader.read() == b""

    async def _send(self, delta: dict[str, Any], finish_reason: str | None = None) -> None:
        if not self.begun:
            self.begun = True
            self.writer.write(_EVENTS)
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        data = f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n".encode()
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()


class Chat:
    """The model's side: one conversation for each request, in the order in which they come."""

    def __init__(self) -> None:
        self.url = ""
        self._arrivals: asyncio.Queue[Conversation] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def next(self) -> Conversation:
        async with asyncio.timeout(_PATIENCE):
            return await self._arrivals.get()

    @property
    def waiting(self) -> int:
        return self._arrivals.qsize()

    async def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = head.rstrip().split("\r\n")
        assert line == "POST /v1/chat/completions HTTP/1.1"
        headers = {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        position = _position(body)
        self._arrivals.put_nowait(Conversation(headers, body, reader, writer, position))

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def _position(body: dict[str, Any]) -> int:
    """The position in the text at which the answer to this request begins."""
    last = body["messages"][-1]
    if last["role"] == "assistant":
        assert body["continue_final_message"]
        assert not body["add_generation_prompt"]
        assert TEXT.startswith(last["content"])
        return len(last["content"])
    _, found, quoted = last["content"].partition("<delivered>")
    if not found:
        return 0
    delivered = quoted.partition("</delivered>")[0]
    assert TEXT.startswith(delivered)
    return max(0, len(delivered) - REPEATED)


@asynccontextmanager
async def chat() -> AsyncIterator[Chat]:
    """The model, on a free port of this machine."""
    model = Chat()
    server = await asyncio.start_server(model.arrived, "127.0.0.1", 0)
    model.url = "http://{}:{}/v1".format(*server.sockets[0].getsockname())
    try:
        yield model
    finally:
        model.close()
        server.close()
