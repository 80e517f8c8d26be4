"""Anthropic's Messages API, as it streams: https://docs.claude.com/en/api/messages-streaming.

        message_start   usage so far
        content_block_start, content_block_delta …, content_block_stop   for every block
        message_delta   the stop reason, and usage
        message_stop    without it, the answer was cut
        ping, error     at any time

Events and deltas of unknown types are ignored, since Anthropic may add some. In a turn that calls
tools, blocks of unknown types are sent back as they came, like all others.
"""

import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Self

from httpx import URL
from pydantic import BaseModel, ConfigDict, ValidationError

from app.events import Answer, Thinking
from app.models.base import Message, Request
from app.models.calls import Draft, Ending, Reason, for_wire
from app.models.continuation import claude_takes_prefill, conversation
from app.models.deadlines import Deadlines, IdleTimer
from app.models.failures import failure, with_output_tokens
from app.models.http import http_errors, keys
from app.models.http.http_errors import error_of, finish_reason, parsed
from app.models.http.server_sent_events import EventClient, base_url, credential, drain
from app.models.model_provider import ModelProvider, models_from_environ
from app.models.turns import Call, Round, whole_text
from app.providers import entry
from durable_stream import Event

_ENTRY = entry("anthropic")

_REASONS: dict[str, http_errors.Ending] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filtered",
    "tool_use": "tool_use_unsupported",
    "pause_turn": "tool_use_unsupported",  # A tool of the server is working.
}


# The reasons that are no failures if there are tools.
_WITH_TOOLS: dict[str, Reason] = {"tool_use": "tool_use", "pause_turn": "pause"}

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# The type of the block that a delta belongs to, and the member of both that it adds to.
_TEXTS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
}
_JSON_DELTA = "input_json_delta"
_CITATION_DELTA = "citations_delta"


class _Part(BaseModel):
    """The start of a block, or a delta of one, of any type."""

    model_config = ConfigDict(extra="allow")

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
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
    index: int = 0
    message: _Message | None = None
    content_block: _Part | None = None
    delta: _Part | None = None
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
        answer = _Answer(request)
        async with aclosing(self._client.post(_body(request), headers, timer)) as events:
            with with_output_tokens(lambda: answer.output_tokens_so_far):
                async for data in events:
                    for delta in answer.take(data):
                        yield delta
                    if answer.in_call:
                        timer.advance()
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
        "messages": [each for turn in conversation(request) for each in _messages(turn)],
        "max_tokens": request.max_tokens,
        "stream": True,
    }
    if request.system is not None:
        body["system"] = request.system
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop_sequences"] = request.stop
    if request.tools:
        body["tools"] = [
            {
                "name": each.name,
                "description": each.description,
                "input_schema": each.parameters,
            }
            for each in request.tools
        ]
    if request.tools and request.answer_now:
        body["tool_choice"] = {"type": "none"}
    return body


