"""Anthropic's Messages API, as it streams: https://docs.claude.com/en/api/messages-streaming.

        message_start   usage so far
        content_block_start, content_block_delta …, content_block_stop   for every block
        message_delta   why it stops, and usage
        message_stop    without it, the answer has been cut
        ping, error     at any time

Events and deltas of other types may be added, and are passed over.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from httpx import URL
from pydantic import BaseModel, ValidationError

from app.events import Answer, Done, Thinking
from app.models import names as models
from app.models.base import Continuation, Partial, Request
from app.models.claude import takes_prefill
from app.models.continuation import asked_once
from app.models.deadlines import Deadlines, Watch
from app.models.failures import failure, telling
from app.models.http import keys
from app.models.http.http_errors import Ending, finish_reason, parsed, refusal
from app.models.http.server_sent_events import EventClient, base_url, credential, run_out
from durable_stream import Event

_HOSTED = "https://api.anthropic.com"
_VERSION = "2023-06-01"

_REASONS: dict[str, Ending] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filtered",
    "tool_use": "tool_use_unsupported",
    "pause_turn": "tool_use_unsupported",  # A tool of the server's own is at work.
}


class _Text(BaseModel):
    """A block at its start, or a delta of one; which it is, its members tell."""

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


class AnthropicProvider:
    """Asks Anthropic, or a server that speaks as Anthropic does."""

    def __init__(
        self, allowed: tuple[str, ...], *, url: URL, key: keys.Key, deadlines: Deadlines
    ) -> None:
        self.models = allowed
        self._key = key
        self._deadlines = deadlines
        self._client = EventClient(
            url.copy_with(path=f"{url.path.rstrip('/')}/v1/messages"),
            connect_seconds=deadlines.connect,
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `MODELS`, `ANTHROPIC_API_KEY`, `ANTHROPIC_BASE_URL` and the deadlines.

        Raises ValueError with what to set.
        """
        key = keys.from_environ(environ, "ANTHROPIC_API_KEY")
        if key is None:
            raise ValueError("ANTHROPIC_API_KEY is not set: set it to a key of your account")
        return cls(
            models.from_environ(environ, "claude-sonnet-4-5"),
            url=base_url(environ, "ANTHROPIC_BASE_URL", _HOSTED),
            key=key,
            deadlines=Deadlines.from_environ(environ),
        )

    def continuation(self, request: Request) -> Continuation:
        """Claude up to 4.5 takes a prefill; later ones refuse it, and are asked."""
        return "prefill" if takes_prefill(request.model) else "asked"

    def stream(self, request: Request, continue_from: Partial) -> AsyncGenerator[Event]:
        """Ask once, and yield what comes."""
        how = self.continuation(request)
        return asked_once(self._deltas, request, continue_from, how=how, deadlines=self._deadlines)

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.close()

    async def _deltas(self, request: Request, watch: Watch) -> AsyncGenerator[Event]:
        headers = {
            "x-api-key": credential(await self._key.value()),
            "anthropic-version": _VERSION,
        }
        answer = _Answer()
        async with aclosing(self._client.post(_body(request), headers, watch)) as events:
            with telling(lambda: answer.output_tokens_so_far):
                async for data in events:
                    for delta in answer.take(data):
                        yield delta
                    if answer.complete:
                        break
                else:
                    raise failure("provider_cut")
            watch.ended()
            await run_out(events)
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
    """What has been learned of an answer beside its text.

    `output_tokens_so_far` counts all that was said so far; None where no count has come since.
    """

    reason: str = ""
    answered: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_so_far: int | None = None
    complete: bool = False

    def take(self, data: str) -> Iterator[Event]:
        """Read one event; yield the text that is in it."""
        try:
            event = _Event.model_validate(parsed(data))
        except ValidationError:
            # Without its cause: that quotes what was sent.
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
                raise refusal(HTTPStatus.OK, parsed(data))
            case _:
                pass  # Of no interest, or of a type to come.

    def _deltas(self, text: _Text) -> Iterator[Event]:
        if text.thinking or text.text:
            self.output_tokens_so_far = None
        if text.thinking:
            yield Thinking(text.thinking)
        if text.text:
            self.answered = True
            yield Answer(text.text)

    def _count(self, usage: _Usage | None) -> None:
        """Note token counts: what comes later counts everything so far."""
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
