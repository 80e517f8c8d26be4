"""What a provider is: something that answers a request with a stream of deltas."""

import hashlib
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked. `max_tokens` None leaves the length to the provider's cap."""

    messages: tuple[Message, ...]
    model: str
    max_tokens: int | None = None
    temperature: float | None = None

    def encode(self) -> str:
        """The request as JSON: the same request always gives the same text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """The inverse of `encode`."""
        members = json.loads(text)
        messages = tuple(Message(**message) for message in members.pop("messages"))
        return cls(messages=messages, **members)

    @property
    def fingerprint(self) -> str:
        """Tells requests apart without showing them."""
        return hashlib.sha256(self.encode().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Partial:
    """What an earlier attempt has already delivered; the next one goes on right behind it."""

    thinking: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The provider's own mark that the answer is complete. Without it, it has been cut."""

    reason: str
    input_tokens: int
    output_tokens: int


Delta = ThinkingDelta | AnswerDelta | Finish


class Provider(Protocol):
    """A source of answers.

    `models` are the names it takes, the default first. `stream` yields deltas, `Finish` last,
    raises ProviderError, and ends its work when it is closed.
    """

    @property
    def models(self) -> tuple[str, ...]: ...

    def stream(self, request: Request, continue_from: Partial) -> AsyncGenerator[Delta]: ...
