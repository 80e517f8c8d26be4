"""What a provider is: something that answers a request with a stream of deltas."""

import hashlib
import json
from collections.abc import AsyncGenerator, Iterable
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, Self

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

    @property
    def fingerprint(self) -> str:
        """Tells requests apart without showing them."""
        return hashlib.sha256(self.encode().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Partial:
    """What earlier attempts have already delivered; the next one goes on right behind it.

    `tokens` is how many that took, where a provider told; None where its text is all we know.
    """

    thinking: str = ""
    answer: str = ""
    tokens: int | None = None

    @classmethod
    def of(cls, thinking: Iterable[str], answer: Iterable[str]) -> Self:
        """Join the pieces, as text that has a UTF-8 form.

        A model's JSON may hold half a surrogate pair, and the other half in its next piece.
        """
        return cls(_joined(thinking), _joined(answer))


def _joined(pieces: Iterable[str]) -> str:
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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
    """The provider's own mark that the answer is complete. Without it, it has been cut.

    `reason` is `stop` or `length`. Token counts are None where the provider tells none. `asked` is
    false where nothing was left to ask the model for.
    """

    reason: str
    input_tokens: int | None
    output_tokens: int | None
    asked: bool = True


Delta = ThinkingDelta | AnswerDelta | Finish


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

    def stream(self, request: Request, continue_from: Partial) -> AsyncGenerator[Delta]:
        """Yield deltas, `Finish` last; end all work when closed. Raises ProviderError.

        The model is asked when the first delta is. What is yielded continues
        `continue_from.answer`, seams trimmed, and with it has at most `request.max_tokens`.
        """
        ...

    async def close(self) -> None:
        """Let connections go; the process ends."""
        ...
