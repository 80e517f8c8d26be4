"""Turns of a model that uses tools: its calls, their results, and the rounds of both.

An answer with tools takes several requests. Each but the last ends with calls: the turn, and the
results of its calls, are one round, which every later request sends back.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from durable_stream import Event
from durable_stream.text import mended

# The names of tools that Anthropic, OpenAI and Bedrock all take.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool, as a model is told of it. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A model calls a tool. `id` is unique among the calls of an answer.

    With an `error`, the arguments could not be read and are empty: the call is not run, and the
    model is told the error.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A call has returned `output`, which is JSON, or failed with `error`; `id` is the call's."""

    id: str
    output: Any = None
    error: str | None = None

    @property
    def text(self) -> str:
        """The result as text for a model; never blank."""
        if self.error is not None:
            return f"Error: {self.error}"
        if isinstance(self.output, str) and self.output.strip():
            return self.output
        return json.dumps(self.output, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A model's turn, and the results of its calls.

    `content` is the turn on one wire, by the wire's name: it is sent back there as it came,
    thinking and signatures included. `text` and `calls` are for any other wire. Without calls, the
    model paused its turn, and continues when it gets the turn back.

    `before` is the text of the turn that had been delivered when the model was asked for the rest
    of it: by a prefill if it was `prefilled`, else in words. Later requests repeat that as well.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    results: tuple[Result, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)
    before: str = ""
    prefilled: bool = False

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> Self:
        """The round with these members, which come from JSON."""
        calls = tuple(Call(**call) for call in members.get("calls", ()))
        results = tuple(Result(**result) for result in members.get("results", ()))
        return cls(**{**members, "calls": calls, "results": results})

    @property
    def prefill(self) -> str:
        """The beginning of the turn, where the model was given it as its own; else ""."""
        return self.before.rstrip() if self.prefilled else ""


class ToolUse(Event):
    """The last event of a turn that calls tools. Never logged.

    Without calls, the model paused its turn, and wants to be sent `content`.
    """

    kind = "tool_use"
    terminal = True
    calls: tuple[Call, ...]
    content: Mapping[str, Any]
    input_tokens: int | None = None
    output_tokens: int | None = None


def whole_text(value: Any) -> Any:
    """The JSON value, with all its strings as text that has a UTF-8 form.

    Servers in JavaScript split surrogate pairs, and JSON may hold half a pair.
    """
    match value:
        case str() if not value.isascii():
            return mended(value)
        case Mapping():
            return {whole_text(name): whole_text(member) for name, member in value.items()}
        case list() | tuple():
            return [whole_text(each) for each in value]
        case _:
            return value


def ids_of(rounds: Sequence[Round]) -> set[str]:
    """The ids of all calls."""
    return {call.id for each in rounds for call in each.calls}
