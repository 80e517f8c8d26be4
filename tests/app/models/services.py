"""The three kinds of services, for what must hold behind the real provider of each."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.models.base import Message, Provider, Request
from app.models.bedrock import BedrockProvider
from app.models.deadlines import Deadlines
from tests.app.models.bedrock import frames as bedrock
from tests.app.models.bedrock.server import Talk, serving_at
from tests.app.models.http.model_server import End, Reply, model_server
from tests.app.models.wires import (
    ANTHROPIC,
    DONE,
    MESSAGE_STOP,
    OPENAI,
    USAGE,
    block_delta,
    chunk,
    message_delta,
    message_start,
)

CLAUDE = {
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "openai": "a-model",
}
KINDS = tuple(CLAUDE)


@dataclass
class Service:
    """A service that answers one request after the other with the frames in `answers`.

    The last of them answers all further requests too.
    `text` and `thinking` make a frame of text, `end` are the frames that end an answer. `asked`
    are the bodies that came. While it is `held`, an answer does not end until the client leaves.
    Text is escaped, so it may hold half a surrogate pair.
    """

    provider: Provider
    text: Callable[[str], bytes]
    thinking: Callable[[str], bytes]
    end: Sequence[bytes]
    answers: list[list[bytes]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    held: bool = False

    @property
    def request(self) -> Request:
        """One for at most 100 tokens."""
        model = self.provider.models[0]
        return Request(messages=(Message("user", "hello"),), model=model, max_tokens=100)

    @property
    def limits(self) -> list[int]:
        """The longest answers that it was asked for."""
        return [_limit(body) for body in self.asked]

    def take(self, body: dict[str, Any]) -> list[bytes]:
        """Note a request, and return what to answer."""
        self.asked.append(body)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@asynccontextmanager
async def service(kind: str, environment: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """A running service, and a provider that asks it."""
    begin = {"openai": _openai, "anthropic": _anthropic, "bedrock": _bedrock}[kind]
    async with begin(environment) as running:
        yield running
        await running.provider.close()


@asynccontextmanager
async def _openai(_: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with model_server() as server:
        running = Service(
            OPENAI.provider(server.url),
            text=_escaped(lambda text: chunk({"content": text})),
            thinking=_escaped(lambda text: chunk({"reasoning": text})),
            end=[chunk({}, "stop"), USAGE, DONE],
        )
        server.respond = lambda asked: Reply(running.take(asked.body), _end(running))
        yield running


@asynccontextmanager
async def _anthropic(_: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with model_server() as server:
        running = Service(
            ANTHROPIC.provider(server.url, MODELS=CLAUDE["anthropic"]),
            text=_escaped(lambda text: block_delta(type="text_delta", text=text)),
            thinking=_escaped(lambda text: block_delta(type="thinking_delta", thinking=text)),
            end=[message_delta("end_turn", output_tokens=7), MESSAGE_STOP],
        )
        start = message_start(input_tokens=11, output_tokens=1)
        server.respond = lambda asked: Reply([start, *running.take(asked.body)], _end(running))
        yield running


@asynccontextmanager
async def _bedrock(environment: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with serving_at(environment) as server:
        running = Service(
            BedrockProvider((CLAUDE["bedrock"],), Deadlines()),
            text=bedrock.text,
            thinking=lambda text: bedrock.reasoning(text=text),
            end=[bedrock.stop(), bedrock.usage()],
        )

        async def answer(talk: Talk) -> None:
            await talk.head()
            await talk.chunks(bedrock.START, *running.take(dict(talk.body)))
            if running.held:
                await talk.hung_up_within(20)
            await talk.end()

        server.answer = answer
        yield running


def _end(running: Service) -> End:
    return End.HELD if running.held else End.WELL


def _escaped(frame: Callable[[str], bytes]) -> Callable[[str], bytes]:
    return lambda text: frame("@").replace(b'"@"', json.dumps(text).encode())


def _limit(body: dict[str, Any]) -> int:
    limit = (
        body["inferenceConfig"]["maxTokens"] if "inferenceConfig" in body else body["max_tokens"]
    )
    assert isinstance(limit, int)
    return limit
