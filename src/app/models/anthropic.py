"""Anthropic's Messages API, as it streams: https://docs.claude.com/en/api/messages-streaming.

        message_start   usage so far
        content_block_start, content_block_delta …, content_block_stop   for every block
        message_delta   the stop reason, and usage
        message_stop    without it, the answer was cut
        ping, error     at any time

Events and deltas of unknown types are ignored, since Anthropic may add some.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from httpx import URL
from pydantic import BaseModel, ValidationError

from app.events import Answer, Done, Thinking
from app.models.base import Request
from app.models.continuation import claude_takes_prefill
from app.models.deadlines import Deadlines, IdleTimer
from app.models.failures import failure, with_output_tokens
from app.models.http import keys
from app.models.http.http_errors import Ending, error_of, finish_reason, parsed
from app.models.http.server_sent_events import EventClient, base_url, credential, drain
from app.models.model_provider import ModelProvider, models_from_environ
from app.providers import entry
from durable_stream import Event

_ENTRY = entry("anthropic")

_REASONS: dict[str, Ending] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filtered",
    "tool_use": "tool_use_unsupported",
    "pause_turn": "tool_use_unsupported",  # A tool of the server is working.
}


class _Text(BaseModel):
    """The start of a block, or a delta of one, of any type."""

    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Usage(BaseModel):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Message(BaseModel):
    usage: _Usage | None = None


class _Event(BaseModel):
    type: str
    message: _Message | None = None
    content_block: _Text | None = None
    delta: _Text | None = None
    usage: _Usage | None = None


class AnthropicProvider(ModelProvider):
    """Asks Anthropic, or a server with the same API."""

    def __init__(
        self, allowed: tuple[str, ...], *, url: URL, key: keys.Key, deadlines: Deadlines
    ) -> None:
        super().__init__(allowed, deadlines)
        self._key = key
        self._client = EventClient(
            url.copy_with(path=f"{url.path.rstrip('/')}/v1/messages"),
            connect_seconds=deadlines.connect,
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `MODELS`, `ANTHROPIC_API_KEY`, `ANTHROPIC_BASE_URL` and the deadlines.

        Raises ValueError with the setting to fix.
        """
        key = keys.from_environ(environ, _ENTRY.key)
        if key is None:
            raise ValueError("ANTHROPIC_API_KEY is not set: set it to a key of your account")
        return cls(
            models_from_environ(environ, "claude-sonnet-4-5"),
            url=base_url(environ, _ENTRY.address, _ENTRY.hosted),
            key=key,
            deadlines=Deadlines.from_environ(environ),
        )

    def takes_prefill(self, model: str) -> bool:
        """Claude up to 4.5 takes a prefill; later ones refuse it."""
        return claude_takes_prefill(model)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(self, request: Request, timer: IdleTimer) -> AsyncGenerator[Event]:
        """Send one request; yield its answer."""
        headers = _ENTRY.headers_with(credential(await self._key.value()))
        answer = _Answer()
        async with aclosing(self._client.post(_body(request), headers, timer)) as events:
            with with_output_tokens(lambda: answer.output_tokens_so_far):
                async for data in events:
                    for delta in answer.take(data):
                        yield delta
                    if answer.complete:
                        break
                else:
                    raise failure("provider_cut")
            timer.stop()
            await drain(events)
        yield answer.finish()


def _body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": each.role, "content": each.content} for each in request.messages],
        "max_tokens": request.max_tokens,
        "stream": True,
    }
    if request.system is not None:
        body["system"] = request.system
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop_sequences"] = request.stop
    return body


@dataclass(slots=True)
class _Answer:
    """The state of an answer, apart from its text.

    `output_tokens_so_far` counts the text so far; None where text has come after the last count.
    """

    reason: str = ""
    answered: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_so_far: int | None = None
    complete: bool = False

    def take(self, data: str) -> Iterator[Event]:
        """Read one event; yield its text."""
        try:
            event = _Event.model_validate(parsed(data))
        except ValidationError:
            # Without its cause, which quotes the event.
            raise failure("provider_garbled") from None
        match event.type:
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
            case "content_block_start" if event.content_block is not None:
                yield from self._deltas(event.content_block)
            case "content_block_delta" if event.delta is not None:
                yield from self._deltas(event.delta)
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self.reason = finish_reason(
                        event.delta.stop_reason, _REASONS, answered=self.answered
                    )
            case "message_stop":
                if not self.reason:
                    raise failure("provider_cut")
                self.complete = True
            case "error":
                raise error_of(HTTPStatus.OK, parsed(data))
            case _:
                pass  # An event without text, or of an unknown type.

    def _deltas(self, text: _Text) -> Iterator[Event]:
        if text.thinking or text.text:
            self.output_tokens_so_far = None
        if text.thinking:
            yield Thinking(text.thinking)
        if text.text:
            self.answered = True
            yield Answer(text.text)

    def _count(self, usage: _Usage | None) -> None:
        """Note token counts; each counts everything before it."""
        if usage is None:
            return
        if usage.input_tokens is not None:
            cached = (usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
            self.input_tokens = usage.input_tokens + sum(filter(None, cached))
        if usage.output_tokens is not None:
            self.output_tokens = usage.output_tokens
            self.output_tokens_so_far = usage.output_tokens or None

    def finish(self) -> Done:
        return Done(self.reason, self.input_tokens, self.output_tokens)
