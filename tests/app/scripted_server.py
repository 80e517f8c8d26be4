"""A server that plays the faults of networks and servers: each answer is scripted to the byte."""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

HELD_BACK = 0.4


@dataclass(frozen=True)
class Request:
    """A request that the server received."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: value for name, (value,) in parse_qs(self.target.partition("?")[2]).items()}

    @property
    def shown(self) -> tuple[str | None, str | None]:
        """The credentials: an access token, and the token of a stream."""
        return self.headers.get("authorization"), self.query.get("token")


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Answers each path with the answers scripted for it, in order, and records the requests.

    The files of the page are always there. A path without further scripts has its usual answer.
    """

    page: dict[str, Answer]
    usual: dict[str, Answer] = field(default_factory=dict)
    scripts: defaultdict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    requests: list[Request] = field(default_factory=list)
    unexpected: list[Request] = field(default_factory=list)

    def script(self, path: str, *answers: Answer) -> None:
        self.scripts[path].extend(answers)

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.target.partition("?")[0] == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            await self._answer(request)(reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the browser left
        finally:
            writer.close()

    def _answer(self, request: Request) -> Answer:
        path = request.target.partition("?")[0]
        if path in self.page:
            return self.page[path]
        self.requests.append(request)
        if self.scripts[path]:
            return self.scripts[path].popleft()
        if path in self.usual:
            return self.usual[path]
        self.unexpected.append(request)
        return answer(404)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.partition(": ") for line in head[1:] if line)
    headers = {name.lower(): value for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


def answer(
    status: int,
    body: object = None,
    kind: str = "application/json",
    *,
    retry_after: int | None = None,
    kinds: str | None = None,
    policy: str | None = None,
) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nConnection: close\r\n"
        if retry_after is not None:
            head += f"Retry-After: {retry_after}\r\n"
        if kinds is not None:
            head += f"Event-Kinds: {kinds}\r\n"
        if policy is not None:
            head += f"Content-Security-Policy: {policy}\r\n"
        length = "" if status == 204 else f"Content-Length: {len(content)}\r\n"
        writer.write(f"{head}{length}\r\n".encode() + (b"" if status == 204 else content))

    return send


def sse(*frames: bytes, hang: bool = False) -> Answer:
    """An event stream of these bytes, which then ends or stays open in silence."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        writer.write(head + b"retry: 20\n\n" + b"".join(frames))
        if hang:
            await silence(reader, writer)

    return send


def late(send: Answer) -> Answer:
    """An answer that a proxy buffers, and then passes on as a whole."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(HELD_BACK)
        await send(reader, writer)

    return wait


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Send nothing more until the browser leaves."""
    await reader.read()


async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break the connection instead of answering."""
    writer.transport.abort()


def frame(seq: int, kind: str, data: object, stream: str = "s") -> bytes:
    payload = json.dumps(data, ensure_ascii=False)
    return f"event: {kind}\ndata: {payload}\nid: {stream}:{seq}\n\n".encode()
