"""The protocol of providers, which are sources of answers, and the types it uses."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

from app.events import Answer, Thinking
from app.models.turns import Round, ToolSpec
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
    """A request to a model.

    `max_tokens` is the longest answer, all attempts together. It is always sent: without it,
    Bedrock reserves quota for the model's maximum.

    The model may call `tools`, but for the last time if `answer_now` is set. `rounds` are its turns
    so far that called some, and `after` are the messages behind them.
    """

    messages: tuple[Message, ...]
    model: str
    max_tokens: int
    temperature: float | None = None
    system: str | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    rounds: tuple[Round, ...] = ()
    after: tuple[Message, ...] = ()
    answer_now: bool = False

    @property
    def size_bytes(self) -> int:
        """The size of its text, in bytes of UTF-8; of tools and rounds, as JSON."""
        messages = (*self.messages, *self.after)
        texts = [self.system or "", *(message.content for message in messages)]
        used = (*map(asdict, self.tools), *map(asdict, self.rounds))
        texts += [json.dumps(each) for each in used]
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)

    def encode(self) -> str:
        """The request as JSON: the same request always gives the same text.

        Members that are not set are left out, so that a request keeps its text when a version adds
        a member.
        """
        unset: tuple[Any, ...] = (None, (), False)
        members = {
            name: value
            for name, value in asdict(self).items()
            # By identity: a temperature of 0.0 equals False.
            if not any(value is each for each in unset)
        }
        return json.dumps(members, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """The inverse of `encode`."""
        members = json.loads(text)
        return cls(
            messages=tuple(Message(**message) for message in members.pop("messages")),
            stop=tuple(members.pop("stop", ())),
            tools=tuple(ToolSpec(**tool) for tool in members.pop("tools", ())),
            rounds=tuple(Round.of(each) for each in members.pop("rounds", ())),
            after=tuple(Message(**message) for message in members.pop("after", ())),
            **members,
        )


@dataclass(frozen=True, slots=True)
class Partial:
    """The text that earlier attempts have delivered; the next attempt continues after it.

    `tokens` is the number of its tokens, None where the provider did not report it.
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

    `models` are the names it takes, the default first. `ModelProvider` implements this for a
    language model.
    """

    @property
    def models(self) -> tuple[str, ...]: ...

    def continuation(self, request: Request) -> Continuation:
        """How the model continues a partial answer.

        `prefill`: it takes the text as the beginning of its turn, and continues at the last
        character. `asked`: it is shown the text and asked for the rest.
        """
        ...

    def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        """Yield `Thinking`, `Answer`, and `Done` or `ToolUse` last. Raises ProviderError.

        The text follows `delivered.answer`, seams trimmed, and both together have at most
        `request.max_tokens`. Nothing is sent before the first event is awaited; closing the
        generator ends all work.
        """
        ...

    async def preload(self) -> None:
        """Do what the first request need not wait for, while the sandbox starts."""
        ...

    async def close(self) -> None:
        """Close the connections; the process ends."""
        ...
