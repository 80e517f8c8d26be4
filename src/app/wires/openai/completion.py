"""Rendering: from the records of a stream to the chunks of OpenAI's Chat Completions API.

A chunk only adds. So text that a reset drops must not be sent before it: the records that are at
hand are taken together, and only the sum of them is sent. Where text was sent before, the
completion ends with an error.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.events import Answer, Done, Start, Thinking, ToolCall
from app.folding import Parts
from app.wires.openai import shapes
from app.wires.openai.items import CallItem
from app.wires.openai.parts import Halves, Part
from app.wires.openai.response import usage_of
from app.wires.rendering import Json
from durable_stream import Cancelled, Event, Failed, Record, Reset
from durable_stream import Start as EngineStart
from durable_stream.text import mended

_MEMBERS = {Answer.kind: "content", Thinking.kind: "reasoning_content"}


class StartedOver(Exception):
    """Raised where the answer starts over behind text that has been sent."""


@dataclass
class _Sent:
    """How much of a part has been sent: so many pieces of a text. Of a call, it is all."""

    pieces: int = 0


@dataclass
class Completion:
    """One chat completion, as far as it has come. `end` is the terminal event, None before it."""

    stream_id: str = ""
    created: int = 0
    model: str = ""
    end: Event | None = None
    _parts: Parts[Part[_Sent]] = field(default_factory=lambda: Parts(Part[_Sent]))
    _calls: int = 0
    # The parts before this one have been sent, and change no more.
    _settled: int = 0
    # The client joins the texts of each member.
    _halves: dict[str, Halves] = field(default_factory=lambda: defaultdict(Halves))
    _begun: bool = False

    def take(self, records: Sequence[Record]) -> None:
        """Take the next records; raises StartedOver."""
        for record in records:
            event = record.event
            if isinstance(event, EngineStart):
                self.stream_id, self.created = record.stream_id, record.at // 1000
                self.model = Start.of(event).model
            elif isinstance(event, Reset):
                self._settled = 0
                if any(part.places for part in self._parts.start_over(event.within).parts):
                    raise StartedOver
            elif event.terminal:
                self.end = event
            else:
                self._parts.add(event)

    def chunks(self, *, usage: bool) -> Iterator[Json]:
        """The chunks for all that is new. With `usage`, each has the member, and one the counts."""
        more: Json = {"usage": None} if usage else {}
        deltas = list(self._deltas())
        if not self._begun:
            self._begun = True
            deltas.insert(0, {"role": "assistant", "content": ""})
        for delta in deltas:
            yield self._chunk([_choice(delta, None)], more)
        if self.complete:
            yield self._chunk([_choice({}, finish_reason(self.end))], more)
            if usage:
                yield self._chunk([], {"usage": counts(self.end)})

    @property
    def complete(self) -> bool:
        """True if the answer has come to its end."""
        return self.end is not None and self.problem is None

    @property
    def problem(self) -> Json | None:
        """The error that ended the answer instead of a `Done`."""
        match self.end:
            case Failed():
                return shapes.error(self.end.code, self.end.message)
            case Cancelled():
                return shapes.error("cancelled", "The answer was cancelled: ask again, if need be.")
            case _:
                return None

    def json(self) -> Json:
        """The whole completion, which is complete."""
        message: Json = {"role": "assistant", "content": self._text(Answer.kind), "refusal": None}
        thinking = self._text(Thinking.kind)
        if thinking:
            message["reasoning_content"] = thinking
        calls = [part.event for part in self._parts if isinstance(part.event, ToolCall)]
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": finish_reason(self.end),
        }
        about = self._about("chat.completion")
        return {**about, "choices": [choice], "usage": counts(self.end)}

    def _deltas(self) -> Iterator[Json]:
        """The deltas that have not been sent, in order. Only the last text still grows."""
        parts = self._parts.since(self._settled)
        self._settled = max(0, len(self._parts) - 1)
        for part in parts:
            if part.is_text:
                member = _MEMBERS[part.event.kind]
                if text := self._halves[member].joined(_more_text(part)):
                    yield {member: text}
            elif isinstance(part.event, ToolCall) and not part.places:
                part.places.append(_Sent())
                yield {"tool_calls": [{"index": self._calls, **_call(part.event)}]}
                self._calls += 1
        if self.end is not None:
            for member, halves in self._halves.items():
                if half := halves.rest():
                    yield {member: half}

    def _text(self, kind: str) -> str:
        said = (piece for part in self._parts if part.event.kind == kind for piece in part.pieces)
        return mended("".join(said))

    def _chunk(self, choices: Sequence[Json], more: Json) -> Json:
        return {**self._about("chat.completion.chunk"), "choices": list(choices), **more}

    def _about(self, object_: str) -> Json:
        return {
            "id": f"chatcmpl-{self.stream_id}",
            "object": object_,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }


def finish_reason(end: Event | None) -> str:
    """`stop`, or `length`. Never `tool_calls`: this asks the client to run them."""
    return "length" if isinstance(end, Done) and end.finish_reason == "length" else "stop"


def counts(end: Event | None) -> Json | None:
    """The token counts under the names of this API; None where the provider reports none."""
    usage = usage_of(end) if isinstance(end, Done) else None
    if usage is None:
        return None
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }


def _more_text(part: Part[_Sent]) -> str:
    if not part.places:
        part.places.append(_Sent())
    sent = part.places[0]
    text = "".join(part.pieces[sent.pieces :])
    sent.pieces = len(part.pieces)
    return text


def _choice(delta: Json, reason: str | None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = CallItem("", 0, call=call).arguments
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
