"""The base of every provider that asks a language model.

A subclass sends one request and yields one answer. This class does the rest: it makes the request
that continues an answer, asks only for the tokens that are left, enforces the deadlines, and trims
repetitions at the seam.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from app.events import Done
from app.models.base import Continuation, Partial, Request
from app.models.continuation import seamless, to_continue, whole
from app.models.deadlines import Deadlines, IdleTimer
from app.models.lengths import tokens_left
from durable_stream import Event


class ModelProvider(ABC):
    """A provider that asks a model. `models` are the names it takes, the default first."""

    def __init__(self, models: tuple[str, ...], deadlines: Deadlines | None = None) -> None:
        self.models = models
        self.deadlines = deadlines or Deadlines()

    @abstractmethod
    def ask(self, request: Request, timer: IdleTimer) -> AsyncGenerator[Event]:
        """Send one request; yield `Thinking`, `Answer`, and `Done` last. Raises ProviderError.

        A last message of the assistant's is the beginning of the answer, which the model continues.
        A model that calls some of `request.tools` ends its turn with `ToolUse` in place of `Done`.
        `timer` ends the generator when it is silent; call `timer.reset()` for other signs of life,
        and `timer.advance()` for a part of the answer that is not yielded.
        """

    def takes_prefill(self, model: str) -> bool:  # noqa: ARG002 - for subclasses
        """True if the model continues an assistant's turn that ends the conversation."""
        return False

    async def preload(self) -> None:  # noqa: B027 - most providers have nothing to do
        """Do what the first request need not wait for, while the sandbox starts."""

    async def close(self) -> None:  # noqa: B027 - most providers hold nothing
        """Close the connections."""

    def continuation(self, request: Request) -> Continuation:
        """`prefill` where the model takes one, else `asked`."""
        return "prefill" if self.takes_prefill(request.model) else "asked"

    def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        """Yield the rest behind the delivered text; nothing is sent if no tokens are left."""
        tokens = tokens_left(request, delivered)
        if tokens < 1:
            return _nothing_left()
        how, timer = self.continuation(request), IdleTimer(self.deadlines)
        sent = replace(to_continue(request, delivered.answer, how), max_tokens=tokens)
        return seamless(whole(timer.limit(self.ask(sent, timer))), delivered.answer, how)


def models_from_environ(environ: Mapping[str, str], such_as: str) -> tuple[str, ...]:
    """The names in `MODELS`, the default first; raises ValueError, with an example, for none."""
    names = (name.strip() for name in environ.get("MODELS", "").split(","))
    models = tuple(dict.fromkeys(filter(None, names)))
    if not models:
        raise ValueError(
            "MODELS is not set: name the models that may be asked for, separated by commas, the "
            f"default first, such as {such_as}"
        )
    return models


async def _nothing_left() -> AsyncGenerator[Event]:
    yield Done("length", 0, 0)
