"""The flows' emulator, with a function that has the wire."""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Function, Start, dynamodb_url, moto_url, start, task_root
from tests.wires import node
from tests.wires.ai_sdk.message import Chunk, as_json, expected

__all__ = ["dynamodb_url", "moto_url", "start", "task_root"]

SCRIPT = Path(__file__).with_name("chat.mjs")
FUNCTION = Path(__file__).with_name("chat_function.py")

Turn = tuple[str, Mapping[str, Any]]
Told = dict[str, Any]


@dataclass(frozen=True)
class Deployed:
    """A function with the wire, and clients of it."""

    function: Function

    @property
    def url(self) -> str:
        return str(self.function.http.base_url).rstrip("/")

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

    async def snapshot(self, stream_id: str) -> dict[str, Any]:
        """The stream as the server tells it."""
        answered = await self.function.http.get(f"/streams/{stream_id}")
        assert answered.status_code == 200, answered.text
        snapshot: dict[str, Any] = answered.json()
        return snapshot

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
def deploy(start: Start, task_root: Path) -> Deploy:
    """A way to run the function, for the length of an `async with`."""
    here = task_root / FUNCTION.name
    if not here.exists():
        here.symlink_to(FUNCTION)

    @asynccontextmanager
    async def deployed(
        env: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Deployed]:
        usual = {"DEMO_TOKENS": "40", "DEMO_TOKENS_PER_SECOND": "80", "DEMO_FIRST_TOKEN_MS": "20"}
        env = {**usual, **(env or {})}
        async with start(env, handler="chat_function.handler", **options) as function:
            yield Deployed(function)

    return deployed
