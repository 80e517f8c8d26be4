"""Providers: sources of answers, as streams of events."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, Self

from app.events import Answer, Thinking
from durable_stream import Event
from durable_stream.text import joined

Continuation = Literal["prefill", "asked"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a model is asked.

    `max_tokens` is the longest answer, of all attempts at it together. It is always sent: Bedrock
    reserves quota for the model's maximum where it is not.
    """

    messages: tuple[Message, ...]
    model: str
    max_tokens: int
    temperature: float | None = None
    system: str | None = None
    stop: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The size of its text, in bytes of UTF-8."""
        texts = [self.system or "", *(message.content for message in self.messages)]
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)

    def encode(self) -> str:
        """The request as JSON: the same request always gives the same text.

        Without what is not set, so that a request keeps its text when a version adds a member.
        """
        members = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return json.dumps(members, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """The inverse of `encode`."""
        members = json.loads(text)
        messages = tuple(Message(**message) for message in members.pop("messages"))
        return cls(messages=messages, stop=tuple(members.pop("stop", ())), **members)


@dataclass(frozen=True, slots=True)
class Partial:
    """The text that earlier attempts have delivered; the next one continues right behind it.

    `tokens` is how many tokens it took, where a provider reported them; None where only its text
    is known.
    """

    thinking: str = ""
    answer: str = ""
    tokens: int | None = None

    @classmethod
    def of(cls, events: Sequence[Event], tokens: int | None = None) -> Self:
        """The text among these events."""
        return cls(joined(events, Thinking), joined(events, Answer), tokens)


class Provider(Protocol):
    """A source of answers. One object serves all requests of a process.

    `models` are the names it takes, the default first.
    """

    @property
    def models(self) -> tuple[str, ...]: ...

    def continuation(self, request: Request) -> Continuation:
        """How this model goes on with an answer of its own.

        `prefill`: the model takes the partial answer as the beginning of its turn, and goes on at
        its last character. `asked`: it is shown the partial answer and asked for the rest.
        """
        ...

    def stream(self, request: Request, continue_from: Partial) -> AsyncGenerator[Event]:
        """Yield `Thinking`, `Answer`, and `Done` last; end all work when closed.

        The model is asked when the first event is asked for. The text continues
        `continue_from.answer`, seams trimmed, and with it has at most `request.max_tokens`. Raises
        ProviderError.
        """
        ...

    async def close(self) -> None:
        """Let connections go; the process ends."""
        ...