def _messages(turn: Message | Round) -> list[dict[str, Any]]:
    """The messages of a turn; for a round, the assistant's and one with all results."""
    if isinstance(turn, Message):
        return [{"role": turn.role, "content": turn.content}]
    turn = for_wire(_ENTRY.name, turn)
    content = _with_prefill(turn.prefill, turn.content.get(_ENTRY.name) or _neutral(turn))
    results = [
        {
            "type": "tool_result",
            "tool_use_id": each.id,
            "content": each.text,
            **({"is_error": True} if each.error is not None else {}),
        }
        for each in turn.results
    ]
    messages = [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    return [each for each in messages if each["content"]]


def _with_prefill(prefill: str, blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The blocks behind the text that the model was given as the beginning of its turn."""
    if not prefill:
        return [*blocks]
    if blocks and blocks[0]["type"] == "text":
        first, *rest = blocks
        return [{**first, "text": prefill + first["text"]}, *rest]
    return [{"type": "text", "text": prefill}, *blocks]


def _neutral(turn: Round) -> list[dict[str, Any]]:
    """The blocks of a turn that came on another wire."""
    text = [{"type": "text", "text": turn.text}] if turn.text.strip() else []
    calls = [
        {
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": call.arguments,
        }
        for call in turn.calls
    ]
    return [*text, *calls]


class _Blocks:
    """The blocks of a turn, to send back as they came."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._drafts: dict[int, Draft] = {}  # by the position of the block
        self._open: dict[int, int] = {}  # the position of the newest block under each index

    @property
    def drafts(self) -> list[Draft]:
        """The calls of our tools, in order. The service calls its own by itself."""
        drafts = [(self._drafts[each], self._blocks[each].get("input")) for each in self._calls()]
        # Some servers send the arguments with the start of the block, and no more.
        return [
            replace(draft, text=json.dumps(whole)) if whole and not draft.text.strip() else draft
            for draft, whole in drafts
        ]

    def begin(self, index: int, start: _Part) -> None:
        """Add a block."""
        block = start.model_dump(exclude_unset=True)
        if "input" in block or start.type == "tool_use":
            id_, name = str(block.get("id") or ""), str(block.get("name") or "")
            self._drafts[len(self._blocks)] = Draft(id_, name)
        self._open[index] = len(self._blocks)
        self._blocks.append(block)

    def add(self, index: int, delta: _Part) -> None:
        """Add a piece to the open block."""
        if delta.type in _TEXTS:
            kind, member = _TEXTS[delta.type]
            block = self._block(index, kind)
            block[member] = (block.get(member) or "") + (getattr(delta, member) or "")
        elif delta.type == _JSON_DELTA and self._open.get(index) in self._drafts:
            self._drafts[self._open[index]].text += delta.partial_json or ""
        elif delta.type == _CITATION_DELTA:
            block = self._block(index, "text")
            extra = delta.model_extra or {}
            block["citations"] = [*(block.get("citations") or ()), extra.get("citation")]

    def is_call(self, index: int) -> bool:
        """True if the open block has arguments."""
        return self._open.get(index) in self._drafts

    def content(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """The blocks to send back. The service refuses blank text and unsigned thinking."""
        by_position = dict(zip(self._calls(), calls, strict=True))
        blocks: list[dict[str, Any]] = []
        for position, block in enumerate(self._blocks):
            if position in by_position:
                call = by_position[position]
                blocks.append({**block, "id": call.id, "name": call.name, "input": call.arguments})
            elif position in self._drafts:
                arguments = parsed(self._drafts[position].text or "null")
                blocks.append({**block, "input": arguments or block["input"]})  # the service's own
            elif _is_sendable(block):
                blocks.append(block)
        return blocks

    def _calls(self) -> list[int]:
        return [each for each in self._drafts if self._blocks[each].get("type") == "tool_use"]

    def _block(self, index: int, kind: str) -> dict[str, Any]:
        """The open block; one is begun where the service did not say so."""
        position = self._open.get(index)
        if position is None or self._blocks[position].get("type") != kind:
            self.begin(index, _Part(type=kind))
        return self._blocks[self._open[index]]


def _is_sendable(block: Mapping[str, Any]) -> bool:
    match block.get("type"):
        case "text":
            return bool(block.get("text", "").strip())
        case "thinking":
            return bool(block.get("signature"))
        case _:
            return True


@dataclass(slots=True)
class _Answer:
    """The state of an answer.

    `output_tokens_so_far` counts the text so far; None where text has come after the last count.
    `in_call` says that the last event was a part of a call.
    """

    request: Request
    reason: Reason | None = None
    answered: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_so_far: int | None = None
    complete: bool = False
    in_call: bool = False
    blocks: _Blocks = field(default_factory=_Blocks)

    def take(self, data: str) -> Iterator[Event]:
        """Read one event; yield its text."""
        try:
            event = _Event.model_validate(parsed(data))
        except ValidationError:
            # Without its cause, which quotes the event.
            raise failure("provider_garbled") from None
        self.in_call = False
        match event.type:
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
            case "content_block_start" if event.content_block is not None:
                self.blocks.begin(event.index, event.content_block)
                yield from self._deltas(event.index, event.content_block)
            case "content_block_delta" if event.delta is not None:
                self.blocks.add(event.index, event.delta)
                yield from self._deltas(event.index, event.delta)
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self.reason = self._reason(event.delta.stop_reason)
            case "message_stop":
                if self.reason is None:
                    raise failure("provider_cut")
                self.complete = True
            case "error":
                raise error_of(HTTPStatus.OK, parsed(data))
            case _:
                pass  # An event without text, or of an unknown type.

    def _deltas(self, index: int, part: _Part) -> Iterator[Event]:
        self.in_call = self.blocks.is_call(index)
        if part.thinking or part.text or self.in_call:
            self.output_tokens_so_far = None
        if part.thinking:
            yield Thinking(part.thinking)
        if part.text:
            self.answered = True
            yield Answer(part.text)

    def _reason(self, reason: str) -> Reason:
        if self.request.tools and reason in _WITH_TOOLS:
            return _WITH_TOOLS[reason]
        answered = self.answered or bool(self.request.tools and self.blocks.drafts)
        return finish_reason(reason, _REASONS, answered=answered)

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

    def finish(self) -> Event:
        assert self.reason is not None
        ending = Ending(
            reason=self.reason,
            drafts=self.blocks.drafts,
            ids=_ID,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )
        return ending.event(self.request, self._content)

    def _content(self, calls: Sequence[Call]) -> dict[str, Any]:
        content: dict[str, Any] = whole_text({_ENTRY.name: self.blocks.content(calls)})
        return content
