"""The response object of OpenAI's Responses API."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from app.events import Done, Start
from app.wires.rendering import Json
from durable_stream import Cancelled, Event, Failed, Record
from durable_stream import Start as EngineStart

Ended = Literal["completed", "incomplete", "failed"]

_PREFIX = "resp_"


def response_id(stream_id: str) -> str:
    """The id of the response that a stream is."""
    return f"{_PREFIX}{stream_id}"


def stream_id(response: str) -> str:
    """The id of the stream that a response is; a text without the prefix stays as it is."""
    return response.removeprefix(_PREFIX)


@dataclass
class ResponseObject:
    """A response but for its output."""

    stream_id: str = ""
    created_at: int = 0
    model: str = ""
    previous: str | None = None
    asked: Json = field(default_factory=dict)
    status: str = "in_progress"
    error: Json | None = None
    incomplete: str | None = None
    usage: Json | None = None

    @classmethod
    def of(cls, record: Record) -> Self:
        """The response whose stream begins with this record."""
        assert isinstance(record.event, EngineStart)
        start = Start.of(record.event)
        return cls(
            stream_id=record.stream_id,
            created_at=record.at // 1000,
            model=start.model,
            previous=response_id(start.follows[-1]) if start.follows else None,
            asked=_asked(start),
        )

    def ended(self, event: Event) -> Ended:
        """Take the terminal event; the name of the last event."""
        match event:
            case Failed():
                self.status = "failed"
                self.error = {"code": event.code, "message": event.message}
                return "failed"
            case Cancelled():
                # There is no event for it; the status tells it.
                self.status = "cancelled"
                return "incomplete"
            case Done():
                self.usage = usage_of(event)
                if event.finish_reason == "length":
                    self.status, self.incomplete = "incomplete", "max_output_tokens"
                    return "incomplete"
            case _:
                pass
        self.status = "completed"
        return "completed"

    def json(self, output: Sequence[Json]) -> Json:
        """The response with this output."""
        return {
            "id": response_id(self.stream_id),
            "object": "response",
            "created_at": self.created_at,
            "status": self.status,
            "background": False,
            "error": self.error,
            "incomplete_details": {"reason": self.incomplete} if self.incomplete else None,
            "instructions": self.asked.get("system"),
            "max_output_tokens": self.asked.get("max_tokens"),
            "metadata": {},
            "model": self.model,
            "output": list(output),
            "parallel_tool_calls": True,
            "previous_response_id": self.previous,
            "temperature": self.asked.get("temperature"),
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": self.usage,
        }


def usage_of(done: Done) -> Json | None:
    """The token counts; None where the provider reports none."""
    if done.input_tokens is None and done.output_tokens is None:
        return None
    told, said = done.input_tokens or 0, done.output_tokens or 0
    return {
        "input_tokens": told,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": told + said,
    }


def _asked(start: Start) -> Json:
    """The members of a request to the model; none for an agent with an input of its own."""
    try:
        asked: Any = json.loads(start.input)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) and "messages" in asked else {}
