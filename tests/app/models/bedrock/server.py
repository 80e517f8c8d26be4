"""A Bedrock for tests: it answers each request as the test says, byte by byte."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest

from tests.store import CREDENTIALS

_EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Talk:
    """One request, and its connection."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self, status: int = 200, **headers: str) -> None:
        fields = {
            "Content-Type": _EVENT_STREAM,
            "Transfer-Encoding": "chunked",
            "x-amzn-RequestId": "7f2d",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.send(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode())

    async def refuse(self, status: int, kind: str, message: str = "") -> None:
        """An error in place of a stream."""
        await self.head(
            status,
            Content_Type="application/json",
            x_amzn_ErrorType=f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/",
        )
        await self.chunks(json.dumps({"message": message}).encode())
        await self.end()

    async def chunks(self, *chunks: bytes) -> None:
        for chunk in filter(None, chunks):
            await self.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")

    async def end(self) -> None:
        """End the body properly; the connection may be used again."""
        await self.send(b"0\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang_up(self) -> None:
        """Close the connection at any point of an answer."""
        self.writer.close()

    async def reset(self) -> None:
        """Break the connection, as a peer that crashes does."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def hung_up_within(self, seconds: float) -> None:
        """Return when the other end has closed its connection."""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                assert await self.reader.read() == b""


Answer = Callable[[Talk], Awaitable[None]]


def saying(*frames: bytes) -> Answer:
    """Sends these frames, a chunk for each, and ends the body."""

    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(*frames)
        await talk.end()

    return answer


@dataclass
class Server:
    """A running server; `answer` may be changed at any time."""

    url: str
    answer: Answer
    talks: list[Talk] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(url="", answer=saying())
    writers: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        server.connections += 1
        try:
            while not reader.at_eof():
                talk = await _read(reader, writer)
                server.talks.append(talk)
                await server.answer(talk)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, backlog=512)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def serving_at(
    environment: pytest.MonkeyPatch, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A running server, which boto3 finds through the environment."""
    async with serving(tls) as server:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        environment.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
        yield server


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Talk:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request_line, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    path = unquote(request_line.split(" ")[1])
    return Talk(path, headers, json.loads(body), reader, writer)
