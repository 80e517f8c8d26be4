"""OpenAI's chat completions API, from any server that offers it.

Servers differ, and all of these variants are accepted:

* reasoning is `reasoning_content` (DeepSeek, llama.cpp) or `reasoning` (vLLM, OpenRouter), and
  sometimes both, with the same text;
* `content`, `delta` and `choices` may be null, or empty, in any chunk;
* usage comes in a chunk of its own after the finish reason (OpenAI), or with it (llama.cpp);
* `[DONE]` may be missing, and the body held open (Bedrock);
* an error may come within the stream, as an object or a string.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from httpx import URL
from pydantic import BaseModel, ValidationError

from app.events import Answer, Done, Thinking
from app.exceptions import ProviderError
from app.models.base import Request
from app.models.deadlines import Deadlines, IdleTimer
from app.models.failures import failure, with_output_tokens
from app.models.http import keys
from app.models.http.http_errors import Ending, error_of, finish_reason, parsed
from app.models.http.server_sent_events import END_SECONDS, EventClient, base_url, credential
from app.models.model_provider import ModelProvider, models_from_environ
from app.providers import entry
from durable_stream import Event

_ENTRY = entry("openai")

# The usage may come after the finish reason, and is worth a short wait.
_USAGE_SECONDS = 1.0

_REASONS: dict[str, Ending] = {
    "stop": "stop",
    "eos": "stop",  # Together
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "content_filter": "content_filtered",
    "tool_calls": "tool_use_unsupported",
    "function_call": "tool_use_unsupported",
    "error": "provider_failed",  # OpenRouter
    "abort": "provider_cut",  # vLLM, when it shuts down
    "insufficient_system_resource": "provider_overloaded",  # DeepSeek
}

_DONE = "[DONE]"


class _Delta(BaseModel):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None

    @property
    def thinking(self) -> str | None:
        return self.reasoning_content or self.reasoning

    @property
    def text(self) -> str | None:
        return self.thinking or self.content


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(BaseModel):
    object: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


class OpenAIProvider(ModelProvider):
    """Asks OpenAI, or a server with the same API.

    `prefill` says that the server continues an assistant's turn on request, as vLLM and llama.cpp
    do. The API does not reveal it, so the operator must set it.
    """

    def __init__(
        self,
        allowed: tuple[str, ...],
        *,
        url: URL,
        key: keys.Key | None,
        prefill: bool = False,
        deadlines: Deadlines,
    ) -> None:
        super().__init__(allowed, deadlines)
        self._key = key
        self._prefill = prefill
        # OpenAI's reasoning models refuse `max_tokens`; many other servers know only that.
        hosted = url.host.endswith((".openai.com", ".openai.azure.com"))
        self._max_tokens = "max_completion_tokens" if hosted else "max_tokens"
        self._client = EventClient(
            url.copy_with(path=f"{url.path.rstrip('/')}/chat/completions"),
            connect_seconds=deadlines.connect,
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `MODELS`, `OPENAI_BASE_URL`, `OPENAI_API_KEY`, `OPENAI_PREFILL` and the deadlines.

        Raises ValueError with the setting to fix. A server of your own may need no key.
        """
        url = base_url(environ, _ENTRY.address, _ENTRY.hosted)
        key = keys.from_environ(environ, _ENTRY.key)
        if key is None and str(url) == _ENTRY.hosted:
            raise ValueError(
                "OPENAI_API_KEY is not set: set it, or OPENAI_BASE_URL to a server that needs none"
            )
        return cls(
            models_from_environ(environ, "gpt-5-mini, or llama3.2 on Ollama"),
            url=url,
            key=key,
            prefill=_switch(environ, "OPENAI_PREFILL"),
            deadlines=Deadlines.from_environ(environ),
        )

    def takes_prefill(self, model: str) -> bool:  # noqa: ARG002 - the server decides
        """Return the operator's setting; asking works everywhere."""
        return self._prefill

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(self, request: Request, timer: IdleTimer) -> AsyncGenerator[Event]:
        """Send one request; yield its answer."""
        key = None if self._key is None else credential(await self._key.value())
        headers, answer = _ENTRY.headers_with(key), _Answer()
        async with aclosing(self._client.post(self.body(request), headers, timer)) as events:
            with with_output_tokens(lambda: answer.output_tokens):
                async for data in events:
                    for delta in answer.take(data):
                        yield delta
                    if answer.complete or data == _DONE:
                        break
                if not answer.complete:
                    raise failure("provider_cut")
            timer.stop()
            for delta in await _late_events(answer, events):
                yield delta
        yield answer.finish()

    def body(self, request: Request) -> dict[str, Any]:
        messages = [{"role": each.role, "content": each.content} for each in request.messages]
        if request.system is not None:
            messages.insert(0, {"role": "system", "content": request.system})
        body: dict[str, Any] = {
            "model": request.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            self._max_tokens: request.max_tokens,
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.stop:
            body["stop"] = request.stop
        if request.messages[-1].role == "assistant":
            # vLLM's names for a prefill; llama.cpp has accepted them since May 2026.
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body


@dataclass(slots=True)
class _Answer:
    """The state of an answer, apart from its text.

    `output_tokens` counts the text so far; None where text has come after the last count.
    """

    reason: str = ""
    answered: bool = False
    usage: _Usage | None = None
    output_tokens: int | None = None

    @property
    def complete(self) -> bool:
        return bool(self.reason)

    def take(self, data: str) -> Iterator[Event]:
        """Read one event; yield its text."""
        if data == _DONE:
            return
        try:
            chunk = _Chunk.model_validate(parsed(data))
        except ValidationError:
            # Without its cause, which quotes the event.
            raise failure("provider_garbled") from None
        if chunk.error or chunk.object == "error":
            raise error_of(HTTPStatus.OK, parsed(data))
        self.usage = chunk.usage or self.usage
        self._note_progress(chunk)
        for choice in chunk.choices or ():
            yield from self._take(choice)

    def _note_progress(self, chunk: _Chunk) -> None:
        reported = chunk.usage.completion_tokens if chunk.usage else None
        if reported or any(each.delta and each.delta.text for each in chunk.choices or ()):
            self.output_tokens = reported or None

    def _take(self, choice: _Choice) -> Iterator[Event]:
        if delta := choice.delta:
            if delta.thinking:
                yield Thinking(delta.thinking)
            if delta.content:
                self.answered = True
                yield Answer(delta.content)
            if delta.refusal:
                raise failure("content_filtered")
        if choice.finish_reason and not self.reason:
            self.reason = finish_reason(choice.finish_reason, _REASONS, answered=self.answered)

    def finish(self) -> Done:
        usage = self.usage or _Usage()
        return Done(self.reason, usage.prompt_tokens, usage.completion_tokens)


async def _late_events(answer: _Answer, events: AsyncGenerator[str]) -> list[Event]:
    """The events after the finish reason, read for a moment. Failures no longer matter."""
    late: list[Event] = []
    clock = asyncio.get_running_loop().time
    with suppress(ProviderError, TimeoutError):
        async with asyncio.timeout(END_SECONDS if answer.usage else _USAGE_SECONDS) as waiting:
            async for data in events:
                late += answer.take(data)
                if answer.usage or data == _DONE:
                    waiting.reschedule(clock() + END_SECONDS)
    return late


def _switch(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in {"", "true", "false"}:
        raise ValueError(f"{name}={value!r} is neither true nor false: set it to one of them")
    return value == "true"
