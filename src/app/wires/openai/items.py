"""The items of a response's output, as JSON objects.

The forms are those of OpenAI's Responses API, as the types of its SDK 3.57.0 have them.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Literal

from app.events import ToolCall, ToolResult
from app.models.turns import Result
from app.wires.frames import compact
from app.wires.openai.parts import Halves
from app.wires.rendering import Json
from app.wires.values import plain
from durable_stream.text import mended

Status = Literal["in_progress", "completed", "incomplete"]


@dataclass(eq=False)
class Item:
    """An item at its place in the output. A `dropped` one does not count any more."""

    id: str
    index: int
    status: Status = "in_progress"
    dropped: bool = False

    @abstractmethod
    def json(self) -> Json:
        """The item as it is now."""


@dataclass(eq=False)
class TextItem(Item):
    """A message of the assistant, or its reasoning."""

    thinking: bool = False
    pieces: list[str] = field(default_factory=list)
    halves: Halves = field(default_factory=Halves)

    @property
    def text(self) -> str:
        """The text so far, which has a UTF-8 form: a model may leave half a surrogate pair."""
        return "" if self.dropped else mended("".join(self.pieces))

    def part(self, text: str) -> Json:
        """The one part of the content, with this text."""
        if self.thinking:
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def json(self) -> Json:
        """The item; without content before its first text, and when it was dropped."""
        content = [self.part(self.text)] if self.pieces and not self.dropped else []
        if self.thinking:
            about: Json = {"id": self.id, "type": "reasoning", "summary": []}
        else:
            about = {"id": self.id, "type": "message", "role": "assistant"}
        return {**about, "status": self.status, "content": content}


@dataclass(eq=False)
class CallItem(Item):
    """A call of a function, which runs on the server. No two calls of a response share an id."""

    call_id: str = ""
    call: ToolCall | None = None

    @property
    def arguments(self) -> str:
        """The arguments, as the text of a JSON object."""
        assert self.call is not None
        arguments = {name: plain(value) for name, value in self.call.arguments.items()}
        return compact(arguments)

    def json(self) -> Json:
        """The call; while it is being added, its arguments are still to come."""
        assert self.call is not None
        return {
            "id": self.id,
            "type": "function_call",
            "status": self.status,
            "call_id": self.call_id,
            "name": self.call.name,
            "arguments": "" if self.status == "in_progress" else self.arguments,
        }


@dataclass(eq=False)
class OutputItem(Item):
    """The output of a function that has run on the server."""

    call_id: str = ""
    output: str = ""

    def json(self) -> Json:
        """The output as the model was told it."""
        return {
            "id": self.id,
            "type": "function_call_output",
            "status": self.status,
            "call_id": self.call_id,
            "output": "" if self.dropped else self.output,
        }


def told(result: ToolResult) -> str:
    """The result as text."""
    return mended(Result(result.id, result.output, result.error).text)
