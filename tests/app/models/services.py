"""The services of all providers, for rules that hold for the real provider of each.

Each provider that asks a model has its own `service.py`.
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from app.events import Answer, Thinking
from app.models.base import Message, Provider, Request
from app.models.turns import Call, Result, ToolSpec
from app.providers import PROVIDERS
from durable_stream import Event
from tests.app.models.http.model_server import End

FOLDER = Path(__file__).parent
KINDS = [each.name for each in PROVIDERS if (FOLDER / each.name / "service.py").exists()]


# A turn that thinks, speaks, and calls two tools, the second one without arguments.
TURN: list[Event] = [Thinking("Hm. "), Answer("I look "), Answer("it up.")]
CALLS = (Call("toolu_1", "weather", {"city": "Zürich", "days": 2}), Call("toolu_2", "now", {}))
TOOLS = (
    ToolSpec(
        "weather",
        "The weather.",
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    ),
    ToolSpec("now", "The time.", {"type": "object", "properties": {}}),
)
RESULTS = (Result("toolu_1", {"sky": "grün"}), Result("toolu_2", error="no clock"))


@dataclass
class Service:
    """A service that answers its requests in turn with the frames in `answers`.

    The last of them answers all further requests. `text` and `thinking` make a frame of text, and
    `end` are the frames that end an answer. `asked` are the bodies of the requests. While the
    service is `held`, an answer does not end before the client leaves. Text is escaped, so it may
    hold half a surrogate pair.
    """

    provider: Provider
    text: Callable[[str], bytes]
    thinking: Callable[[str], bytes]
    end: Sequence[bytes]
    turn: Sequence[bytes]
    whole: int
    cut_call: Sequence[bytes]
    answers: list[list[bytes]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    held: bool = False

    @property
    def request(self) -> Request:
        """A request for at most 100 tokens."""
        model = self.provider.models[0]
        return Request(messages=(Message("user", "hello"),), model=model, max_tokens=100)

    @property
    def request_with_tools(self) -> Request:
        """The same, with two tools."""
        return replace(self.request, tools=TOOLS)

    @property
    def limits(self) -> list[int]:
        """The `max_tokens` of each request."""
        return [_limit(body) for body in self.asked]

    def take(self, body: dict[str, Any]) -> list[bytes]:
        """Note a request, and return its answer."""
        self.asked.append(body)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@asynccontextmanager
async def service(kind: str, environment: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """A running service, and a provider that asks it."""
    async with import_module(f"tests.app.models.{kind}.service").service(environment) as running:
        yield running
        await running.provider.close()


def end_of(running: Service) -> End:
    return End.HELD if running.held else End.WELL


def escaped(frame: Callable[[str], bytes]) -> Callable[[str], bytes]:
    return lambda text: frame("@").replace(b'"@"', json.dumps(text).encode())


def _limit(body: dict[str, Any]) -> int:
    limit = (
        body["inferenceConfig"]["maxTokens"] if "inferenceConfig" in body else body["max_tokens"]
    )
    assert isinstance(limit, int)
    return limit
