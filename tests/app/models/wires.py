"""What two kinds of services send, and the providers that read it."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from app.events import Answer, Done, Thinking
from app.exceptions import ProviderError
from app.models.anthropic import AnthropicProvider
from app.models.base import Message, Partial, Provider, Request
from app.models.openai import OpenAIProvider
from durable_stream import Event

Connect = Callable[..., Provider]

KEY = "sk-not-to-be-told"
PROMPT = "a prompt that is not to be told"
REQUEST = Request(messages=(Message("user", PROMPT),), model="a-model", max_tokens=100)
# A line separator to Unicode, but not to SSE; and more than one byte a character.
NOTHING = Partial()
DELTAS: list[Event] = [
    Thinking("hm… "),
    Answer("naïve\u2028café"),
    Answer(" 🚀\n\n"),
    Answer("data: the end"),
    Done("stop", 11, 7),
]


def frame(data: Any, event: str | None = None) -> bytes:
    """One event; its JSON as a server writes it that escapes nothing."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@dataclass(frozen=True)
class Wire:
    """One kind of service: the frames that mean `DELTAS`, and what reads them.

    `completing` is how many of the frames it takes for the answer to be complete.
    """

    name: str
    create: Callable[..., Provider]
    frames: Sequence[bytes]
    completing: int

    def provider(self, url: str, **environ: str) -> Provider:
        address = {f"{self.name.upper()}_BASE_URL": url, f"{self.name.upper()}_API_KEY": KEY}
        return self.create({"MODELS": "a-model", **address, **environ})


def chunk(delta: Any, finish_reason: str | None = None, **members: Any) -> bytes:
    """A chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return frame({"object": "chat.completion.chunk", "choices": [choice], **members})


DONE = b"data: [DONE]\n\n"
USAGE = frame({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})

OPENAI = Wire(
    "openai",
    OpenAIProvider.from_environ,
    frames=[
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "hm… "}),
        chunk({"content": "naïve\u2028café"}),
        chunk({"content": " 🚀\n\n"}),
        chunk({"content": "data: the end"}),
        chunk({}, "stop"),
        USAGE,
        DONE,
    ],
    completing=6,
)


def block_delta(**delta: Any) -> bytes:
    """A piece of a content block."""
    return frame({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


def message_start(**usage: int) -> bytes:
    return frame({"type": "message_start", "message": {"id": "m", "usage": usage}}, "message_start")


def message_delta(stop_reason: str | None, **usage: int) -> bytes:
    data = {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}
    return frame(data, "message_delta")


def block_start(**block: Any) -> bytes:
    data = {"type": "content_block_start", "index": 0, "content_block": block}
    return frame(data, "content_block_start")


BLOCK_STOP = frame({"type": "content_block_stop", "index": 0}, "content_block_stop")
MESSAGE_STOP = frame({"type": "message_stop"}, "message_stop")
PING = frame({"type": "ping"}, "ping")

ANTHROPIC = Wire(
    "anthropic",
    AnthropicProvider.from_environ,
    frames=[
        message_start(input_tokens=11, output_tokens=1),
        PING,
        block_start(type="thinking", thinking="", signature=""),
        block_delta(type="thinking_delta", thinking="hm… "),
        block_delta(type="signature_delta", signature="c2lnbmVk"),
        BLOCK_STOP,
        block_start(type="text", text=""),
        block_delta(type="text_delta", text="naïve\u2028café"),
        block_delta(type="text_delta", text=" 🚀\n\n"),
        block_delta(type="text_delta", text="data: the end"),
        BLOCK_STOP,
        message_delta("end_turn", output_tokens=7),
        MESSAGE_STOP,
    ],
    completing=13,
)

WIRES = [OPENAI, ANTHROPIC]


async def asked(
    provider: Provider, request: Request = REQUEST, continue_from: Partial = NOTHING
) -> tuple[list[Event], str | None]:
    """What came, and the code of the failure that ended it."""
    deltas: list[Event] = []
    try:
        async with aclosing(provider.stream(request, continue_from)) as stream:
            async for delta in stream:
                deltas.append(delta)  # noqa: PERF401 - what came before a failure counts
    except ProviderError as error:
        return deltas, error.code
    return deltas, None


async def is_told_free(provider: Provider) -> bool:
    """Whether the failure of a request is told as one that costs nothing."""
    return (await failure_of(provider)).free


async def failure_of(provider: Provider) -> ProviderError:
    """The failure of a request."""
    stream = provider.stream(REQUEST, NOTHING)
    with pytest.raises(ProviderError) as failed:
        await _to_the_end(stream)
    return failed.value


async def _to_the_end(stream: AsyncGenerator[Event]) -> None:
    async for _ in stream:
        pass
