"""Bedrock as a provider: requests to ConverseStream, and its events as deltas."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import groupby
from typing import Any, Self

from app.events import Answer, Done, Thinking
from app.exceptions import ProviderError
from app.models import names as models
from app.models.base import Continuation, Partial, Request
from app.models.bedrock.aws_errors import finish_reason, translated
from app.models.bedrock.connections import Client, EventStream, ServiceEvent, connect
from app.models.bedrock.thread import events_of
from app.models.claude import takes_prefill
from app.models.continuation import asked_once
from app.models.deadlines import Deadlines, Watch
from app.models.failures import failure
from durable_stream import Event

# The token counts come right behind the end of an answer, or the answer does without them.
_USAGE_SECONDS = 1.0


class BedrockProvider:
    """Models on Amazon Bedrock; `models` are model ids, inference profile ids or ARNs.

    Region and credentials are those that any AWS client finds.
    """

    def __init__(self, allowed: tuple[str, ...], deadlines: Deadlines) -> None:
        self.models = allowed
        self._deadlines = deadlines
        self._client: Client | None = None
        self._connecting = threading.Lock()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `MODELS` and the deadlines; raises ValueError with what to set."""
        allowed = models.from_environ(environ, "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
        return cls(allowed, Deadlines.from_environ(environ))

    def continuation(self, request: Request) -> Continuation:
        """Claude up to 4.5 goes on by itself; all others are asked to."""
        return "prefill" if takes_prefill(request.model) else "asked"

    def stream(self, request: Request, continue_from: Partial) -> AsyncGenerator[Event]:
        """Ask once, and yield what comes."""
        how = self.continuation(request)
        return asked_once(self._deltas, request, continue_from, how=how, deadlines=self._deadlines)

    async def close(self) -> None:
        """Let idle connections go; those that are read from end with their streams."""
        if self._client is not None:
            self._client.close()

    def _deltas(self, request: Request, watch: Watch) -> AsyncGenerator[Event]:
        return _deltas(events_of(lambda: self._converse(request)), watch)

    def _converse(self, request: Request) -> EventStream:
        """Blocks: in a thread. The first call makes the client."""
        with self._connecting:
            if self._client is None:
                self._client = connect(self._deadlines)
        return self._client.converse_stream(**_arguments(request))["stream"]


def _arguments(request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "modelId": request.model,
        "messages": [
            {"role": role, "content": [{"text": message.content} for message in messages]}
            # Bedrock wants the roles to alternate: turns of one role in a row become one.
            for role, messages in groupby(request.messages, lambda message: message.role)
        ],
        "inferenceConfig": {"maxTokens": request.max_tokens},
    }
    if request.temperature is not None:
        arguments["inferenceConfig"]["temperature"] = request.temperature
    if request.stop:
        arguments["inferenceConfig"]["stopSequences"] = list(request.stop)
    if request.system:
        arguments["system"] = [{"text": request.system}]
    return arguments


async def _deltas(events: AsyncGenerator[ServiceEvent], watch: Watch) -> AsyncGenerator[Event]:
    """The events as deltas, and what botocore raises as a ProviderError.

    By patterns, for not even types are certain in what comes.
    """
    answered = False
    async with aclosing(events):
        with translated():
            async for event in events:
                match event:
                    case {"contentBlockDelta": {"delta": {"text": str(text)}}} if text:
                        answered = True
                        yield Answer(text)
                    case {
                        "contentBlockDelta": {"delta": {"reasoningContent": {"text": str(text)}}}
                    } if text:
                        yield Thinking(text)
                    case {"messageStop": {"stopReason": reason}}:
                        watch.ended()
                        ended = finish_reason(reason, answered=answered)
                        yield Done(ended, *await _usage(events))
                        return
                    case _:
                        watch.alive()
    raise failure("provider_cut")


async def _usage(events: AsyncGenerator[ServiceEvent]) -> tuple[int | None, int | None]:
    """The token counts. Nothing that goes wrong behind the end can undo the answer.

    Read to the end of the stream: only then does the connection serve the next request.
    """
    usage: tuple[int | None, int | None] = None, None
    with contextlib.suppress(ProviderError, TimeoutError):
        async with asyncio.timeout(_USAGE_SECONDS):
            with translated():
                async for event in events:
                    match event:
                        case {
                            "metadata": {
                                "usage": {"inputTokens": int(asked), "outputTokens": int(said)}
                            }
                        }:
                            usage = asked, said
                        case _:
                            pass
    return usage
