"""OpenAI's chat completions API, from any server that offers it.

Servers differ, and all of these variants are accepted:

* reasoning is `reasoning_content` (DeepSeek, llama.cpp) or `reasoning` (vLLM, OpenRouter), and
  sometimes both, with the same text;
* `content`, `delta` and `choices` may be null, or empty, in any chunk;
* usage comes in a chunk of its own after the finish reason (OpenAI), or with it (llama.cpp);
* `[DONE]` may be missing, and the body held open (Bedrock);
* an error may come within the stream, as an object or a string;
* calls of tools are numbered from 0 (OpenAI), all 0 (Ollama), or not at all; their ids are missing
  (some parsers of vLLM), repeated in every round (sglang), or inside `function` (llama.cpp); their
  arguments are text in pieces, or in one, or an object (LiteLLM).
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from httpx import URL
from pydantic import BaseModel, ValidationError

from app.events import Answer, Thinking
from app.exceptions import ProviderError
from app.models.base import Message, Request
from app.models.calls import Draft, Ending, Reason, for_wire
from app.models.continuation import conversation, is_prefilled
from app.models.deadlines import Deadlines, IdleTimer
from app.models.failures import failure, with_output_tokens
from app.models.http import http_errors, keys
from app.models.http.http_errors import error_of, finish_reason, parsed
from app.models.http.server_sent_events import END_SECONDS, EventClient, base_url, credential
from app.models.model_provider import ModelProvider, models_from_environ
from app.models.turns import Call, Round, whole_text
from app.providers import entry
from durable_stream import Event

_ENTRY = entry("openai")

# The usage may come after the finish reason, and is worth a short wait.
_USAGE_SECONDS = 1.0

_REASONS: dict[str, http_errors.Ending] = {
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

_REASONING = {"reasoning", "reasoning_content"}
_CALLING = {"tool_calls", "function_call"}

_DONE = "[DONE]"

_ANY_ID = re.compile(r".+", re.DOTALL)


class _Function(BaseModel):
    id: str | None = None
    name: str | None = None
    arguments: Any = None


class _Piece(BaseModel):
    """A piece of a call. Google's models want `extra_content` back, which signs their thoughts."""

    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Any = None


class _Delta(BaseModel):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Piece] | None = None

    @property
    def thinking(self) -> str | None:
        return self.reasoning_content or self.reasoning

    @property
    def generated(self) -> bool:
        return bool(self.thinking or self.content or self.tool_calls)


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
        headers, answer = _ENTRY.headers_with(key), _Answer(request)
        async with aclosing(self._client.post(self.body(request), headers, timer)) as events:
            with with_output_tokens(lambda: answer.output_tokens):
                async for data in events:
                    drafted = answer.calls.size
                    for delta in answer.take(data):
                        yield delta
                    if answer.calls.size != drafted:
                        timer.advance()
                    if answer.complete or data == _DONE:
                        break
                if not answer.complete:
                    raise failure("provider_cut")
            timer.stop()
            for delta in await _late_events(answer, events):
                yield delta
        yield answer.finish()

    def body(self, request: Request) -> dict[str, Any]:
        messages = [each for turn in conversation(request) for each in _messages(turn)]
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
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": each.name,
                        "description": each.description,
                        "parameters": each.parameters,
                    },
                }
                for each in request.tools
            ]
        if request.tools and request.answer_now:
            body["tool_choice"] = "none"
        if is_prefilled(request):
            # vLLM's names for a prefill; llama.cpp has accepted them since May 2026.
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body


def _messages(turn: Message | Round) -> list[dict[str, Any]]:
    """The messages of a turn; for a round, the assistant's and one for each result."""
    if isinstance(turn, Message):
        return [{"role": turn.role, "content": turn.content}]
    turn = for_wire(_ENTRY.name, turn)
    message = dict(turn.content.get(_ENTRY.name) or _neutral(turn))
    if turn.prefill:
        message["content"] = turn.prefill + (message["content"] or "")
    results = [
        {"role": "tool", "tool_call_id": each.id, "content": each.text} for each in turn.results
    ]
    return [message, *results]


def _neutral(turn: Round) -> dict[str, Any]:
    """The assistant's message of a turn that came on another wire."""
    drafts = (Draft() for _ in turn.calls)
    return _assistant(turn.text, {}, turn.calls, drafts)


