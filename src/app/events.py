"""The events of this application: yours to extend.

One class is one record in the log and one Server-Sent Event. Declare a class, add it to `EVENTS`,
and yield it from an agent: the log, the wire and the snapshot follow.
"""

from collections.abc import Sequence
from typing import Any, Self

import durable_stream
from durable_stream import Event, Registry, Text

# The version by which wires render a new stream. Raise it with a change of a rendering, and keep
# the rendering before it as long as streams last.
RENDERING = 1


class Start(durable_stream.Start):
    """A stream was created to be answered by an agent, with `model` at hand.

    `agent` is its name, "" for the default one, and `version` its version at that time.
    `most_tokens` is the most that an attempt may cost; None is one request to the model. `follows`
    names the earlier streams of the conversation, oldest first. `rendering` is the version by which
    wires render the stream.
    """

    model: str = ""
    agent: str = ""
    version: str = ""
    most_tokens: int | None = None
    follows: Sequence[str] = ()
    rendering: int = 1

    def __post_init__(self) -> None:
        """Make it equal to the start that comes back from the log, where JSON has lists."""
        object.__setattr__(self, "follows", tuple(self.follows))

    @classmethod
    def of(cls, start: durable_stream.Start) -> Self:
        """The start as this application's; one of the engine's own has no names."""
        return start if isinstance(start, cls) else cls(start.input, start.owner)

    def public(self) -> dict[str, Any]:
        """The names; the input stays in the log."""
        return {"model": self.model, "agent": self.agent}

    def repeats(self, other: durable_stream.Start) -> bool:
        """True for the same input to the same agent, behind the same streams."""
        return (
            isinstance(other, Start)
            and super().repeats(other)
            and (self.agent, self.follows) == (other.agent, other.follows)
        )


class Thinking(Text):
    """A piece of the model's reasoning."""

    kind = "thinking"


class Answer(Text):
    """A piece of the answer."""

    kind = "answer"


class ToolCall(Event):
    """The agent calls a tool. `id` is unique within the stream."""

    kind = "tool_call"
    id: str
    name: str
    arguments: dict[str, Any]


class ToolResult(Event):
    """A tool has returned `output`, which is JSON, or failed with `error`; `id` is the call's."""

    kind = "tool_result"
    id: str
    output: Any = None
    error: str | None = None


class Progress(Event):
    """The progress of long work. The newest of one label replaces those before it.

    `total` is None where the amount of work is unknown.
    """

    kind = "progress"
    label: str
    done: float
    total: float | None = None


class Data(Event):
    """A value for the page to show, which is JSON. The newest of one id replaces those before it.

    Without an id, the name is the id.
    """

    kind = "data"
    name: str
    value: Any
    id: str = ""


class Source(Event):
    """A source of the answer."""

    kind = "source"
    title: str
    url: str


class Done(Event):
    """The answer is complete.

    `finish_reason` is `stop` or `length`. Token counts are None where the provider reports none.
    """

    kind = "done"
    terminal = True
    finish_reason: str
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def usage(self) -> dict[str, int | None]:
        """The token counts, as readers are told them."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}

    def public(self) -> dict[str, Any]:
        """The reason, and the token counts together."""
        return {"finish_reason": self.finish_reason, "usage": self.usage}


EVENTS: tuple[type[Event], ...] = (
    Start,
    Thinking,
    Answer,
    ToolCall,
    ToolResult,
    Progress,
    Data,
    Source,
    Done,
)
REGISTRY = Registry(EVENTS)
