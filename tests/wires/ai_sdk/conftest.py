"""The flows' emulator, with a function that has the wire."""

import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.wires import node, served
from tests.wires.ai_sdk.message import Chunk, as_json, expected

SCRIPT = Path(__file__).with_name("chat.mjs")

Turn = tuple[str, Mapping[str, Any]]
Told = dict[str, Any]


@dataclass(frozen=True)
class Deployed(served.Deployed):
    """A function with the wire, and clients of it."""

    PATHS = "/ai-sdk/"

    def page(self, transport: str, *turns: Turn, **options: Any) -> dict[str, Any]:
        """A page for the script. Only a workflow transport comes back by itself."""
        usual = {
            "url": self.url,
            "transport": transport,
            "id": f"chat-{uuid.uuid4()}",
            "turns": turns,
            "again": transport == "default",
        }
        return usual | options

    async def chat(self, transport: str, *turns: Turn, **options: Any) -> list[Told]:
        """The state of a page after each turn."""
        return await self.chats([self.page(transport, *turns, **options)])

    async def chats(self, pages: list[dict[str, Any]]) -> list[Told]:
        """The states of pages after each of their turns, in the order of time."""
        async with node.running(SCRIPT, json.dumps(pages), timeout=100) as script:
            return await script.rest()

    async def assert_exact(self, told: Told, status: str = "done") -> Mapping[str, Any]:
        """Assert that the last message has the parts of its stream; returns it."""
        message: Mapping[str, Any] = told["messages"][-1]
        snapshot = await self.snapshot(message["id"])
        assert snapshot["status"] == status
        assert message["metadata"]["status"] == status
        assert shown(message) == as_json(expected(snapshot["parts"]))
        roles = [message["role"] for message in told["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2), "no message comes twice"
        return message


def shown(message: Mapping[str, Any]) -> list[Chunk]:
    """The parts of a client's message in the members that a server determines."""
    parts = [part for part in message["parts"] if part["type"] != "step-start"]
    return [_shown(part, index) for index, part in enumerate(parts)]


def _shown(part: Chunk, index: int) -> Chunk:
    told = dict(part)
    match part["type"]:
        case "text":
            told["id"] = str(index)  # The client does not keep it.
        case "dynamic-tool":
            assert told.pop("providerExecuted")
        case _:
            pass
    return told


Deploy = Callable[..., AbstractAsyncContextManager[Deployed]]


@pytest.fixture
def deploy(start: Start) -> Deploy:
    """A way to run the function, for the length of an `async with`."""
    return served.deploying(start, "tests.wires.ai_sdk.function.handler", Deployed)
