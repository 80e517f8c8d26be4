"""A model that counts, as far as it may: anything lost or repeated shows in the numbers."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from app.events import Answer, Done
from app.exceptions import ProviderError
from app.models.base import Continuation, Message, Partial, Request
from durable_stream import Event

TEXT = "".join(f"{number} " for number in range(1, 5000))

# In characters, and the seconds between two: long enough that each can be a record of its own.
_PIECE = 7
_PAUSE = 0.004


@dataclass
class Conversation:
    """The model's scope for one prompt.

    It says `allowed` characters of `TEXT`, and then waits, or finishes if it `finishes`. Each of
    the `failures` happens once, to the next attempt that comes to it.
    """

    allowed: int = 0
    finishes: bool = False
    failures: deque[ProviderError] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def announce(self) -> None:
        """Let all waiting tasks look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def changed(self) -> None:
        await self._news.wait()


@dataclass
class CountingProvider:
    """Counts on from the delivered text; `conversations` are by prompt."""

    conversations: Mapping[str, Conversation]
    models: tuple[str, ...] = ("counting",)
    running: int = 0

    def continuation(self, _request: Request) -> Continuation:
        return "prefill"

    async def close(self) -> None:
        pass

    async def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        conversation = self.conversations[request.messages[0].content]
        at = len(delivered.answer)
        self.running += 1
        try:
            while True:
                if conversation.failures:
                    raise conversation.failures.popleft()
                if at < conversation.allowed:
                    piece = TEXT[at : min(at + _PIECE, conversation.allowed)]
                    at += len(piece)
                    yield Answer(piece)
                    await asyncio.sleep(_PAUSE)
                elif conversation.finishes:
                    yield Done("stop", 1, at)
                    return
                else:
                    await conversation.changed()
        finally:
            self.running -= 1


def asking(prompt: str) -> Request:
    return Request(messages=(Message("user", prompt),), model="counting", max_tokens=10_000)
