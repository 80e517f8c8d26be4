"""HTTP messages between the sandboxes and DynamoDB, whole."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP message with a Content-Length: its head as it came, its headers, its body."""

    head: bytes
    headers: Mapping[str, str]
    body: bytes


def refusal(status: HTTPStatus, error: str) -> Message:
    """DynamoDB's answer when it fails in this way."""
    return answer_of(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{error}"})


def answer_of(status: HTTPStatus, content: object) -> Message:
    """An answer as DynamoDB gives it."""
    body = json.dumps(content).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "Content-Length": str(len(body)),
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    first = f"HTTP/1.1 {status} {status.phrase}"
    return Message("\r\n".join([first, *lines, "", ""]).encode(), headers, body)


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message of a connection; raises EOFError at its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Message(head, headers, body)