def _assistant(
    text: str, reasoning: Mapping[str, str], calls: Sequence[Call], drafts: Iterable[Draft]
) -> dict[str, Any]:
    """The assistant's message. The arguments are valid JSON, whatever the model sent."""
    message = {"role": "assistant", "content": text or None, **reasoning}
    if not calls:
        return {**message, "content": text}
    return {
        **message,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False),
                },
                **draft.extra,
            }
            for call, draft in zip(calls, drafts, strict=True)
        ],
    }


class _Calls:
    """The calls of a turn, from pieces that servers number and name as they like.

    A piece opens a call if it has a name, and no call is open under its number, or that one has
    another id or is whole. Any other piece belongs to the open call.
    """

    def __init__(self, request: Request) -> None:
        self._tools = {each.name for each in request.tools}
        self._open: dict[int | None, Draft] = {}
        self.drafts: list[Draft] = []
        self.size = 0

    def add(self, piece: _Piece) -> None:
        function = piece.function or _Function()
        id_, name = piece.id or function.id or "", function.name or ""
        draft = self._draft(piece.index, id_)
        if draft is None or (name and self._is_other(draft, id_, name, function.arguments)):
            draft = Draft()
            self.drafts.append(draft)
        self._open[piece.index] = self._open[None] = draft
        draft.id = draft.id or id_
        if name != draft.name:
            draft.name += name
        draft.text += _text(function.arguments)
        if piece.extra_content:
            draft.extra["extra_content"] = piece.extra_content
        self.size += 1

    def _draft(self, index: int | None, id_: str) -> Draft | None:
        """The open call that a piece belongs to, if it opens none."""
        draft = self._open.get(index)
        if draft is not None and id_ and draft.id != id_:
            # Where all have one number, the id tells them apart.
            return next((each for each in reversed(self.drafts) if each.id == id_), draft)
        return draft

    def _is_other(self, draft: Draft, id_: str, name: str, arguments: object) -> bool:
        """True if a piece with this name begins a call of its own."""
        if id_ and draft.id and id_ != draft.id:
            return True
        if name != draft.name:
            return draft.is_whole or draft.name in self._tools
        # Some servers repeat id and name in every piece, and the last may be empty.
        return draft.is_whole and bool(arguments or not id_)


def _text(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments)


@dataclass(slots=True)
class _Answer:
    """The state of an answer.

    `output_tokens` counts the text so far; None where text has come after the last count.
    """

    request: Request
    reason: Reason | None = None
    text: str = ""
    usage: _Usage | None = None
    output_tokens: int | None = None
    calls: _Calls = field(init=False)
    # Reasoning by the member that it came in; some servers demand it back there, even if empty.
    reasoning: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.calls = _Calls(self.request)

    @property
    def complete(self) -> bool:
        return self.reason is not None

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
        if reported or any(each.delta and each.delta.generated for each in chunk.choices or ()):
            self.output_tokens = reported or None

    def _take(self, choice: _Choice) -> Iterator[Event]:
        if delta := choice.delta:
            for name in _REASONING & delta.model_fields_set:
                self.reasoning[name] = self.reasoning.get(name, "") + (getattr(delta, name) or "")
            if delta.thinking:
                yield Thinking(delta.thinking)
            if delta.content:
                self.text += delta.content
                yield Answer(delta.content)
            if delta.refusal:
                raise failure("content_filtered")
            for piece in delta.tool_calls or ():
                self.calls.add(piece)
        if choice.finish_reason and not self.reason:
            self.reason = self._reason(choice.finish_reason)

    def _reason(self, reason: str) -> Reason:
        if self.request.tools and reason in _CALLING:
            return "tool_use"
        answered = bool(self.text or (self.request.tools and self.calls.drafts))
        return finish_reason(reason, _REASONS, answered=answered)

    def finish(self) -> Event:
        assert self.reason is not None
        usage = self.usage or _Usage()
        ending = Ending(
            reason=self.reason,
            drafts=self.calls.drafts,
            ids=_ANY_ID,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
        )
        return ending.event(self.request, self._content)

    def _content(self, calls: Sequence[Call]) -> dict[str, Any]:
        message = _assistant(self.text, self.reasoning, calls, self.calls.drafts)
        content: dict[str, Any] = whole_text({_ENTRY.name: message})
        return content


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
