"""Bedrock as a provider: sends requests to ConverseStream, and makes deltas of its events."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Self

from botocore.exceptions import BotoCoreError

from app.events import Answer, Thinking
from app.exceptions import ProviderError
from app.models.base import Request
from app.models.bedrock.aws_errors import finish_reason, translated
from app.models.bedrock.blocks import IDS, Blocks
from app.models.bedrock.connections import Client, EventStream, ServiceEvent, connect
from app.models.bedrock.conversation import arguments_of
from app.models.bedrock.thread import events_of
from app.models.calls import Ending
from app.models.continuation import claude_takes_prefill
from app.models.deadlines import Deadlines, IdleTimer
from app.models.failures import failure
from app.models.model_provider import ModelProvider, models_from_environ
from durable_stream import Event

# The token counts come right after the end of an answer, or not at all.
_USAGE_SECONDS = 1.0


class BedrockProvider(ModelProvider):
    """Models on Amazon Bedrock; `models` are model ids, inference profile ids or ARNs.

    Region and credentials come from the usual chain of AWS's clients.
    """

    def __init__(self, allowed: tuple[str, ...], deadlines: Deadlines) -> None:
        super().__init__(allowed, deadlines)
        self._client: Client | None = None
        self._connecting = threading.Lock()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `MODELS` and the deadlines; raises ValueError with the setting to fix."""
        allowed = models_from_environ(environ, "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
        return cls(allowed, Deadlines.from_environ(environ))

    def takes_prefill(self, model: str) -> bool:
        """Claude up to 4.5 takes a prefill; no other model does."""
        return claude_takes_prefill(model)

    async def preload(self) -> None:
        """Make the client, which reads files of botocore for a tenth of a second.

        Lambda starts a sandbox on a whole processor, and calls a small function on a part of one.
        """
        with contextlib.suppress(BotoCoreError):  # The first request tells.
            await asyncio.to_thread(self._connected)

    async def close(self) -> None:
        """Close the idle connections; each other one is closed with its stream."""
        if self._client is not None:
            self._client.close()

    def ask(self, request: Request, timer: IdleTimer) -> AsyncGenerator[Event]:
        """Send one request; yield its answer."""
        return _deltas(request, events_of(lambda: self._converse(request)), timer)

    def _converse(self, request: Request) -> EventStream:
        """Send a request. Blocks: call it in a thread."""
        return self._connected().converse_stream(**arguments_of(request))["stream"]

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = connect(self.deadlines)
        return self._client


async def _deltas(
    request: Request, events: AsyncGenerator[ServiceEvent], timer: IdleTimer
) -> AsyncGenerator[Event]:
    """The events as deltas, and botocore's exceptions as ProviderError.

    Patterns, since not even the types of members are certain.
    """
    answered, blocks = False, Blocks()
    async with aclosing(events):
        with translated():
            async for event in events:
                blocks.take(event)
                match event:
                    case {"contentBlockDelta": {"delta": {"text": str(text)}}} if text:
                        answered = True
                        yield Answer(text)
                    case {
                        "contentBlockDelta": {"delta": {"reasoningContent": {"text": str(text)}}}
                    } if text:
                        yield Thinking(text)
                    case {"contentBlockDelta": {"delta": {"toolUse": _}}}:
                        timer.advance()
                    case {"messageStop": {"stopReason": reason}}:
                        timer.stop()
                        with_calls = answered or bool(request.tools and blocks.drafts)
                        ended = finish_reason(
                            reason, answered=with_calls, with_tools=bool(request.tools)
                        )
                        sent, generated = await _usage(events)
                        ending = Ending(
                            reason=ended,
                            drafts=blocks.drafts,
                            ids=IDS,
                            input_tokens=sent,
                            output_tokens=generated,
                        )
                        yield ending.event(request, blocks.content)
                        return
                    case _:
                        timer.reset()
    raise failure("provider_cut")


async def _usage(events: AsyncGenerator[ServiceEvent]) -> tuple[int | None, int | None]:
    """The token counts. A failure after the end does not undo the answer.

    This reads to the end of the stream: only then can the connection serve the next request.
    """
    usage: tuple[int | None, int | None] = None, None
    with contextlib.suppress(ProviderError, TimeoutError):
        async with asyncio.timeout(_USAGE_SECONDS):
            with translated():
                async for event in events:
                    match event:
                        case {
                            "metadata": {
                                "usage": {"inputTokens": int(sent), "outputTokens": int(generated)}
                            }
                        }:
                            usage = sent, generated
                        case _:
                            pass
    return usage
